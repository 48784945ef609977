"""Logs that are refused before anything is stored."""

import gzip

import pytest

from clickstream import config
from clickstream.errors import BadInput, NotRunning, UsageError
from clickstream.ingest import source

LINE = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1\n'
VHOST = b"www.example.org:80 203.0.113.9 - - " + LINE[LINE.index(b"[") :]


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path / "home")


@pytest.fixture
def log(tmp_path):
    def write(content):
        path = tmp_path / "access.log"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (
            b"no log\n\nat all\n",
            "3 of the 3 lines .* not valid combined lines .*not-a-log-line, .*; byte 0: no log",
        ),
        (VHOST * 10, "vhost_combined"),
        (gzip.compress(VHOST * 10), "vhost_combined"),
        (gzip.compress(LINE * 1000)[:-9], "gzip file that is cut off"),
        (gzip.compress(b""), "is empty"),
        (LINE * 9 + b"x\n" * 10, "10 of the 19 lines"),
    ],
)
def test_content_that_is_refused(settings, log, content, problem):
    with pytest.raises(BadInput, match=problem):
        source.put(settings, log(content), "weblog1")


def test_a_log_that_does_not_exist(settings, tmp_path):
    with pytest.raises(BadInput, match=r"nosuch\.log cannot be read: No such file"):
        source.put(settings, tmp_path / "nosuch.log", "weblog1")


def test_a_directory_in_place_of_a_log(settings, tmp_path):
    with pytest.raises(BadInput, match="is a directory"):
        source.put(settings, tmp_path, "weblog1")


def test_an_unknown_server_names_the_known_ones(settings, log):
    with pytest.raises(UsageError, match="weblog9") as caught:
        source.put(settings, log(LINE), "weblog9")
    assert "weblog1, weblog2" in caught.value.hint


@pytest.mark.parametrize("name", ["a/b", "_hidden", ".hidden"])
def test_an_impossible_name(settings, log, name):
    with pytest.raises(UsageError, match="cannot be the name"):
        source.put(settings, log(LINE), "weblog1", name)


def test_a_good_log_needs_a_running_stack(settings, log):
    with pytest.raises(NotRunning, match="HDFS is not running"):
        source.put(settings, log(LINE), "weblog1")
