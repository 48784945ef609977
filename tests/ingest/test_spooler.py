"""The spooler: every line once, whatever becomes of a log and wherever the process dies.

Histories are random; the expected result is given by a model that knows no ledger.
"""

import gzip
import hashlib
import io
import os
import signal
import tempfile
from collections import defaultdict
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from clickstream import config, faultpoints
from clickstream.errors import BadInput, ClickstreamError
from clickstream.home import Home
from clickstream.ingest.spool import logs, spooler
from clickstream.ingest.spool.chunks import COMPLETED, Limits
from clickstream.ingest.spool.spooler import LOCAL, ReprocessCandidate
from clickstream.ledger import VALID, Ledger
from tests.children import child, ended, spool
from tests.examples import examples
from tests.stack.stores import identity, offsets

SERVERS = ("weblog1", "weblog2")
GOOD = b'h - - [18/May/2015:09:05:0%d +0000] "GET / HTTP/1.1" 200 1'
POINTS = ("staging", "staged", "planned", "spooled", "finished")


class Crash(BaseException):
    """The process dies here."""


class World:
    """A home without agents, logs on disk, and the model: what each known log holds."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.settings = config.load(home=self.directory / "home")
        self.logs = {}
        self.known = defaultdict(list)
        self.taken = defaultdict(list)
        self.names = defaultdict(set)
        self.number = 0

    # What happens to logs.

    def write(self, server, name, content, packed=0):
        path = self.directory / server / name
        path.parent.mkdir(exist_ok=True)
        if packed:
            size = len(content) // packed + 1
            parts = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
            path.write_bytes(b"".join(map(gzip.compress, parts)))
        else:
            path.write_bytes(content)
        self.logs[server, name] = content

    def fresh_name(self):
        self.number += 1
        return f"log{self.number}"

    def remove(self, server, name):
        (self.directory / server / name).unlink()
        del self.logs[server, name]

    # What the product does.

    def replay(self, limits, crash=None):
        """Spool every log that there is; the process may die at its n-th fault point."""
        passed = 0

        def reached(_):
            nonlocal passed
            passed += 1
            if passed == crash:
                raise Crash

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faultpoints, "reached", reached)
            try:
                with spooler.opened(self.settings, SERVERS) as opened:
                    self.seen()
                    for server, name in sorted(self.logs):
                        self.spool(opened, server, name, limits)
            except Crash:
                note(f"crash at the {crash}th point")
        self.seen()

    def spool(self, opened, server, name, limits):
        path = self.directory / server / name
        opener, uri = partial(spooler.opened_file, path), f"{LOCAL}{path}"
        content = self.logs[server, name]
        try:
            log = opened.recognise(server, opener, uri)
            if not log.nothing_new:
                with logs.plain(opener, uri) as stream:
                    logs.skip(stream, log.offset)
                    for chunk in log.chunks(stream, limits):
                        opened.spool(log, chunk)
        except BadInput:
            tails = [k for k in self.known[server] if k and not k.endswith(b"\n")]
            assert not content.endswith(b"\n") or any(content.startswith(k) for k in tails)
        except Crash:
            self.learn(server, content, self.planned(server))
            raise
        else:
            self.learn(server, content, len(content))

    def planned(self, server):
        """How far the ledger got with the present log: the sizes it knows that are no whole log."""
        with Ledger.open(self.settings.files.ledger) as ledger:
            return {log.bytes: log.digest for log in ledger.files(server)}

    def learn(self, server, content, reached):
        """The model: contents alone decide."""
        known = self.known[server]
        if isinstance(reached, dict):
            sizes = [
                size
                for size, digest in reached.items()
                if hashlib.sha256(content[:size]).hexdigest() == digest and size <= len(content)
            ]
            content = content[: max(sizes, default=0)]
        if not content or any(each.startswith(content) for each in known):
            return
        shorter = [each for each in known if content.startswith(each)]
        if shorter:
            known.remove(max(shorter, key=len))
        known.append(content)

    # What agents do.

    def seen(self, limit=None):
        """Take chunks as an agent does: the oldest first; read, then renamed."""
        for server in SERVERS:
            spool = self.settings.files.spool(server)
            waiting = [path for path in spool.glob("*.log") if path.is_file()]
            waiting.sort(key=lambda path: (path.stat().st_mtime, path.name))
            for path in waiting[:limit]:
                body = path.read_bytes()
                assert body.endswith(b"\n")
                self.taken[server] += body[:-1].split(b"\n")
                assert not path.with_name(path.name + COMPLETED).exists()
                assert path.name not in self.names[server], "a spool name was used twice"
                self.names[server].add(path.name)
                path.rename(path.with_name(path.name + COMPLETED))

    # What must be true.

    def check(self):
        with Ledger.open(self.settings.files.ledger) as ledger:
            for server in SERVERS:
                found = defaultdict(dict)
                for stamped in self.taken[server]:
                    _, file, offset = identity(stamped)
                    raw = stamped.split(b"\t", 3)[3]
                    assert offset not in found[file], "a line came twice"
                    found[file][offset] = raw
                expected = [offsets(content) for content in self.known[server]]
                assert sorted(map(repr, found.values())) == sorted(
                    map(repr, map(_sorted, expected))
                )
                assert ledger.totals(server).total() == sum(map(len, expected))
                assert ledger.open_chunks(server) == []
                assert not list(self.settings.files.spool(server).iterdir())


def _sorted(lines):
    return dict(sorted(lines.items()))


LINE = st.tuples(
    st.sampled_from([b"a", b"bb", b"", GOOD % 1, GOOD % 2]),
    st.sampled_from([b"\n", b"\n", b"\r\n"]),
).map(b"".join)
LINES = st.lists(LINE, min_size=1, max_size=4).map(b"".join)
SERVER = st.sampled_from(SERVERS)
PICK = st.integers(0, 50)
STEP = st.one_of(
    st.tuples(st.just("write"), SERVER, LINES, st.booleans()),
    st.tuples(st.just("append"), PICK, LINES, st.booleans()),
    st.tuples(st.just("rename"), PICK),
    st.tuples(st.just("pack"), PICK, st.integers(1, 3)),
    st.tuples(st.just("truncate"), PICK, PICK),
    st.tuples(st.just("again"), PICK),
    st.tuples(st.just("remove"), PICK),
    st.tuples(st.just("elsewhere"), PICK),
    st.tuples(st.just("take"), st.integers(0, 3)),
    st.tuples(st.just("replay"), st.integers(1, 4)),
    st.tuples(st.just("crash"), st.integers(1, 4), st.integers(1, 25)),
)


def act(world, step):
    kind, *rest = step
    if kind == "write":
        server, content, cut = rest
        world.write(server, world.fresh_name(), content[:-1] if cut else content)
    elif kind == "take":
        world.seen(rest[0])
    elif kind in ("replay", "crash"):
        world.replay(Limits(rest[0], 10**6), *rest[1:])
    elif world.logs:
        act_on_log(world, kind, sorted(world.logs)[rest[0] % len(world.logs)], *rest[1:])


def act_on_log(world, kind, key, *rest):
    server, name = key
    content = world.logs[key]
    if kind == "append":
        more, cut = rest
        world.write(server, name, content + (more[:-1] if cut else more))
    elif kind == "remove":
        world.remove(server, name)
    else:
        if kind in ("rename", "pack"):
            world.remove(server, name)
        packed = rest[0] if kind == "pack" else 0
        size = rest[0] % (len(content) + 1) if kind == "truncate" else len(content)
        other = SERVERS[server == SERVERS[0]] if kind == "elsewhere" else server
        world.write(other, world.fresh_name(), content[:size], packed)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, min_size=3, max_size=14))
def test_any_history_counts_every_line_once(steps):
    with tempfile.TemporaryDirectory() as directory:
        world = World(directory)
        for step in steps:
            act(world, step)
        # The first finds what was renamed, which a torn log may be a part of: that one is refused
        # until then. The second spools it, the third removes what was taken.
        for _ in range(3):
            world.replay(Limits(3, 10**6))
        world.check()


def test_a_torn_log_is_refused_until_the_log_it_may_begin_is_found_again(tmp_path):
    world = World(tmp_path)
    world.write("weblog1", "known", b"a\r\n")
    world.replay(Limits(3, 10**6))
    world.remove("weblog1", "known")
    world.write("weblog1", "as-torn", b"bb")
    world.write("weblog1", "renamed", b"a\r\n")
    torn = tmp_path / "weblog1" / "as-torn"
    with (
        spooler.opened(world.settings, SERVERS) as opened,
        pytest.raises(BadInput, match=r"known.*was removed"),
    ):
        opened.recognise("weblog1", partial(spooler.opened_file, torn), f"{LOCAL}{torn}")
    for _ in range(3):
        world.replay(Limits(3, 10**6))
    world.check()


def test_every_fault_point_is_survived_in_a_process_of_its_own(tmp_path):
    """`kill -9` for real, at each point in turn: the second run finishes what the first began."""
    log = tmp_path / "a.log"
    log.write_bytes(b"".join(GOOD % (n % 10) + b"\n" for n in range(30)))
    for point in POINTS:
        home = Home(tmp_path / point)
        assert ended(child(spool, home.root, log, fault=f"{point}:2")) == -signal.SIGKILL
        # What an agent has taken and the ledger knows is removed, so look before the second run.
        with Ledger.open(home.ledger) as ledger:
            before = ledger.totals().total()
            assert before in (7, 14)
        assert ended(child(spool, home.root, log)) == 0
        with Ledger.open(home.ledger) as ledger:
            assert ledger.totals() == {VALID: 30}
            assert ledger.files()[0].bytes == log.stat().st_size
        left = list(home.spool("weblog1").iterdir())
        assert all(path.name.endswith(COMPLETED) for path in left)


@pytest.fixture
def home(tmp_path):
    return config.load(home=tmp_path / "home")


def spooled(
    opened,
    content,
    path="file:///a",
    server="weblog1",
    accept_partial_line=True,
    limits=Limits(9, 10**6),
):
    log = opened.recognise(
        server, lambda: nullcontext(io.BytesIO(content)), path, accept_partial_line
    )
    if not log.nothing_new:
        for chunk in log.chunks(
            io.BytesIO(content[log.offset :]), limits, accept_partial_line=accept_partial_line
        ):
            opened.spool(log, chunk)
    return log


def test_the_lock_names_who_holds_it(home):
    with (
        spooler.opened(home, ["weblog1"]),
        pytest.raises(ClickstreamError, match=f"pid {os.getpid()}"),
        spooler.opened(home, ["weblog2", "weblog1"]),
    ):
        pass
    with spooler.opened(home, ["weblog1"]), spooler.opened(home, ["weblog2"]):
        pass


def test_a_partial_line_is_held_back_unless_accepted(home):
    with spooler.opened(home, ["weblog1"]) as opened:
        assert spooled(opened, b"tai", accept_partial_line=False).nothing_new is False
        log = spooled(opened, b"a\nb\ntai", accept_partial_line=False)
        assert log.offset == 4
        assert opened.ledger.totals().total() == 2
        assert spooled(opened, b"a\nt", accept_partial_line=False).nothing_new
        assert spooled(opened, b"a", accept_partial_line=False).nothing_new
        assert spooled(opened, b"a\nb\ntail\n", accept_partial_line=False).offset == 9
        assert opened.ledger.totals().total() == 3


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_a_counted_partial_line(home, end):
    with spooler.opened(home, ["weblog1"]) as opened:
        spooled(opened, b"a\ntail")
        spooled(opened, b"a\ntail" + end)
        assert opened.ledger.files()[0].open_tail is not bool(end)
        grown = b"a\ntail" + end + (b"next\n" if end else b"")
        spooled(opened, grown)
        (log,) = opened.ledger.files()
        assert (log.bytes, log.open_tail) == (len(grown), not end)
        assert opened.ledger.totals().total() == (3 if end else 2)
        assert spooled(opened, grown[:-5] if end else b"a\n").nothing_new


@pytest.mark.parametrize(("tail", "rest"), [(b"tail", b"more\n"), (b"tail\r", b"\n")])
def test_a_counted_partial_line_that_goes_on_is_refused_with_its_offset(home, tail, rest):
    with spooler.opened(home, ["weblog1"]) as opened:
        spooled(opened, tail)
        with pytest.raises(BadInput, match=f"counted at byte {len(tail)}, goes on"):
            spooled(opened, tail + rest)


def test_a_beginning_that_cannot_be_compared_is_not_guessed_at(home):
    with spooler.opened(home, ["weblog1"]) as opened:
        spooled(opened, b"first\nsecond\n")
        with pytest.raises(BadInput, match="at byte 6, is cut off"):
            spooled(opened, b"first\nsec", "file:///b")


def test_a_chunk_that_somebody_took_away_is_named(home):
    with spooler.opened(home, ["weblog1"]) as opened:
        spooled(opened, b"a\n")
    (chunk,) = home.files.spool("weblog1").iterdir()
    chunk.unlink()
    with (
        pytest.raises(ClickstreamError, match=f"{chunk.name} was removed"),
        spooler.opened(home, ["weblog1"]),
    ):
        pass


def test_rejects_that_are_valid_now_move_once(home):
    with spooler.opened(home, ["weblog1"]) as opened:
        log = spooled(opened, b"junk\n" + GOOD % 1 + b"\nmore junk\n")
        line = GOOD % 2
        rejects = [
            ReprocessCandidate(0, line, "-", "not-a-log-line"),
            ReprocessCandidate(10**3, b"still junk", "-", "not-a-log-line"),
        ]
        assert opened.reprocess("weblog1", log.file, rejects) == 1
        assert opened.reprocess("weblog1", log.file, rejects) == 0
        assert opened.ledger.totals() == {VALID: 2, "not-a-log-line": 1}
        assert list(opened.ledger.reprocessed()) == [("weblog1", log.file, 0)]
        newest = max(home.files.spool("weblog1").iterdir(), key=lambda path: path.stat().st_mtime)
        assert newest.read_bytes().split(b"\t", 3)[3] == line + b"\n"
        wrong = [ReprocessCandidate(5, GOOD % 3, "2015-05-18", "bad-status")]
        with pytest.raises(ClickstreamError, match="fewer than 1 lines"):
            opened.reprocess("weblog1", log.file, wrong)
        assert opened.ledger.totals() == {VALID: 2, "not-a-log-line": 1}
