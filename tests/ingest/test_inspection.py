"""A log before it is taken: its format, its rejects with an example, and the refusal of junk."""

import gzip
import io
import json
import tracemalloc
from collections import Counter

import pytest

from clickstream import config, weblog
from clickstream.cli import main
from clickstream.errors import BadInput, UsageError
from clickstream.ingest import inspection, local_log

COMMON = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET /a HTTP/1.1" 200 1'
COMBINED = COMMON + b' "-" "agent"'
VHOST = b"www.example.org:80 " + COMBINED
HOSTILE = b"\x1b]0;gone\x07\xff"


def settings_of(tmp_path, **flags):
    return config.load(home=tmp_path / "home", flags=flags)


@pytest.fixture
def settings(tmp_path):
    return settings_of(tmp_path)


def log(*lines):
    content = b"".join(line + b"\n" for line in lines)
    return lambda: io.BytesIO(content)


def scanned(*lines, start=0):
    return inspection.scan(log(*lines), "log", weblog.COMBINED, start)


def test_every_line_is_counted_and_each_reason_has_its_first_example():
    found = scanned(COMBINED, b"", COMMON, b"junk", b"more junk", b"")
    assert found.lines == 6
    assert found.invalid == {"blank": 2, "not-a-log-line": 2}
    first = len(COMBINED) + 1
    assert found.examples["blank"] == (first, b"", 0)
    assert found.examples["not-a-log-line"] == (first + 1 + len(COMMON) + 1, b"junk", 4)


@pytest.mark.parametrize("packed", [False, True])
def test_a_scan_begins_at_a_line_or_behind_a_tail_without_its_end(packed):
    content = COMMON + b"\r\njunk\n" + COMMON

    def opener():
        return io.BytesIO(gzip.compress(content) if packed else content)

    first = len(COMMON)
    for start in (first, first + 2):
        found = inspection.scan(opener, "log", weblog.COMMON, start)
        assert (found.lines, found.invalid) == (2, {"not-a-log-line": 1})
        assert found.examples["not-a-log-line"].offset == first + 2
    assert inspection.scan(opener, "log", weblog.COMMON, len(content)).lines == 0


def test_a_long_line_is_one_reject_and_costs_no_memory():
    size = 64 << 20
    content = io.BytesIO(COMBINED + b"\n" + b"a" * size + b"\n" + COMBINED)
    tracemalloc.start()
    found = inspection.scan(lambda: content, "log", weblog.COMBINED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.lines, found.invalid) == (3, {"too-long": 1})
    assert found.examples["too-long"].size == size + 1
    assert "67,108,865 bytes" in str(found.examples["too-long"])
    assert peak < size / 2


@pytest.mark.parametrize(
    ("bad", "good", "percent", "refused"),
    [
        (1, 1, 50, False),
        (2, 1, 50, True),
        (1, 99, 1, False),
        (1, 98, 1, True),
        (1, 9, 0, True),
        (0, 9, 0, False),
        (9, 0, 100, False),
        (9, 0, 99.9, True),
    ],
)
def test_more_than_the_share_is_refused(tmp_path, bad, good, percent, refused):
    settings = settings_of(tmp_path, **{"replay.max_invalid_percent": str(percent)})
    found = scanned(*[b"x"] * bad, *[COMMON] * good)
    if not refused:
        inspection.refuse(settings, "weblog1", "log", found)
        return
    with pytest.raises(BadInput, match=f"{bad} of the {bad + good} lines of log") as caught:
        inspection.refuse(settings, "weblog1", "log", found)
    words = weblog.REASONS["not-a-log-line"]
    assert f"not-a-log-line, {words}; byte 0: x" in caught.value.message
    for named in ("servers.weblog1.format", "max_invalid_percent"):
        assert named in caught.value.hint


def test_put_says_how_to_look_at_the_log_and_check_does_not_send_to_itself(settings, tmp_path):
    path = tmp_path / "my access.log"
    path.write_bytes(b"junk\n")
    with pytest.raises(BadInput) as caught:
        inspection.admit(settings, "weblog1", local_log.regular(path), str(path))
    look = f"clickstream weblog check '{path}' --server weblog1; then set servers.weblog1.format"
    assert look in caught.value.hint
    for server, key in (("weblog1", "set servers.weblog1.format"), (None, "set the format of its")):
        problem = inspection.check(settings, path, server, None, 1).problem
        assert problem.hint.startswith(key)
        assert "weblog check" not in problem.hint
    path.write_bytes(VHOST + b"\n")
    hint = inspection.check(settings, path, None, "combined", 1).problem.hint
    assert "NAME" not in hint
    assert "weblog check" not in hint


def test_what_was_taken_of_the_log_before_counts(settings):
    found = scanned(b"x", b"y")
    inspection.refuse(settings, "weblog1", "log", found, Counter({"": 2}))
    with pytest.raises(BadInput, match="4 of the 7 lines"):
        inspection.refuse(settings, "weblog1", "log", found, {"": 3, "blank": 2})
    # Nothing new is bad: what lies in the quarantine already is no reason to stop.
    inspection.refuse(settings, "weblog1", "log", scanned(COMMON), {"blank": 9})


def test_the_right_format_is_named(tmp_path):
    for name, line, right in (
        ("common", COMBINED, "combined"),
        ("common", VHOST, "vhost_combined"),
        ("vhost_combined", COMMON, "common"),
    ):
        settings = settings_of(tmp_path, **{"servers.weblog1.format": name})
        found = inspection.scan(log(line, line, b"x"), "log", weblog.FORMATS[name])
        with pytest.raises(BadInput) as caught:
            inspection.refuse(settings, "weblog1", "log", found)
        assert f'set servers.weblog1.format = "{right}"' in caught.value.hint


def test_admission_goes_by_the_format_of_the_server(tmp_path):
    settings = settings_of(tmp_path, **{"servers.weblog2.format": "vhost_combined"})
    assert inspection.admit(settings, "weblog2", log(VHOST, VHOST), "log").invalid == {}
    with pytest.raises(BadInput, match="looks like the vhost_combined format"):
        inspection.admit(settings, "weblog1", log(VHOST, VHOST), "log")
    with pytest.raises(BadInput, match=r"2 of the 2 lines.*other-format"):
        inspection.admit(settings, "weblog2", log(COMBINED, COMBINED), "log")
    with pytest.raises(BadInput, match="is empty"):
        inspection.admit(settings, "weblog1", log(), "log")


@pytest.mark.parametrize(
    ("lines", "detected"),
    [
        ([COMMON] * 3, "common"),
        ([COMMON, COMMON, COMBINED], "combined"),
        ([VHOST] * 3, "vhost_combined"),
        ([VHOST, VHOST, COMBINED], "vhost_combined"),
        ([VHOST, COMBINED, COMBINED, COMBINED], "combined"),
        ([b"junk", VHOST, b""], "vhost_combined"),
        ([COMBINED + b' "-"'] * 3, "nginx_main"),
        ([b"junk"], None),
        ([], None),
    ],
)
def test_the_format_that_fits_best(lines, detected):
    found = inspection.detect(log(*lines), "log")
    assert (found.format if found else None) == detected
    assert found is None or found.lines == len(lines)


def test_the_first_lines_are_shown_field_by_field_and_obeyed_by_none(settings, tmp_path):
    path = tmp_path / "access.log"
    path.write_bytes(VHOST.replace(b"agent", HOSTILE) + b"\n" + HOSTILE + b"\n" + VHOST + b"\n")
    found = inspection.check(settings, path, None, None, 2)
    shown = [(row["part"], row["name"], row["lines"], row["value"]) for row in found.rows]
    assert shown[:5] == [
        ("log", "detected", None, "vhost_combined (2 of the first 3 lines)"),
        ("log", "read as", None, "vhost_combined"),
        ("log", "all", 3, ""),
        ("log", "valid", 2, ""),
        ("line 1", "vhost", None, "www.example.org:80"),
    ]
    assert ("line 1", "host", None, "1.2.3.4") in shown
    assert ("line 1", "category", None, "/a") in shown
    safe = r"\x1b]0;gone\x07\xff"
    assert ("line 1", "agent", None, safe) in shown
    at = len(VHOST) - len(b"agent") + len(HOSTILE) + 1
    said = f"{weblog.REASONS['binary']}; byte {at}: {safe}"
    assert shown[-2] == ("line 2", "reject", None, f"binary, {said}")
    assert shown[-1] == ("rejects", "binary", 1, said)
    assert all(value.isprintable() for *_, value in shown)
    assert found.problem is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"junk\n", "1 of the 1 lines"),
        ((COMBINED + b"\n") * 2, None),
    ],
)
def test_what_put_would_refuse_is_a_problem(settings, tmp_path, content, said):
    path = tmp_path / "access.log"
    path.write_bytes(content)
    problem = inspection.check(settings, path, "weblog1", None, 1).problem
    assert (said in problem.message) if said else problem is None


def test_a_server_or_a_format(settings, tmp_path):
    path = tmp_path / "access.log"
    path.write_bytes(VHOST + b"\n")
    assert "vhost_combined" in inspection.check(settings, path, "weblog1", None, 1).problem.message
    assert inspection.check(settings, path, None, "vhost_combined", 1).problem is None
    with pytest.raises(UsageError, match="exclude"):
        inspection.check(settings, path, "weblog1", "common", 1)
    with pytest.raises(UsageError, match="there is no server nosuch"):
        inspection.check(settings, path, "nosuch", None, 1)


def test_the_command_shows_what_it_found_and_then_fails(tmp_path, capfd):
    path = tmp_path / "access.log"
    path.write_bytes(COMBINED + b"\njunk\n" * 2)
    words = ["--home", str(tmp_path), "weblog", "check", str(path), "--format", "json"]
    assert main(words) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)[0]["value"] == "combined (1 of the first 4 lines)"
    assert err.startswith("Error: 3 of the 4 lines")
    assert main([*words, "--as-format", "common"]) == 1
    path.write_bytes(COMBINED)
    assert main(words) == 0
