"""Every fault, seed by seed, on real services: `python -m tests.faults --help`."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.faults.faults import FAULTS
from tests.faults.lane import Result, lane
from tests.faults.table import table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults asked for and print their table; 1 when anything was lost or doubled."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = list(_side_by_side(asked) if asked.lanes > 1 else _alone(asked))
    if asked.out:
        rows = [result._asdict() for result in results]
        asked.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if not asked.share:
        print(table(results))
        for result in results:
            if not result.good():
                print(f"\n{result.fault}, seed {result.seed}: {result}", file=sys.stderr)
    return 0 if results and all(result.good() for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    add = parser.add_argument
    add("--fault", action="append", choices=list(FAULTS), help="only this one; may be repeated")
    add("--seeds", type=int, default=10, help="runs of each fault (default: %(default)s)")
    add("--first-seed", type=int, default=1, help="the seeds count from here")
    add("--quick", action="store_true", help="the cheap faults, one seed each")
    add("--lanes", type=int, default=1, help="stacks side by side, which share the runs")
    add("--audit", choices=("each", "last", "never"), default="each", help="after which runs")
    add("--out", type=Path, help="the results as JSON")
    add("--share", default="", help=argparse.SUPPRESS)
    return parser


def _alone(asked: argparse.Namespace) -> Iterator[Result]:
    mine, lanes = map(int, asked.share.split("/")) if asked.share else (0, 1)
    names = asked.fault or [
        fault.name
        for fault in FAULTS.values()
        if fault.cheap or not (asked.quick or fault.only_by_name)
    ]
    seeds = range(asked.first_seed, asked.first_seed + (1 if asked.quick else asked.seeds))
    # Lanes begin with different faults, so that one computes while another waits.
    turn = mine * len(names) // lanes
    numbered = list(enumerate(names))
    with lane(asked.audit) as runs_on:
        for number, name in numbered[turn:] + numbered[:turn]:
            shared = [seed for seed in seeds if (seed + number) % lanes == mine]
            for result in runs_on.runs(FAULTS[name], shared):
                _tell(result)
                yield result


def _side_by_side(asked: argparse.Namespace) -> Iterator[Result]:
    """The same command in several processes; each takes its share of the seeds of every fault."""
    own = [f"--fault={name}" for name in asked.fault or []] + ["--quick"] * asked.quick
    own += [f"--audit={asked.audit}"]
    own += [f"--seeds={asked.seeds}", f"--first-seed={asked.first_seed}"]
    with ExitStack() as held:
        directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
        outs = [directory / f"{number}.json" for number in range(asked.lanes)]
        lanes = []
        held.callback(_end, lanes)
        for number, out in enumerate(outs):
            share = [f"--share={number}/{asked.lanes}", f"--out={out}"]
            argv = [sys.executable, "-m", "tests.faults", *own, *share]
            # In a session of its own: Ctrl-C reaches a lane once, through us.
            lanes.append(subprocess.Popen(argv, start_new_session=True))
        for each in lanes:
            each.wait()
        for out in outs:
            if not out.exists():
                sys.exit("a lane broke down: its error is above")
            for row in json.loads(out.read_text("utf-8")):
                yield Result(**row)


def _end(lanes: list["subprocess.Popen[bytes]"]) -> None:
    for each in lanes:
        each.terminate()
    for each in lanes:
        each.wait()


def _tell(result: Result) -> None:
    verdict = "ok" if result.good() else "FAILED"
    counts = ("lost", "doubled", "altered", "copies")
    print(
        f"{result.fault} seed {result.seed}: {verdict}, {result.note or 'killed'};",
        *(f"{getattr(result, name)} {name}," for name in counts),
        f"{result.recovered} open files recovered; all there in {result.recovery_s} s,",
        f"{result.seconds} s in all",
        *(f"\n  {problem}" for problem in result.problems),
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
