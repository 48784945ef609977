"""The mapping of requests to categories, in Python; Spark is held against it on the stack."""

import json

import pytest

from clickstream import config
from clickstream.errors import UsageError
from clickstream.weblog import categories
from clickstream.weblog.categories import Categories

SHOP = Categories(
    parameter="category",
    rules=[
        {"match": r"\.(?:png|jpe?g)(?:\?|$)", "name": "bilder ü"},
        {"match": "(?i)^/blog/[0-9]{4}", "name": "posts"},
        {"match": "^/blog", "name": "blog"},
    ],
)


@pytest.mark.parametrize(
    ("target", "category"),
    [
        ("/a/b", "/a"),
        ("/a/b.png", "bilder ü"),
        ("/a/b.PNG", "/a"),
        ("/a/b.jpg?x", "bilder ü"),
        ("/a/b.jpgx", "/a"),
        ("/BLOG/2015/x", "posts"),
        ("/blog/x", "blog"),
        ("/BLOG/x", "/BLOG"),
        ("/blog/a.png", "bilder ü"),
        ("/a.png?category=toys", "toys"),
        ("/a?x=1&category=toys&y", "toys"),
        ("/a?category=toys&category=books", "toys"),
        ("/a?category=&category=books", "books"),
        ("/a?category=", "/a"),
        ("/a?category", "/a"),
        ("/a?subcategory=toys", "/a"),
        ("/a?x#&category=toys", "/a"),
        ("/category=toys", "/category=toys"),
        ("/a?b?category=toys", "/a"),
        ("/a?category=%74oys+1?/'\"", "%74oys+1?/'\""),
        ("*?category=toys", "toys"),
        ("/a?" + "x" * 994 + "&category=toys", "/a"),
    ],
)
def test_a_target_is_mapped(target, category):
    expected = category.encode().decode("iso-8859-1")
    assert categories.of(f"GET {target} HTTP/1.1", SHOP) == expected


def test_a_bad_request_line_stays_one_and_without_a_mapping_it_is_the_path():
    assert categories.of("GET /a?category=x", SHOP) == "(bad-request-line)"
    assert categories.of("GET /a.png?category=x HTTP/1.1") == "/a.png"


@pytest.mark.parametrize(
    "match",
    [
        "(ab)*",
        "(?:a|b)+",
        "(a){2}",
        "a*+",
        "a++",
        r"\bx",
        r"\1",
        r"\x1",
        r"\pL",
        r"\Z",
        "[[a]",
        "[a&&b]",
        "[]a]",
        "[a",
        "(?<=a)b",
        "(?P<n>a)",
        "(?s).",
        "a(?i)b",
        "a{,2}",
        "{",
        "*",
        "^*",
        "ü",
        "(a",
        "a)",
        "[z-a]",
        "a{3,1}",
        "",
    ],
)
def test_what_python_and_java_read_differently_is_refused_by_its_key(tmp_path, match):
    rules = [{"match": "^/fine", "name": "fine"}, {"match": match, "name": "x"}]
    with pytest.raises(UsageError, match=r"^categories\.rules\.1\.match \(flag\): "):
        load(tmp_path, rules=rules)


@pytest.mark.parametrize(
    "given",
    [
        {"rules": [{"match": "a"}]},
        {"rules": [{"match": "a", "name": ""}]},
        {"rules": [{"match": "a", "name": "x\x1b"}]},
        {"rules": [{"match": "a", "name": "x", "nam": "y"}]},
        {"parameter": "a b"},
        {"parametre": "a"},
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path, given):
    with pytest.raises(UsageError, match="categories"):
        load(tmp_path, **given)


def test_a_mapping_comes_with_the_settings_and_has_a_fingerprint(tmp_path):
    rules = [rule.model_dump() for rule in SHOP.rules]
    mapping = load(tmp_path, parameter="category", rules=rules).categories
    assert mapping == SHOP
    assert mapping.fingerprint == SHOP.fingerprint
    turned = load(tmp_path, parameter="category", rules=rules[::-1]).categories
    assert len({SHOP.fingerprint, turned.fingerprint, Categories().fingerprint}) == 3


def load(home, **given):
    """The settings with this mapping, as a flag gives it."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in given.items()}
    return config.load(home=home, flags={f"categories.{key}": text for key, text in texts.items()})
