"""The page in a browser over real views: alerts open and end, a store dies and comes back."""

from collections import Counter

import pytest

from clickstream.stack import local
from tests.dashboard.browser import chromium, shown, visit
from tests.dashboard.served import serving
from tests.stack.streams import stream
from tests.stack.test_alerts import EVIL, ask
from tests.stack.test_speed_layer import BASE, line, stamped
from tests.stack.test_speed_restart import cassandra, restarted

__all__ = ["chromium", "restarted", "visit"]

HOSTILE = b"/<img"


def popularity(page):
    """Category and requests as the page shows them."""
    return Counter(
        {name: int(n) for name, n in (text.split("\n") for text in shown(page, "#popularity .bar"))}
    )


def reported(run):
    rows = ask(run, "report", "popularity")
    return Counter({row["category"]: row["requests"] for row in rows})


@pytest.mark.usefixtures("restarted")
@pytest.mark.campaign("kills Cassandra; each state of the page is tested over views in memory")
def test_alerts_live_on_the_page_and_a_killed_store_comes_back(settings, fresh, run, visit):
    attack = [line(BASE + 5, EVIL, b"/login?n=%d" % n) for n in range(101)]
    records = stamped("weblog1", [*attack, line(BASE + 9, path=HOSTILE), line(BASE + 400)])
    ends = Counter()
    with serving(fresh) as client:
        with stream(fresh, ends=ends) as hand:
            hand.take({0: records[:-1]})
            page = visit(client.address, expected=("Failed to load resource",))
            page.wait_for_selector("#alerts li.open")
            assert popularity(page) == reported(run) == {"/login": 101, HOSTILE.decode(): 1}
            number = hand.number
        cassandra(settings).kill()
        page.wait_for_selector(".pill.away")
        assert popularity(page)["/login"] == 101
        assert "Cassandra" in page.inner_text("#pill")
        local.up(settings, ["cassandra"])
        page.wait_for_selector(".pill.away", state="detached", timeout=60_000)
        with stream(fresh, number, ends) as hand:
            hand.take({0: records[-1:]})
            page.wait_for_selector("#alerts li.resolved")
            assert popularity(page) == reported(run) == {"/a": 1}
