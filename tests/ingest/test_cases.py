"""Logs as people have them that are refused before anything is stored, and why; or are taken."""

import json

import pytest

from clickstream.cli import main
from tests import cases

pytestmark = cases.needs_cases


@pytest.mark.parametrize(
    ("case", "name", "told"),
    [
        ("syslog-prefix", "input.log", "'Mar  5 10:00:00 web1 nginx:'"),
        ("xff-list", "input.log", "it is a list"),
        ("tar-gz", "input.log", "is a tar archive inside gzip"),
        ("live-vhost", "input.log", "virtual host"),
        ("host-with-port", "input.log", "a port is behind it"),
        ("nginx-main", "input.log", "more fields stand behind the user agent"),
        ("nginx-main", "request-time.log", "more fields stand behind the user agent"),
        ("nginx-main", "combinedio.log", "more fields stand behind the user agent"),
        ("utf-16", "input.log", "is UTF-16 text"),
        ("compressed-otherwise", "a.log.bz2", "is compressed with bzip2"),
        ("compressed-otherwise", "a.log.xz", "is compressed with xz"),
        ("compressed-otherwise", "a.log.zst", "is compressed with zstd"),
        ("compressed-otherwise", "a.log.zip", "is a zip archive"),
        ("compressed-otherwise", "cut.gz", "is a gzip file that is cut off"),
        ("compressed-otherwise", "garbage.gz", "is a gzip file with something else behind its end"),
        ("empty-among-others", "access.log.1", "is empty"),
        ("unescaped-quotes", "input.log", "bad-quoting"),
    ],
)
def test_what_is_refused(tmp_path, capfd, case, name, told):
    words = ["--home", str(tmp_path), "weblog", "put", str(cases.log(case, name))]
    assert main([*words, "--server", "weblog1"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert told in err.splitlines()[0]


@pytest.mark.parametrize(
    ("case", "name", "valid", "invalid"),
    [
        ("xff-list", "mixed.log", 12, {"not-a-client": 6}),
        ("format-changes-midway", "input.log", 1200, {"prefix": 1000}),
        ("bom", "input.log", 12, {}),
        ("compressed-otherwise", "good.gz", 12, {}),
        ("compressed-otherwise", "zeros.gz", 12, {}),
        ("leap-second", "input.log", 3, {"impossible-time": 1}),
        ("many-days", "input.log", 1095, {}),
        ("bot-requests", "input.log", 23, {}),
        ("time-in-agent", "input.log", 10, {}),
        ("host-notations", "input.log", 12, {}),
        ("newsyslog-remarks", "input.log", 12, {"blank": 1, "not-a-log-line": 1}),
        ("collation", "input.log", 44, {}),
        ("emoji", "input.log", 20, {}),
        ("dst", "input.log", 31, {}),
    ],
)
def test_what_is_valid(tmp_path, capfd, case, name, valid, invalid):
    path = str(cases.log(case, name))
    words = ["--home", str(tmp_path), "weblog", "check", path, "--server", "weblog1"]
    assert main([*words, "--lines", "0", "--format", "json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    found = {(row["part"], row["name"]): row["lines"] for row in rows}
    assert found["log", "valid"] == valid
    assert {name: n for (part, name), n in found.items() if part == "rejects"} == invalid
