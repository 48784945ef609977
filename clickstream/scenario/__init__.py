"""Generated web logs with known answers.

A scenario is planned first, line by line (`story`); the logs are that plan written out, and the
truth is that plan added up (`answers`). Nothing here ever reads a log, so a fault in the product's
parser cannot hide in the truth it is compared with.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from filecmp import cmp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from clickstream.errors import BadInput, UsageError
from clickstream.scenario import answers, load, story
from clickstream.scenario.plan import Output, output

SERVERS = ("weblog1", "weblog2")
SCENARIOS = ("demo", "small", "load")
TRUTH = "truth.json"


class Generated(NamedTuple):
    """What was written: the log of each server, and the truth as it stands in `truth_path`."""

    paths: dict[str, Path]
    truth: dict[str, Any]
    truth_path: Path


def generate(
    out: Path,
    seed: int,
    scenario: str = "demo",
    *,
    servers: Sequence[str] = SERVERS,
    lines: int = 100_000,
    overwrite: bool = False,
) -> Generated:
    """Write `<server>.txt` for each server and `truth.json` into `out`; same seed, same bytes.

    `demo` is three days of two shops' traffic with everything that goes wrong in them, `small` the
    same in one evening and about a thousand lines, `load` any number of plain valid `lines` (in
    all servers together; its truth is counts only). The truth holds `logs` (per server: lines,
    valid, invalid by reason, bytes) and `reports` (the rows that `report NAME --format json`
    gives). Raises UsageError for an unknown scenario, and rather than replace a file that differs
    unless `overwrite`; BadInput when `out` cannot be written.
    """
    made = _output(scenario, seed, servers, lines)
    paths = {server: out / f"{server}.txt" for server in servers}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".draft-") as draft:
            sizes = {name: _write(Path(draft, f"{name}.txt"), made.chunks[name]) for name in paths}
            truth = _truth(scenario, seed, made, sizes)
            text = json.dumps(truth, indent=1, ensure_ascii=False)
            Path(draft, TRUTH).write_text(text + "\n", "utf-8")
            _publish(Path(draft), out, overwrite)
    except OSError as error:
        raise BadInput(f"cannot write logs into {out}: {error.strerror}") from error
    return Generated(paths, truth, out / TRUTH)


def until(out: Path, seed: int, end: int, servers: Sequence[str] = SERVERS) -> dict[str, Path]:
    """Write the log of each server: the days of `demo`, moved so that they end at `end` (epoch s).

    Raises BadInput when `out` cannot be written.
    """
    paths = {server: out / f"{server}.txt" for server in servers}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for log in story.plan(story.SHAPES["demo"], f"demo/{seed}", servers):
            paths[log.server].write_bytes(story.shifted(log, end - story.END).written())
    except OSError as error:
        raise BadInput(f"cannot write logs into {out}: {error.strerror}") from error
    return paths


def going_on(seed: int, start: int, servers: Sequence[str] = SERVERS) -> Iterator[dict[str, bytes]]:
    """What each server logs in each second from `start` (epoch s) on, without end."""
    for logs in story.going_on(story.SHAPES["demo"], f"live/{seed}", servers, start):
        yield {log.server: log.written() if log.lines else b"" for log in logs}


def _output(scenario: str, seed: int, servers: Sequence[str], lines: int) -> Output:
    if scenario not in SCENARIOS:
        raise UsageError(f"there is no scenario {scenario}", f"choose from {', '.join(SCENARIOS)}")
    if not servers or lines < 0:
        raise UsageError("a scenario needs a server, and no fewer than 0 lines")
    if scenario == "load":
        return load.output(seed, servers, lines)
    logs = story.plan(story.SHAPES[scenario], f"{scenario}/{seed}", servers)
    return output(logs, answers.reports(logs))


def _truth(scenario: str, seed: int, made: Output, sizes: dict[str, int]) -> dict[str, Any]:
    logs = {name: {**counts, "bytes": sizes[name]} for name, counts in made.line_counts.items()}
    return {"scenario": scenario, "seed": seed, "logs": logs, "reports": made.reports}


def _write(path: Path, chunks: Iterable[bytes]) -> int:
    with path.open("wb") as file:
        return sum(file.write(chunk) for chunk in chunks)


def _publish(draft: Path, out: Path, overwrite: bool) -> None:
    """All files are published, or none: a log and a truth of two seeds never lie together."""
    targets = {file: out / file.name for file in sorted(draft.iterdir())}
    differ = [to for file, to in targets.items() if to.exists() and not _same(file, to)]
    if differ and not overwrite:
        raise UsageError(
            f"{differ[0]} exists and holds something else",
            "choose another directory, or say to overwrite it",
        )
    for file, to in targets.items():
        file.replace(to)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and cmp(one, other, shallow=False)
