"""The batch layer, measured. See bench/README.md; needs the checkout's environment.

python bench/batch.py                          days of 1 and 5 million lines, and other tools
python bench/batch.py --lines 1000000 --twice  the same day with a file that is there twice
python bench/batch.py --history 0 365          the same day after so many others
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import command_line
from command_line import Rows

from clickstream.console import output


def main() -> int:
    """Parse, measure, print."""
    options = _parser().parse_args()
    return command_line.run(options, _measure)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--lines", type=int, nargs="+", default=[1_000_000, 5_000_000], help="of the day")
    add("--history", type=int, nargs="+", default=[0], metavar="DAYS", help="counted before it")
    add("--twice", action="store_true", help="see above")
    add("--runs", type=int, default=1, help="of each; every run starts its own JVM")
    add("--goaccess", default=shutil.which("goaccess"), metavar="PROGRAM", help="else from PATH")
    add("--duckdb", metavar="PYTHON", help="a Python that has duckdb; else this one, if it has")
    add("--alone", action="store_true", help="without the other tools")
    return parser


def _measure(options: argparse.Namespace, directory: Path) -> Rows:
    import chain
    import daily

    goaccess, duckdb = options.goaccess, daily.duckdb(options.duckdb)
    for name, found in (("goaccess", goaccess), ("duckdb", duckdb)):
        if not found and not options.alone:
            print(f"note: {name} is not here, and is left out", file=sys.stderr)
    flags = command_line.flags(options)
    results = []
    with chain.stack(directory, flags, daily.SERVICES) as base:
        for lines in options.lines:
            for history in options.history:
                master = daily.CaseHome(directory, base, daily.Case(lines, options.twice, history))
                master.fill()
                found = [master.measure() for _ in range(options.runs)]
                found += [] if options.alone else master.others(goaccess, duckdb)
                show(found)
                results += found
                master.clear()
    return [result._asdict() | {"case": result.case._asdict()} for result in results]


def show(results: list[Any]) -> None:
    """Print a case: each process, and the stages of ours."""
    rows = [
        {
            "process": each.what,
            "lines": each.case.lines,
            "days before": each.case.history,
            "s": each.seconds,
            "lines/s": each.rate,
            "CPU s": each.cpu_s,
            "peak MB": each.peak_mb,
            "HDFS, MariaDB CPU s": each.services_s,
        }
        for each in results
    ]
    output.show(rows, list(rows[0]), "table")
    for each in results:
        if each.stages:
            print("; ".join(f"{at:.1f} s {stage}" for at, stage in each.stages))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
