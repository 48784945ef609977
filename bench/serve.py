"""Whole-process time of every report over a year of made views; no line is behind them.

python bench/serve.py                          # 365 days, 5 servers, 100,000 visitors a day
python bench/serve.py --days 28 --visitors 1000    # a quick look

All days but the last OPEN are final. The batch layer has counted half of each open day, the speed
layer all of the last `--speed-days` days. Services run in a temporary home. CPU is that of the
command, its children and the kernel for them; on a busy machine it says more than the clock. How
fast the machine is today is told by a loop of ten million additions.
"""

import os
import random
import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import command_line
import sqlalchemy as sa

from clickstream import config
from clickstream.config import Settings
from clickstream.days import DAY_SECONDS
from clickstream.rows import ALL, Rows
from clickstream.stack import local
from clickstream.views.batch import BatchViews, LineCount
from clickstream.views.batch_tables import DAY_TABLES, DIGEST_BYTES, visitor_sets
from clickstream.views.realtime.counts import CATEGORY, IP, MINUTE, NON_200
from clickstream.views.realtime.writer import Batch, Writer

SERVERS = [f"web{number}" for number in range(5)]
FIRST = date(2015, 1, 1)
OPEN = 2
CATEGORIES = 100
ROUNDS = 3
SPLIT = (8, 1, 1)  # of ten requests of a minute: success, failure, other
PER_MINUTE = sum(SPLIT)
SERVICES = ("cassandra", "mariadb")


def day(number: int) -> str:
    """The `number`-th day of the year."""
    return (FIRST + timedelta(days=number)).isoformat()


def start(number: int) -> int:
    """Its first second, as if its clock were UTC."""
    return (FIRST - date(1970, 1, 1)).days * DAY_SECONDS + number * DAY_SECONDS


def classes(minutes: int, servers: int = 1) -> dict[str, int]:
    """The class counts of so many minutes."""
    counts = [n * minutes * servers for n in SPLIT]
    named = dict(zip(("success", "failure", "other"), counts, strict=True))
    return named | {"requests": sum(counts)}


def batch_rows(number: int, minutes: int, visitors: int) -> dict[str, Rows]:
    """A day's rows by table: its first `minutes` minutes were counted."""
    when = {"date": day(number)}
    named = [*((server, 1) for server in SERVERS), (ALL, len(SERVERS))]
    share = visitors // len(SERVERS)
    run = {"finished": f"{day(number)}T23:59:59Z", "seconds": 1.0, "files": 5, "bytes": 1}
    run |= {"closed_ms": 1000 * start(number + 1)}
    run |= {"copies": 0, "manifest": "[]", "run": "bench", "made_with": '{"visitor": "host"}'}
    requests = classes(minutes, len(SERVERS))["requests"]
    return {
        "daily_visitors": [
            when | {"server": s, "unique_visitors": share * n}
            | {"requests": classes(minutes, n)["requests"]}
            for s, n in named
        ],
        "daily_responses": [when | {"server": s} | classes(minutes, n) for s, n in named],
        "hourly_traffic": [
            when | {"server": s, "hour": hour} | classes(60, n)
            for s, n in named
            for hour in range(minutes // 60)
        ],
        "minute_traffic": [
            when | {"server": s, "minute": f"{minute // 60:02}:{minute % 60:02}"} | classes(1)
            for s in SERVERS
            for minute in range(minutes)
        ],
        "daily_categories": [
            when | {"server": s, "rank": rank, "category": f"/{rank}", "requests": 900 - rank}
            for s, _ in named
            for rank in range(1, CATEGORIES + 1)
        ],
        "batch_runs": [when | run | {"distinct_lines": requests}],
    }  # fmt: skip


def fill_batch(settings: Settings, days: int, visitors: int) -> None:
    """The batch layer's year: like days, each with visitors of its own."""
    with BatchViews.connect(settings) as views:
        for number in range(days):
            whole = number < days - OPEN
            if number == 0 or not whole:
                views.replace_day(day(number), batch_rows(number, 1440 if whole else 720, visitors))
            with views._writing() as connection:
                for table in DAY_TABLES.values() if whole and number else ():
                    if table is not visitor_sets:
                        connection.execute(copied(table, day(number)))
                connection.execute(sa.insert(visitor_sets), sets(number, visitors))
        views.publish_line_counts(
            LineCount(server, "f" * 16, day(number), 1440 * PER_MINUTE)
            for server in SERVERS
            for number in range(days)
        )


def copied(table: sa.Table, to: str) -> sa.Insert:
    """A statement that copies the first day's rows to another day."""
    values = [sa.literal(to) if column.name == "date" else column for column in table.c]
    rows = sa.select(*values).where(table.c.date == day(0))
    return sa.insert(table).from_select([column.name for column in table.c], rows)


def sets(number: int, visitors: int) -> Rows:
    """The rows of `visitor_sets` of a day."""
    chance = random.Random(number)

    def ordered() -> bytes:
        digests = (chance.randbytes(DIGEST_BYTES) for _ in range(visitors // len(SERVERS)))
        return b"".join(sorted(digests))

    return [
        {"date": day(number), "server": server, "part": 0, "digests": ordered()}
        for server in SERVERS
    ]


def batches(days: int, speed_days: int) -> Iterator[Batch]:
    """The speed layer's last days, a batch for each hour."""
    success, failure, other = SPLIT
    for number in range(days - speed_days, days):
        for hour in range(24):
            minutes = {}
            for minute in range(start(number) + 3600 * hour, start(number) + 3600 * (hour + 1), 60):
                traffic = {"success": success, "failure": failure, "other": other}
                paths = {f"/section{rank}": 1 for rank in range(PER_MINUTE)}
                few = {IP: {"10.0.0.1": PER_MINUTE}, NON_200: {"404": 1}}
                for metric, keys in {MINUTE: traffic, CATEGORY: paths, **few}.items():
                    minutes[metric, minute] = {server: {minute: dict(keys)} for server in SERVERS}
            lines = {server: {"counted": 60 * PER_MINUTE} for server in SERVERS}
            yield Batch(minutes, {}, lines)


def fill_speed(settings: Settings, days: int, speed_days: int) -> None:
    """The speed layer's last days."""
    with Writer.connect(settings) as writer:
        writer.resume("bench", 0)
        for number, batch in enumerate(batches(days, speed_days)):
            writer.write(number, batch)


def questions(days: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is asked, and the words of it."""
    final, last = day(days - OPEN - 1), day(days - 1)
    yield "", ("--help",)
    for words in (
        "popularity", "ddos", "health", "health --peak", "visitors", "responses", "distribution",
        f"health --peak --date {day(days - OPEN)}", f"popularity --date {day(days - OPEN)}",
        "hourly", "hourly --by-weekday", "traffic --by day", "categories",
        f"visitors --date {final}", f"responses --date {final}", f"hourly --date {final}",
        f"hourly --date {last}", f"traffic --date {last} --by minute", "hourly --last 7d",
        "responses --last 28d --compare previous", "visitors --last 28d --total",
    ):  # fmt: skip
        yield "report", tuple(words.split())


def timed(settings: Settings, words: list[str], rounds: int) -> tuple[float, float, int]:
    """Median seconds of the whole process, of its CPU, and the lines that it printed."""
    argv = [sys.executable, "-m", "clickstream", "--home", str(settings.home), *words]
    for key, value in settings.origin.flags.items():
        argv[5:5] = ["--set", f"{key}={value}"]
    # Compiled, as an installed package is, and not in the source tree.
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(settings.home / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    took, used = [], []
    for number in range(rounds + 1):
        began, before = time.monotonic(), cpu_s()
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
        if number:  # The first one compiles.
            took.append(time.monotonic() - began)
            used.append(cpu_s() - before)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stderr}")
    return median(took), median(used), len(done.stdout.splitlines())


def loop_s() -> float:
    """The seconds that ten million additions take this Python on this machine."""
    began = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number * number
    return time.process_time() - began


def cpu_s() -> float:
    """The CPU of every child that has ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measure(options: Namespace, directory: Path) -> Rows:
    """A row for each report."""
    flags = {f"servers.{server}.agent": f"edge-{server}" for server in SERVERS}
    settings = config.load(home=directory / "home", flags=flags | command_line.flags(options))
    local.up(settings, SERVICES)
    try:
        began = time.monotonic()
        fill_batch(settings, options.days, options.visitors)
        print(f"batch views: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        fill_speed(settings, options.days, options.speed_days)
        print(f"speed views: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        rows = [{"what": "the loop", "seconds": round(loop_s(), 2)}]
        print(rows[-1], file=sys.stderr, flush=True)
        for group, words in questions(options.days):
            asked = [group, *words] if group else [*words]
            seconds, cpu, lines = timed(settings, asked, options.rounds)
            row = {"what": " ".join(words), "seconds": round(seconds, 2), "cpu": round(cpu, 2)}
            rows.append(row | {"lines": lines})
            print(rows[-1], file=sys.stderr, flush=True)
        return rows
    finally:
        local.down(settings)


def main() -> int:
    """Parse, measure, print."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--visitors", type=int, default=100_000, help="of a day, over all servers")
    parser.add_argument("--speed-days", type=int, default=38, help="5,500 partitions of a metric")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    return command_line.run(parser.parse_args(), measure)


if __name__ == "__main__":
    sys.exit(main())
