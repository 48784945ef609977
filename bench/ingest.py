"""The throughput of ingest, measured. See bench/README.md; needs the checkout's environment.

python bench/ingest.py                        lines/s from the spool to Kafka and HDFS
python bench/ingest.py --stamping [FILE ...]  lines/s of the spooler alone, on one core
python bench/ingest.py --memory               its peak memory while it spools a big log
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clickstream import output
from clickstream.errors import ClickstreamError

Rows = list[dict[str, Any]]


def main() -> int:
    """Parse, measure, print; 1 with a sentence when something failed."""
    options = _parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, break_off)
    mode = _stamping if options.stamping is not None else _memory if options.memory else _chain
    try:
        with place_of(options) as place:
            report = mode(options, place)
    except ClickstreamError as error:
        print(f"error: {error.message}\n{error.hint or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def break_off(_number: int, _frame: object) -> None:
    """Tear down, once: a second signal must not stop that half way."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--stamping", nargs="*", type=Path, metavar="FILE", help="these logs, or a made one")
    add("--memory", action="store_true", help="see above")
    add("--gigabytes", type=float, nargs="+", default=[1, 2, 5, 10], help="for --memory")
    add("--channel", choices=["file", "memory"], nargs="+", default=["file", "memory"])
    add("--servers", type=int, nargs="+", default=[1, 2], help="how many (default: 1 and 2)")
    add("--lines", type=int, default=400_000, help="measured in each case, all servers together")
    add("--warm", type=int, default=100_000, help="lines before them, not measured")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, repeatable")
    add("--json", type=Path, metavar="FILE", help="write the figures there as well")
    add("--keep", type=Path, metavar="DIR", help="work there and leave logs and files behind")
    return parser


@contextmanager
def place_of(options: argparse.Namespace) -> Iterator[Path]:
    """The directory to work in, removed in the end unless --keep names it."""
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        yield options.keep.absolute()
        return
    place = Path(tempfile.mkdtemp(prefix="clickstream-bench-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _chain(options: argparse.Namespace, place: Path) -> Rows:
    import chain

    flags = dict(text.split("=", 1) for text in options.set)
    results = []
    with chain.stack(place, flags) as base:
        for case in chain.cases(
            options.channel, options.servers, options.lines, options.warm, flags
        ):
            results.append(chain.measure(place, base, case))
            show_result(results[-1])
    return [result_row(result) for result in results]


def result_row(result: Any) -> dict[str, Any]:
    """A result as JSON takes it."""
    loads = [load._asdict() for load in result.loads]
    case = result.case._asdict()
    return {**result._asdict(), "case": case, "loads": loads, "lines_per_s": result.rate}


def show_result(result: Any) -> None:
    """Print one case: its rates, then what each process took."""
    case, rate = result.case, result.case.lines
    row = {
        "case": case.name,
        "lines": case.lines,
        "to Kafka lines/s": round(rate / result.kafka_s),
        "to HDFS lines/s": round(rate / result.hdfs_s),
        "both lines/s": result.rate,
        "closed after s": f"{result.closed_s:.1f}",
        "idle %": result.idle_percent,
        "others %": result.others_percent,
    }
    output.show([row], list(row), "table")
    loads = [
        {
            "process": load.process,
            "CPU s": f"{load.cpu_s:.1f}",
            "CPU us/line": round(load.cpu_s * 1e6 / case.lines),
            "peak MB": load.peak_mb,
        }
        for load in result.loads
    ]
    output.show(loads, list(loads[0]), "table")
    sys.stdout.flush()


def _stamping(options: argparse.Namespace, place: Path) -> Rows:
    import made
    import spooling

    logs = options.stamping or [place / "made.log"]
    if not options.stamping:
        with logs[0].open("wb") as file:
            file.writelines(made.blocks(1, options.lines))
    rows = []
    for each in (spooling.stamp(place, log) for log in logs):
        figures = {"lines": each.lines, "MB": each.bytes // 10**6, "lines/s": each.rate}
        rows.append({"log": each.log, **figures, "seconds": f"{each.seconds:.2f}"})
    output.show(rows, list(rows[0]), "table", footer="lines/s: per CPU second, on one core")
    return rows


def _memory(options: argparse.Namespace, place: Path) -> Rows:
    import spooling

    rows = []
    for each in spooling.memory(place, options.gigabytes):
        rows.append({"GB": f"{each.gigabytes:g}", "lines": each.lines, "peak MB": each.peak_mb})
        print(f"{each.gigabytes:g} GB after {each.seconds:.0f} s", file=sys.stderr)
    output.show(rows, list(rows[0]), "table")
    return rows


if __name__ == "__main__":
    sys.exit(main())
