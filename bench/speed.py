"""The speed layer, measured. See bench/README.md; needs the checkout's environment.

python bench/speed.py                   batch time and freshness at 1k, 10k and 50k rows/s
python bench/speed.py --highest         the highest rate that is sustained
python bench/speed.py --soak MINUTES    memory and state over time, at the first of --rates
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import command_line
from command_line import Rows

from clickstream.console import output

STEPS = (10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 80_000, 100_000)
SOAKED = 10_000
LEVELS = "▁▂▃▄▅▆▇█"
CURVES = ("jvm_mb", "python_mb", "cassandra_mb", "checkpoint_kb", "batch_p50", "batch_p95")


def main() -> int:
    """Parse, measure, print."""
    options = _parser().parse_args()
    return command_line.run(options, _soak if options.soak else _rates)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--rates", type=int, nargs="+", metavar="ROWS", help="rows/s, both servers together")
    add("--highest", action="store_true", help="see above; stops at the first rate that is not")
    add("--soak", type=float, metavar="MINUTES", help="see above")
    add("--distinct", action="store_true", help="each line of another host, to another path")
    add("--every", type=float, default=30, metavar="SECONDS", help="of a soak's samples")
    add("--batches", type=int, default=100, help="measured in each case")
    add("--warm", type=int, default=30, help="batches before them, not measured")
    return parser


def _case(options: argparse.Namespace, rate: int) -> Any:
    import stream

    flags = command_line.flags(options)
    batches = (options.batches, options.warm)
    return stream.Case(f"rate-{rate}", rate, *batches, flags, options.distinct)


def _rates(options: argparse.Namespace, directory: Path) -> Rows:
    import chain
    import stream

    rates = options.rates or (STEPS if options.highest else (1000, 10_000, 50_000))
    results = []
    with chain.stack(directory, {}, stream.SERVICES) as base:
        for rate in rates:
            results.append(stream.measure(directory, base, _case(options, rate)))
            show_result(results[-1])
            if options.highest and not results[-1].sustained:
                break
    return [_json(result) for result in results]


def show_result(result: Any) -> None:
    """Print one case: its times, the parts of a batch, and what each process took."""
    row = {
        "rows/s": result.case.rate,
        "batches": result.batches,
        "batch ms p50": result.batch_ms.p50,
        "p95": result.batch_ms.p95,
        "max": result.batch_ms.max,
        "fresh ms p50": result.fresh_ms.p50,
        "fresh p95": result.fresh_ms.p95,
        "fresh max": result.fresh_ms.max,
        "most behind": result.behind,
        "sustained": "yes" if result.sustained else "no",
        "idle %": result.idle_percent,
    }
    output.show([row], list(row), "table")
    output.show([result.parts], list(result.parts), "table", footer="ms of a batch, medians")
    output.show([result.cpu_ms], list(result.cpu_ms), "table", footer="ms of CPU per batch")
    sys.stdout.flush()


def _json(result: Any) -> dict[str, Any]:
    times = {name: getattr(result, name)._asdict() for name in ("batch_ms", "fresh_ms")}
    return result._asdict() | times | {"case": result.case._asdict()}


def _soak(options: argparse.Namespace, directory: Path) -> Rows:
    import chain
    import stream

    rate = options.rates[0] if options.rates else SOAKED
    samples = []
    with chain.stack(directory, {}, stream.SERVICES) as base:
        for sample in stream.soak(
            directory, base, _case(options, rate), options.soak, options.every
        ):
            samples.append(sample._asdict())
            print("  ".join(f"{key} {value}" for key, value in samples[-1].items()), flush=True)
    print(f"{samples[-1]['counted']} of {samples[-1]['sent']} lines counted, each once")
    for name in CURVES:
        values = [sample[name] for sample in samples]
        print(f"{name:>14} {curve(values)} {values[0]} .. {values[-1]}, most {max(values)}")
    return samples


def curve(values: list[float], width: int = 60) -> str:
    """The values as bars from nought, at most `width` of them: each is the most of its stretch."""
    step = max(1, -(-len(values) // width))
    most = max(values) or 1
    peaks = [max(values[at : at + step]) for at in range(0, len(values), step)]
    return "".join(LEVELS[round(peak / most * (len(LEVELS) - 1))] for peak in peaks)


if __name__ == "__main__":
    sys.exit(main())
