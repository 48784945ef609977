"""`weblog put`: logs are stored by content, each file has its outcome, and a pipe is read."""

import gzip
import io
import json
import os
import posixpath
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from clickstream import config
from clickstream.cli import main
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.errors import BadInput, NotRunning, UsageError
from clickstream.ingest import source

SERVER = "weblog1"


def lines(first, number, day=18):
    return b"".join(
        b'1.2.3.4 - - [%d/May/2015:09:05:59 +0000] "GET /%d HTTP/1.1" 200 1\n' % (day, n)
        for n in range(first, first + number)
    )


class Memory:
    """HDFS as far as a put asks it."""

    def __init__(self):
        self.files = {}

    def list(self, directory):
        return [self.stat(path) for path in sorted(self.files) if path.startswith(f"{directory}/")]

    def stat(self, path):
        return Entry(path, posixpath.basename(path), len(self.files[path]), False, 0)

    @contextmanager
    def open(self, path, offset=0):
        yield io.BytesIO(self.files[path][offset:])

    def write(self, path, chunks):
        self.files[path] = b"".join(chunks)


@pytest.fixture
def hdfs(monkeypatch):
    made = Memory()
    monkeypatch.setattr(Hdfs, "connect", lambda _: made)
    return made


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path / "home")


@pytest.fixture
def put(settings, hdfs, tmp_path):
    """Write files by name and put them; their outcomes, and the names they have in HDFS."""

    def put(**contents):
        paths = []
        for name, content in contents.items():
            paths.append(tmp_path / name.replace("_", "."))
            paths[-1].write_bytes(content)
        done = list(source.put_each(settings, paths, SERVER))
        return [(each.outcome, each.path and posixpath.basename(each.path)) for each in done]

    return put


def test_a_numbered_rotation_night_after_night(put, hdfs):
    a, b, c = (lines(100 * n, 9, day=10 + n) for n in (1, 2, 3))
    assert put(access_log=b[:600], access_log_1=a) == [
        ("stored", "access.log"),
        ("stored", "access.log.1"),
    ]
    night = {"access_log": c[:600], "access_log_1": b, "access_log_2_gz": gzip.compress(a)}
    assert put(**night) == [
        ("stored", "access.log-2015-05-13"),
        ("continued", "access.log"),
        ("already there", "access.log.1"),
    ]
    assert put(**night) == [
        ("already there", "access.log-2015-05-13"),
        ("already there", "access.log"),
        ("already there", "access.log.1"),
    ]
    later = lines(900, 3, day=13)
    assert put(access_log=later, access_log_1=gzip.compress(c)) == [
        ("stored", "access.log-2015-05-13-2"),
        ("continued", "access.log-2015-05-13"),
    ]
    stored = [gzip.decompress(x) if x[:1] == b"\x1f" else x for x in hdfs.files.values()]
    assert sorted(stored) == sorted([a, b, c, later])


def test_the_longest_log_is_continued_and_a_beginning_of_one_adds_nothing(settings, hdfs, tmp_path):
    root = f"{settings.hdfs.source}/{SERVER}"
    content = lines(0, 40_000)
    hdfs.files = {f"{root}/short": content[:700], f"{root}/long": content[:2_000_000]}
    path = tmp_path / "access.log"
    path.write_bytes(content)
    assert source.put(settings, path, SERVER).path == f"{root}/long"
    assert hdfs.files[f"{root}/long"] == content
    path.write_bytes(content[: 1 << 20])
    assert source.put(settings, path, SERVER)[2:4] == ("already there", f"{root}/long")


def test_a_name_that_was_asked_for_is_that_of_this_log_alone(settings, hdfs, tmp_path):
    path = tmp_path / "access.log"
    path.write_bytes(lines(0, 3))
    root = f"{settings.hdfs.source}/{SERVER}"
    assert source.put(settings, path, SERVER, "one").path == f"{root}/one"
    assert source.put(settings, path, SERVER, "two")[2:4] == ("stored", f"{root}/two")
    path.write_bytes(lines(5, 3))
    with pytest.raises(BadInput, match="one holds another log that"):
        source.put(settings, path, SERVER, "one")
    assert hdfs.files[f"{root}/one"] == lines(0, 3)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("access.log-2024-03-23T10:00:00", "access.log-2024-03-23T10-00-00"),
        ("access log #1 50%25 +ä?.log", "access log #1 50%25 +ä?.log"),
    ],
)
def test_unusual_names(settings, hdfs, tmp_path, name, stored):
    path = tmp_path / name
    path.write_bytes(lines(0, 1))
    assert source.put(settings, path, SERVER).path.endswith(f"/{SERVER}/{stored}")


@pytest.mark.parametrize(
    ("name", "reported"), [("a:b", "colon"), ("a\nb", "cannot be"), ("\udce4.log", "cannot be")]
)
def test_a_name_that_cannot_be_stored_is_refused_with_a_hint(
    settings, hdfs, tmp_path, name, reported
):
    path = tmp_path / "access.log"
    path.write_bytes(lines(0, 1))
    with pytest.raises(UsageError, match=reported) as caught:
        source.put(settings, path, SERVER, name)
    assert "--as" in caught.value.hint
    assert hdfs.files == {}


def test_what_cannot_be_stored_is_reported_and_does_not_stop_the_rest(hdfs, tmp_path, capfd):
    contents = {"a.log": lines(0, 2), "b.log": b"", "c.log": b"junk\n", "d.log": lines(5, 3)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in [*contents, "nosuch.log"]]
    words = ["--home", str(tmp_path / "home"), "weblog", "put", *paths, "--server", SERVER]
    assert main([*words, "--format", "json"]) == 1
    out, err = capfd.readouterr()
    reported = {posixpath.basename(row["file"]): row for row in json.loads(out)}
    assert {name: row["outcome"] for name, row in reported.items()} == {
        "a.log": "stored",
        "b.log": "not stored",
        "c.log": "not stored",
        "d.log": "stored",
        "nosuch.log": "not stored",
    }
    assert reported["d.log"]["lines"] == 3
    assert "is empty" in reported["b.log"]["reason"]
    assert err.startswith("Error: 3 of 5 logs not stored: ")
    for reason in ("b.log is empty", "c.log are not valid", "nosuch.log cannot be read"):
        assert reason in err
    assert main(words) == 1
    assert capfd.readouterr().out.count("already there") == 2


def test_what_was_stored_is_reported_when_hdfs_goes(settings, hdfs, tmp_path, capfd, monkeypatch):
    for name in "ab":
        (tmp_path / name).write_bytes(lines(ord(name), 2))
    write = hdfs.write

    def once(path, chunks):
        if hdfs.files:
            raise NotRunning("HDFS does not answer")
        write(path, chunks)

    monkeypatch.setattr(hdfs, "write", once)
    paths = [str(tmp_path / name) for name in "ab"]
    assert main(["--home", str(settings.home), "weblog", "put", *paths, "--server", SERVER]) == 1
    out, err = capfd.readouterr()
    assert "stored" in out
    assert "HDFS does not answer" in err


def test_a_pipe_and_standard_input_are_read_under_a_name(settings, hdfs, tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = lines(0, 3)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert source.put(settings, pipe, SERVER, "piped")[2:6] == (
        "stored",
        f"{settings.hdfs.source}/{SERVER}/piped",
        len(content),
        3,
    )
    writer.join()
    packed = gzip.compress(lines(7, 2))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    assert source.put(settings, source.local_log.STDIN, SERVER, "read").lines == 2
    assert hdfs.files[f"{settings.hdfs.source}/{SERVER}/read"] == packed
    for file in (pipe, source.local_log.STDIN):
        with pytest.raises(UsageError, match="has no name") as caught:
            source.put(settings, file, SERVER)
        assert "--as NAME" in caught.value.hint


def test_check_reads_standard_input(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines(0, 3))))
    assert main(["--home", str(tmp_path), "weblog", "check", "-"]) == 0
    assert "3 of the first 3 lines" in capfd.readouterr().out
