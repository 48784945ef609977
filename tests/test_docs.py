"""The documents: links lead somewhere, named paths exist, the reference is what the help says."""

import importlib.util
import re
from pathlib import Path

import pytest

import clickstream

ROOT = Path(clickstream.__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "bench" / "README.md"])
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:clickstream|configs|tests|docs|bench|tools)/[A-Za-z0-9_./-]+)`")
TREE = re.compile(r"^(?:  )?([a-z][a-z_]*(?:/|\.py))(?= )", re.M)

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="not a checkout")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.replace(" ", "-") for title in plain}


def module(name: str):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        assert "://" not in link, f"{page.name}: {link} leaves the project"
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_can_be_reached_from_the_readme():
    found, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page not in found and page.suffix == ".md":
            found.add(page)
            links = (link.partition("#")[0] for link in LINK.findall(prose(page)))
            todo += [page.parent / path for path in links if path]
    assert found >= {page.resolve() for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_are_named_exist(page):
    missing = [path for path in NAMED.findall(prose(page)) if not (ROOT / path).exists()]
    assert not missing


def test_the_tree_of_the_architecture_is_that_of_the_package():
    text = (DOCS / "architecture.md").read_text()
    tree = text.split("## The tree", 1)[1].split("```", 2)[1]
    named = {name.rstrip("/") for name in TREE.findall(tree)}
    package = ROOT / "clickstream"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folders <= named
    assert all((package / name).exists() or (ROOT / name).exists() for name in named)


def test_the_reference_of_commands_is_current():
    commands = module("commands")
    assert commands.PAGE.read_text() == commands.page(), "run: python docs/commands.py"


def test_the_picture_is_a_terminal_with_our_reports_and_fetches_nothing():
    session = module("session")
    drawn = session.picture({"report popularity": " rank   category\n   1   /café [red]\n"})
    plain = drawn.replace("&#160;", " ")
    assert "$ clickstream report popularity" in plain
    assert "/café [red]" in plain
    for picture in (drawn, session.PICTURE.read_text()):
        assert picture.startswith("<svg")
        assert "url(" not in re.sub(r"url\(#", "", picture)
        assert "font-face" not in picture


def test_no_page_names_the_machine_it_was_written_on():
    for page in [*PAGES, *DOCS.glob("*.svg")]:
        assert str(ROOT) not in page.read_text()
        assert str(Path.home()) not in page.read_text()
