"""The throughput of ingest, measured. See bench/README.md; needs the checkout's environment.

python bench/ingest.py                        lines/s from the spool to Kafka and HDFS
python bench/ingest.py --stamping [FILE ...]  lines/s of the spooler alone, on one core
python bench/ingest.py --memory               its peak memory while it spools a big log
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import command_line
from command_line import Rows

from clickstream.console import output


def main() -> int:
    """Parse, measure, print."""
    options = _parser().parse_args()
    mode = _stamping if options.stamping is not None else _memory if options.memory else _chain
    return command_line.run(options, mode)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--stamping", nargs="*", type=Path, metavar="FILE", help="these logs, or a made one")
    add("--memory", action="store_true", help="see above")
    add("--gigabytes", type=float, nargs="+", default=[1, 2, 5, 10], help="for --memory")
    add("--channel", choices=["file", "memory"], nargs="+", default=["file", "memory"])
    add("--servers", type=int, nargs="+", default=[1, 2], help="how many (default: 1 and 2)")
    add("--lines", type=int, default=400_000, help="measured in each case, all servers together")
    add("--warm", type=int, default=100_000, help="lines before them, not measured")
    return parser


def _chain(options: argparse.Namespace, directory: Path) -> Rows:
    import chain

    flags = command_line.flags(options)
    results = []
    with chain.stack(directory, flags) as base:
        for case in chain.cases(
            options.channel, options.servers, options.lines, options.warm, flags
        ):
            results.append(chain.measure(directory, base, case))
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


def _stamping(options: argparse.Namespace, directory: Path) -> Rows:
    import generated_logs
    import spooling

    logs = options.stamping or [directory / "made.log"]
    if not options.stamping:
        with logs[0].open("wb") as file:
            file.writelines(generated_logs.blocks(1, options.lines))
    rows = []
    for each in (spooling.stamp(directory, log) for log in logs):
        figures = {"lines": each.lines, "MB": each.bytes // 10**6, "lines/s": each.rate}
        rows.append({"log": each.log, **figures, "seconds": f"{each.seconds:.2f}"})
    output.show(rows, list(rows[0]), "table", footer="lines/s: per CPU second, on one core")
    return rows


def _memory(options: argparse.Namespace, directory: Path) -> Rows:
    import spooling

    rows = []
    for each in spooling.memory(directory, options.gigabytes):
        rows.append({"GB": f"{each.gigabytes:g}", "lines": each.lines, "peak MB": each.peak_mb})
        print(f"{each.gigabytes:g} GB after {each.seconds:.0f} s", file=sys.stderr)
    output.show(rows, list(rows[0]), "table")
    return rows


if __name__ == "__main__":
    sys.exit(main())
