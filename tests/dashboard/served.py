"""A dashboard that really serves, and who asks it."""

import http.client
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from clickstream.dashboard import run
from clickstream.dashboard.watcher import Watcher


class Client:
    """Asks the dashboard as a browser would, with the token's cookie."""

    def __init__(self, address):
        parts = urlsplit(address)
        self.port, self.token = parts.port, parts.query.removeprefix("token=")
        self.address = address

    def get(self, path, method="GET", cookie=True, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        if cookie:
            given["Cookie"] = f"clickstream_{self.port}={self.token}"
        connection.request(method, path, headers=given)
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        connection.close()
        return answer


@contextmanager
def serving(settings, connect=None):
    """A dashboard in a thread; `connect` gives other real-time views than the home's."""
    with Watcher(settings, connect) as watcher:
        prepared = run.prepare(settings, watcher)
        server = threading.Thread(
            target=prepared.server.run, kwargs={"sockets": [prepared.listener]}, daemon=True
        )
        server.start()
        try:
            yield Client(prepared.address)
        finally:
            prepared.server.should_exit = True
            server.join(10)
            prepared.listener.close()
