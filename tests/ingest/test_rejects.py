"""The quarantine read back: each reject once, with its reason of today, safe to look at."""

import io
import stat
import tracemalloc
from contextlib import contextmanager

import pytest

from clickstream import config, weblog
from clickstream.clients.hdfs import Entry
from clickstream.errors import BadInput, UsageError
from clickstream.ingest import rejects
from clickstream.ingest.rejects import Chosen
from clickstream.ingest.replay import Progress
from clickstream.ledger import Ledger, LogFile

COMMON = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET /a HTTP/1.1" 200 1'
COMBINED = COMMON + b' "-" "agent"'
FILE, OTHER = "0123456789abcdef", "fedcba9876543210"
LONG = 3 * weblog.MAX_LINE_BYTES
HOSTILE = b"\x1b]0;gone\x07\xff\t\r"


def stamped(offset, raw, file=FILE, form=weblog.COMMON):
    return weblog.stamp("weblog1", file, offset, raw, form) + b"\n"


def too_long(offset, size):
    return b"v1:weblog1:%s:%d\t-\t-\t" % (FILE.encode(), offset) + b"x" * size + b"\n"


def read(*lines, form=weblog.COMMON):
    return list(rejects.read(io.BytesIO(b"".join(lines)), "weblog1", "/q/f", form))


class Files:
    """As much of HDFS as a listing of the quarantine needs."""

    def __init__(self, files):
        self.files = files

    def list(self, path):
        names = sorted(name for name in self.files if name.startswith(path + "/"))
        return [Entry(n, n.rpartition("/")[2], len(self.files[n]), False, 0) for n in names]

    @contextmanager
    def open(self, path, offset=0):
        yield io.BytesIO(self.files[path][offset:])


@pytest.fixture
def quarantine(tmp_path, monkeypatch):
    """Settings whose quarantine holds these files, of weblog1 if they are bare names."""

    def of(**flags):
        settings = config.load(home=tmp_path / "home", flags=flags)
        monkeypatch.setattr(rejects.Hdfs, "connect", lambda _: Files(files))
        return settings

    files = of.files = {}
    return of


def put(quarantine, name, *lines):
    quarantine.files[f"/quarantine/server=weblog1/{name}"] = b"".join(lines)


def test_a_reject_is_what_was_stamped():
    (found,) = read(stamped(7, b"junk\t" + HOSTILE))
    assert found == rejects.RejectedLine(
        "weblog1",
        FILE,
        7,
        "-",
        "binary",
        b"junk\t" + HOSTILE,
        5 + len(HOSTILE),
        ("/q/f", len(stamped(7, b"")) - 1),
    )
    (found,) = read(stamped(7, COMBINED))
    assert (found.day, found.reason) == ("2015-05-18", "other-format")


def test_a_line_that_is_valid_by_now_is_marked():
    assert [each.reason for each in read(stamped(7, COMBINED), form=weblog.COMBINED)] == [
        "valid-now"
    ]


def test_a_long_line_costs_no_memory_and_what_follows_is_found():
    content = io.BytesIO(too_long(0, 32 << 20) + stamped(9, b""))
    tracemalloc.start()
    found = list(rejects.read(content, "weblog1", "/q/f", weblog.COMMON))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(each.reason, each.offset, each.size) for each in found] == [
        ("too-long", 0, 32 << 20),
        ("blank", 9, 0),
    ]
    assert peak < 10 << 20


@pytest.mark.parametrize("size", [weblog.MAX_LINE_BYTES, weblog.MAX_LINE_BYTES + 1])
def test_where_too_long_begins(size):
    (found,) = read(too_long(5, size))
    assert (found.reason == "too-long", found.size) == (size > weblog.MAX_LINE_BYTES, size)


def test_what_nobody_stamped_is_shown_where_it_lies():
    first, second = read(stamped(7, b"junk"), COMBINED + b"\n", form=weblog.COMBINED)
    assert second.reason == "unstamped"
    assert (second.file, second.offset, second.raw) == ("/q/f", len(stamped(7, b"junk")), COMBINED)
    assert first.offset == 7


def test_copies_and_open_files_and_reprocessed_lines_are_left_out(quarantine):
    put(quarantine, "a.1", stamped(0, b"one"), stamped(4, b"two"), stamped(0, b"one"))
    put(quarantine, "a.2", stamped(4, b"two"), stamped(8, b"three"), stamped(0, b"", OTHER))
    put(quarantine, "_a.3.tmp", stamped(14, b"open"))
    settings = quarantine()
    log = LogFile("weblog1", FILE, "/source/weblog1/a", 99, "d", False)
    with Ledger.open(settings.files.ledger) as ledger:
        ledger.restore(log, {}, [], [4])
    found = [(each.file, each.offset) for each in rejects.select(settings)]
    assert found == [(FILE, 0), (FILE, 8), (OTHER, 0)]
    assert {row["log"] for row in rejects.grouped(settings, Chosen())} == {log.path, ""}


def test_groups(quarantine):
    put(quarantine, "a.1", stamped(90, b"junk"), stamped(4, HOSTILE), stamped(7, b"more junk"))
    put(quarantine, "a.2", stamped(0, b"x", OTHER), stamped(100, COMBINED))
    put(quarantine, "too-long", too_long(200, LONG))
    rows = rejects.grouped(quarantine(), Chosen())
    assert [tuple(row.values())[:-2] for row in rows] == [
        ("binary", "weblog1", FILE, "", 1, 4),
        ("not-a-log-line", "weblog1", FILE, "", 2, 7),
        ("not-a-log-line", "weblog1", OTHER, "", 1, 0),
        ("too-long", "weblog1", FILE, "", 1, 200),
        ("valid-now", "weblog1", FILE, "", 1, 100),
    ]
    assert [row["example"] for row in rows][:3] == [r"\x1b]0;gone\x07\xff\t\r", "more junk", "x"]
    assert rows[1]["why"] == weblog.REASONS["not-a-log-line"]
    assert "valid" in rows[4]["why"]
    assert rows[3]["example"].endswith(f"({LONG:,} bytes)")
    assert len(rows[3]["example"]) < 200
    strict = rejects.grouped(quarantine(**{"servers.weblog1.format": "common"}), Chosen())
    assert strict[-2]["reason"] == "other-format"


def test_one_row_each(quarantine):
    put(quarantine, "a.1", stamped(0, b"junk"), stamped(5, b"junk"), stamped(10, b""))
    rows = rejects.listed(quarantine(), Chosen(reason="not-a-log-line"))
    assert [(row["offset"], row["line"]) for row in rows] == [(0, "junk"), (5, "junk")]


@pytest.mark.parametrize(
    "chosen", [Chosen("nosuch"), Chosen(reason="nosuch")], ids=["server", "reason"]
)
def test_what_cannot_be_chosen(quarantine, chosen):
    with pytest.raises(UsageError, match=r"there is no .* nosuch"):
        rejects.grouped(quarantine(), chosen)


def test_an_export_is_byte_exact_and_private(quarantine, tmp_path):
    raws = [HOSTILE, b"", COMBINED, b"\xc3\xa9\r"]
    put(quarantine, "a.1", *(stamped(n, raw) for n, raw in enumerate(raws)), stamped(0, HOSTILE))
    put(quarantine, "too-long", too_long(200, LONG))
    target = tmp_path / "rejects.log"
    assert rejects.export(quarantine(), Chosen(), target) == 5
    assert target.read_bytes() == b"\n".join([*raws, b"x" * LONG]) + b"\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(BadInput, match="there already"):
        rejects.export(quarantine(), Chosen(), target)
    with pytest.raises(UsageError):
        rejects.export(quarantine(), Chosen(reason="nosuch"), tmp_path / "never")
    assert not (tmp_path / "never").exists()
    with pytest.raises(BadInput, match="cannot be written"):
        rejects.export(quarantine(), Chosen(), tmp_path / "no" / "such")
    some = tmp_path / "some.log"
    assert rejects.export(quarantine(), Chosen(reason="valid-now"), some) == 1
    assert some.read_bytes() == COMBINED + b"\n"


class FakeSpooler:
    """Takes what a batch spools."""

    def __init__(self):
        self.taken = []

    def room(self, notify):
        notify("room")

    def reprocess(self, server, file, lines):
        self.taken.append((server, file, [(each.offset, each.reason) for each in lines]))
        return len(lines)


def rejected(file: str, offset: int, raw: bytes) -> rejects.RejectedLine:
    return rejects.RejectedLine("weblog1", file, offset, "-", "valid-now", raw, len(raw), ("/q", 0))


def test_a_batch_is_no_larger_than_a_chunk(tmp_path):
    flags = {"replay.chunk_lines": "3", "replay.chunk_bytes": "1000"}
    spooler, heard = FakeSpooler(), []
    progress = Progress()
    batch = rejects._Batch(
        config.load(home=tmp_path, flags=flags), spooler, progress, lambda p: heard.append(p.lines)
    )
    for at, raw, file in (
        (0, b"a", FILE),
        (1, b"b", OTHER),
        (2, b"c", FILE),
        (3, b"x" * 999, FILE),
    ):
        batch.add(
            rejects.RejectedLine("weblog1", file, at, "-", "valid-now", raw, len(raw), ("/q", 0))
        )
    batch.add(
        rejects.RejectedLine("weblog1", FILE, 9, "-", "valid-now", b"x" * 999, 999, ("/q", 0))
    )
    batch.spool()
    assert spooler.taken == [
        ("weblog1", FILE, [(0, "not-a-log-line"), (2, "not-a-log-line")]),
        ("weblog1", OTHER, [(1, "not-a-log-line")]),
        ("weblog1", FILE, [(3, "not-a-log-line"), (9, "not-a-log-line")]),
    ]
    assert progress.lines == heard[-1] == 5
