"""The jars: locks, cache, checksums. Ivy's place is taken by a function that writes files."""

import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clickstream.errors import ClickstreamError
from clickstream.runtime import jars
from clickstream.runtime.ivy import Coordinate

ONE = Coordinate("org.example", "one", "1.0")
TWO = Coordinate("org.example", "two", "2.0", "linux-x86_64")
CONTENT = {ONE: b"first jar", TWO: b"second jar"}


class Repository:
    """The jars that Ivy would give; counts how often it was asked."""

    def __init__(self) -> None:
        self.content = dict(CONTENT)
        self.asked: list[list[Coordinate]] = []

    def retrieve(
        self, wanted: list[Coordinate], directory: Path, watch: Callable[[int], None]
    ) -> dict[Coordinate, Path]:
        self.asked.append(wanted)
        got = {jar: directory / jar.file_name for jar in wanted if jar in self.content}
        for jar, path in got.items():
            path.write_bytes(self.content[jar])
        watch(len(wanted))
        return got


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    locks = tmp_path / "locks"
    locks.mkdir()
    locked = [
        jars.Jar(jar, len(data), hashlib.sha256(data).hexdigest()) for jar, data in CONTENT.items()
    ]
    (locks / "small.lock").write_text(jars.lock_text(locked))
    monkeypatch.setattr(jars, "LOCKS", locks)
    monkeypatch.setenv("CLICKSTREAM_CACHE", str(tmp_path / "cache"))
    repository = Repository()
    monkeypatch.setattr(jars, "retrieve", repository.retrieve)
    return repository


@pytest.mark.usefixtures("repository")
def test_a_lock_reads_back_as_it_was_written() -> None:
    assert [jar.coordinate for jar in jars.locked("small")] == [ONE, TWO]
    assert jars.lock_text(jars.locked("small")) == (jars.LOCKS / "small.lock").read_text()


@pytest.mark.usefixtures("repository")
def test_missing_jars_are_reported_with_what_to_do() -> None:
    with pytest.raises(ClickstreamError, match="2 jars of small") as caught:
        jars.classpath("small")
    assert "clickstream stack fetch" in caught.value.hint


@pytest.mark.usefixtures("repository")
def test_what_was_fetched_is_the_classpath() -> None:
    jars.fetch("small")
    paths = [Path(path) for path in jars.classpath("small").split(":")]
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())


def test_a_second_fetch_asks_nobody(repository: Repository) -> None:
    jars.fetch("small")
    jars.fetch("small")
    assert len(repository.asked) == 1


def test_only_what_is_missing_is_fetched(repository: Repository) -> None:
    jars.fetch("small")
    jars.files("small")[0].unlink()
    jars.fetch("small")
    assert repository.asked[1] == [ONE]


def test_a_wrong_jar_is_refused_by_name_and_not_kept(repository: Repository) -> None:
    repository.content[TWO] = b"something else"
    with pytest.raises(ClickstreamError, match=r"org\.example:two:2\.0:linux-x86_64.*checksum"):
        jars.fetch("small")
    assert [jar.coordinate for jar in jars.absent("small")] == [TWO]
    repository.content[TWO] = CONTENT[TWO]
    jars.fetch("small")
    assert not jars.absent("small")


def test_a_jar_the_repository_lacks_is_named(repository: Repository) -> None:
    del repository.content[ONE]
    with pytest.raises(ClickstreamError, match=r"no org\.example:one:1\.0"):
        jars.fetch("small")


@pytest.mark.usefixtures("repository")
def test_a_jar_changed_in_the_cache_is_refused_and_removed() -> None:
    jars.fetch("small")
    changed = jars.files("small")[1]
    changed.write_bytes(b"tampered w")
    with pytest.raises(ClickstreamError, match=r"two.*wrong checksum"):
        jars.files("small")
    assert not changed.exists()


@pytest.mark.usefixtures("repository")
def test_verified_jars_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    jars.fetch("small")

    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(jars, "sha256_of", read)
    assert len(jars.files("small")) == 2


@pytest.mark.usefixtures("repository")
def test_a_copied_cache_is_hashed_once_more() -> None:
    jars.fetch("small")
    path = jars.files("small")[0]
    os.utime(path, (1, 1))
    assert jars.files("small")[0] == path


def test_two_fetches_at_once_download_once(repository: Repository) -> None:
    failures = []

    def fetch() -> None:
        try:
            jars.fetch("small")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(repository.asked) == 1


@pytest.mark.usefixtures("repository")
def test_what_an_interrupted_fetch_left_is_swept_away() -> None:
    rest = jars.cache_dir() / "fetching" / "small" / "half.jar.part"
    rest.parent.mkdir(parents=True)
    rest.write_bytes(b"ha")
    jars.fetch("small")
    assert not rest.exists()


@pytest.mark.parametrize("service", jars.services())
def test_the_locks_of_this_package_are_whole(service: str) -> None:
    locked = jars.locked(service)
    names = [jar.coordinate.file_name for jar in locked]
    assert len(set(names)) == len(names) > 0
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in locked)


@pytest.mark.parametrize("text", ["", "a:b", "a:b:c:d:e", "a::c"])
def test_an_invalid_coordinate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a coordinate"):
        Coordinate.parse(text)
