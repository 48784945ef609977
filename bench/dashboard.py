"""How long the dashboard takes to answer many pages.

    python bench/dashboard.py ADDRESS

ADDRESS is what `clickstream dashboard` or `clickstream demo --dashboard` prints. Fifty clients ask
for the snapshot each second, as pages do, each over a connection of its own.
"""

import http
import http.client
import json
import os
import sys
import threading
import time
from statistics import median, quantiles
from urllib.parse import parse_qs, urlsplit

CLIENTS = 50
SECONDS = 20


def client(port: int, token: str, until: float, taken: list[float]) -> None:
    """Poll until a moment of the monotonic clock; `taken` gets the seconds of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    seen = ""
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("GET", f"/api/now{seen}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == http.HTTPStatus.OK:
            seen = f"?seen={json.loads(body)['batch']}"
        taken.append(time.monotonic() - began)
        time.sleep(1)
    connection.close()


def main(address: str) -> None:
    """Ask, and print what it took in ms beside the load of the machine."""
    parts = urlsplit(address)
    given = (parts.port, parse_qs(parts.query)["token"][0], time.monotonic() + SECONDS)
    taken: list[float] = []
    threads = [threading.Thread(target=client, args=(*given, taken)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
        time.sleep(1 / CLIENTS)
    for thread in threads:
        thread.join()
    p99 = quantiles(taken, n=100)[98]
    print(
        f"{CLIENTS} clients, {len(taken)} answers: p50 {1000 * median(taken):.1f} ms,"
        f" p99 {1000 * p99:.1f} ms; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main(sys.argv[1])
