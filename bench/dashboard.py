"""The dashboard, measured beside a stream: real Kafka and Cassandra, a real driver, lines at 10k/s.

python bench/dashboard.py               # a snapshot; what pages cost the stream; fifty clients
python bench/dashboard.py --soak 60     # its memory over an hour: a batch a second, eight pages
python bench/dashboard.py --address URL # fifty clients of a dashboard that runs, and its page

URL is what `clickstream dashboard` or `clickstream demo --dashboard` prints. The page is opened in
Debian's chromium, where that and requirements-browser.txt are installed.
"""

import argparse
import http
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import parse_qs, urlsplit

import chain
import command_line
import psutil
import stream
from command_line import Rows

from clickstream import config
from clickstream.config import Settings
from clickstream.dashboard.snapshot import snapshot
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.counts import CATEGORY, IP, MINUTE, NON_200
from clickstream.views.realtime.writer import Batch, Writer

CLIENTS, TABS = 50, 8
SECONDS = 30
RATE = 10_000
WARM, BATCHES = 60, 60
HOSTS = 200


class Pages:
    """So many pages that ask for the snapshot each second, each over a connection of its own."""

    def __init__(self, address: str, number: int) -> None:
        parts = urlsplit(address)
        self.taken: list[float] = []
        self._given = (parts.port, parse_qs(parts.query)["token"][0])
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._poll) for _ in range(number)]

    def __enter__(self) -> "Pages":
        for thread in self._threads:
            thread.start()
            time.sleep(1 / len(self._threads))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _poll(self) -> None:
        port, token = self._given
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        seen = ""
        while not self._ending.wait(1):
            began = time.monotonic()
            login = {"Authorization": f"Bearer {token}"}
            connection.request("GET", f"/api/now{seen}", headers=login)
            answer = connection.getresponse()
            body = answer.read()
            self.taken.append(time.monotonic() - began)
            if answer.status == http.HTTPStatus.OK:
                seen = f"?seen={json.loads(body)['batch']}"
        connection.close()


@contextmanager
def dashboard(settings: Settings) -> Iterator[tuple[str, psutil.Popen]]:
    """A dashboard of these settings: its address, its process."""
    argv = [sys.executable, "-m", "clickstream", "dashboard"]
    process = psutil.Popen(argv, env=settings.child_env(), stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()[-1], process
    finally:
        process.terminate()
        process.wait(30)


def polled(address: str, number: int, seconds: float) -> dict[str, float]:
    """What an answer took, in ms."""
    with Pages(address, number) as pages:
        time.sleep(seconds)
    taken = [1000 * each for each in pages.taken]
    p99 = round(quantiles(taken, n=100)[98])
    return {"pages": number, "answers": len(taken), "p99": p99} | stream.spread(taken)._asdict()


def page_ready_s(address: str) -> list[float]:
    """Seconds from asking for the page until it shows figures, in a tab that is open, ten times.

    Empty where there is no browser.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return []
    if shutil.which("chromium") is None:
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        taken = []
        for _ in range(10):
            context = browser.new_context()
            page = context.new_page()
            time.sleep(1)  # a browser that opens a window is busy with its own bars
            began = time.monotonic()
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            taken.append(round(time.monotonic() - began, 2))
            context.close()  # a page goes on asking
        browser.close()
    return taken


def shown(row: dict[str, object]) -> dict[str, object]:
    """Print a row of figures."""
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def _beside_a_stream(options: argparse.Namespace, directory: Path) -> Rows:
    case = stream.Case("dashboard", options.rate, BATCHES, WARM, command_line.flags(options))
    with (
        chain.stack(directory, {}, stream.SERVICES) as base,
        stream.running(directory, base, case) as run,
    ):
        run.feed(stream.LONG_S)
        _batches(run, WARM)
        rows = [shown({"stream": "alone", **_batches(run, BATCHES)})]
        with dashboard(run.settings) as (address, process):
            with Pages(address, TABS):
                rows.append(shown({"stream": f"{TABS} pages", **_batches(run, BATCHES)}))
                spent = sum(process.cpu_times()[:2])
                rows.append(shown({"stream": f"{TABS} pages", **_batches(run, BATCHES)}))
                spent = (sum(process.cpu_times()[:2]) - spent) / BATCHES
            rows.append(shown({"dashboard": "CPU ms a batch", "ms": round(1000 * spent)}))
            rows.append(shown({"stream": "alone", **_batches(run, BATCHES)}))
            rows.append(shown({"snapshot": "ms", **_snapshots(run.settings, SECONDS)}))
            rows.append(shown(polled(address, CLIENTS, SECONDS)))
            rows.append(shown({"page ready, s": page_ready_s(address)}))
    return rows


def _batches(run: stream.Run, number: int) -> dict[str, float]:
    """The times of the next batches, in ms."""
    first = max(run.seen, default=-1)
    run.watch(lambda: max(run.seen, default=-1) >= first + number, stream.TIMEOUT_S * 2)
    times = [status.batch_ms for batch, status in run.seen.items() if batch > first]
    return stream.spread(times)._asdict() | {"idle_percent": round(psutil.cpu_times_percent().idle)}


def _snapshots(settings: Settings, seconds: int) -> dict[str, float]:
    """What the dashboard's watcher does each second, in ms."""
    taken, size = [], 0
    with RealTime.connect(settings, reader=True) as views:
        for _ in range(seconds):
            began = time.monotonic()
            batch = views.status()["batch"]
            size = len(json.dumps(snapshot(settings, views, batch)))
            taken.append(1000 * (time.monotonic() - began))
            time.sleep(1)
    return stream.spread(taken)._asdict() | {"bytes": size}


def _soak(options: argparse.Namespace, directory: Path) -> Rows:
    rows: Rows = []
    with chain.stack(directory, {}, ("cassandra",)) as base:
        settings = config.load(
            home=base.home, flags=base.origin.flags | command_line.flags(options)
        )
        with Writer.connect(settings) as writer:
            writer.resume("bench", 0)
            writer.write(0, _batch(settings, int(time.time())))
            with dashboard(settings) as (address, process), Pages(address, TABS) as pages:
                until, number = time.monotonic() + 60 * options.soak, 0
                while time.monotonic() < until:
                    number += 1
                    writer.write(number, _batch(settings, int(time.time())))
                    if number % 60 == 1:
                        row = {"minute": number // 60, "mb": process.memory_info().rss / 2**20}
                        rows.append(shown(row | {"answers": len(pages.taken)}))
                    time.sleep(1)
    values = [row["mb"] for row in rows]
    print(f"MB: {values[0]:.1f} .. {values[-1]:.1f}, median {median(values):.1f}")
    return rows


def _batch(settings: Settings, second: int) -> Batch:
    """A second of HOSTS requests to each server, a tenth of them failures."""
    keys = {
        IP: {f"10.0.{host // 250}.{host % 250}": 1 for host in range(HOSTS)},
        CATEGORY: {f"/section{host % 20}": HOSTS // 20 for host in range(20)},
        NON_200: {"404": HOSTS // 10},
        MINUTE: {"success": HOSTS - HOSTS // 10, "failure": HOSTS // 10},
    }
    minute = second // 60 * 60
    minutes = {
        (metric, minute): {
            server: {minute if metric == MINUTE else second: dict(counts)}
            for server in settings.servers
        }
        for metric, counts in keys.items()
    }
    return Batch(minutes, {}, {server: {"counted": HOSTS} for server in settings.servers})


def _running(options: argparse.Namespace, _: Path) -> Rows:
    """Measure a dashboard that was started by somebody else."""
    rows = [shown(polled(options.address, CLIENTS, SECONDS))]
    rows.append(shown({"page ready, s": page_ready_s(options.address)}))
    print(f"load {os.getloadavg()[0]:.1f}")
    return rows


def main() -> int:
    """Parse, measure, print."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--rate", type=int, default=RATE, help="rows/s")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="see above")
    parser.add_argument("--address", metavar="URL", help="see above")
    options = parser.parse_args()
    measure = _soak if options.soak else _running if options.address else _beside_a_stream
    return command_line.run(options, measure)


if __name__ == "__main__":
    sys.exit(main())
