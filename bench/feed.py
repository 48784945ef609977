"""Stamped lines into the topic at an even rate: librdkafka sends, Python only cuts text.

python feed.py BOOTSTRAP TOPIC SERVERS RATE SECONDS [distinct]

A process of its own: its CPU is known. `distinct`: each line of another host, to another path.

Each tenth of a second is one text made in advance, in which the moment and the high digits of the
offsets are replaced, so no line is a copy of another. After each, `time lines` is printed: the
clock and all lines handed over by then; at the end the CPU seconds it took. SIGTERM or Ctrl-C ends
it early.
"""

import re
import signal
import sys
import threading
import time
from typing import NamedTuple

import generated_logs
from confluent_kafka import Producer

TICK_S = 0.1
BLOCK, MS, DATE, TIME = b"@block@@", b"@ms@", b"@date@", b"@time@"
FILE = b"00000000000000aa"
_PRINTED = re.compile(rb"\[[^\]]*\]")
_HOST_AND_PATH = re.compile(rb"^[^ ]+( .*?\"GET /)[^/ ]+")


class Server(NamedTuple):
    """A server's lines of one tick, with gaps for what changes."""

    partition: int
    template: bytes

    def values(self, block: int, now: float) -> list[bytes]:
        """The lines of that moment; `block` numbers the ticks."""
        clock = time.gmtime(now)
        return (
            self.template.replace(BLOCK, b"%08d" % block)
            .replace(MS, b"%d000" % int(now))
            .replace(DATE, time.strftime("%Y-%m-%d", clock).encode())
            .replace(TIME, time.strftime("%d/%b/%Y:%H:%M:%S +0000", clock).encode())
            .split(b"\n")
        )


def server(number: int, lines: int, distinct: bool) -> Server:
    """The server weblog<number + 1>, of that many lines in a tick."""
    log = b"".join(generated_logs.blocks(number + 1, lines)).splitlines()
    stamp = b"v1:weblog%d:%s:%s%%07d\t%s\t%s\t" % (number + 1, FILE, BLOCK, MS, DATE)
    raw = [_PRINTED.sub(b"[%s]" % TIME, line, count=1) for line in log]
    if distinct:
        own = rb"h%d-%s-%d\g<1>h%d-%s-%d"
        raw = [
            _HOST_AND_PATH.sub(own % ((number, BLOCK, at) * 2), line) for at, line in enumerate(raw)
        ]
    return Server(number, b"\n".join(stamp % at + line for at, line in enumerate(raw)))


def feed(
    bootstrap: str, topic: str, servers: int, rate: int, seconds: float, distinct: bool
) -> None:
    """Send that many lines per second, all servers together."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 2_000_000}
    )
    lines = round(rate * TICK_S / servers)
    sources = [server(number, lines, distinct) for number in range(servers)]
    began, total = time.time(), 0
    for block in range(round(seconds / TICK_S)):
        if ending.is_set():
            break
        due = began + block * TICK_S
        time.sleep(max(0.0, due - time.time()))
        for each in sources:
            values = each.values(block, due)
            records = [{"value": value} for value in values]
            total += producer.produce_batch(topic, records, partition=each.partition)
        print(f"{time.time():.3f} {total}", flush=True)
        producer.poll(0)
    if producer.flush(60):
        raise SystemExit("not every line was taken")
    print(f"cpu {time.process_time():.2f}", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    feed(*words[:2], *map(int, words[2:4]), float(words[4]), "distinct" in words[5:])
