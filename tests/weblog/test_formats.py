"""A change of format that would misread what is stored is refused; any other is free."""

import pytest

from clickstream import config
from clickstream.errors import BadInput
from clickstream.ledger import VALID, Ledger, LogFile
from clickstream.weblog import formats

LOG = LogFile("weblog1", "0123456789abcdef", "/source/weblog1/a", 100, "d1", False)


@pytest.fixture
def home(tmp_path):
    def of(name):
        return config.load(home=tmp_path, flags={"servers.weblog1.format": name})

    return of


def opened(settings):
    return Ledger.open(settings.files.ledger)


def spool(settings, reason, taken=True):
    """As a spooler does: record the format first, then plan a chunk; an agent may have taken it."""
    with opened(settings) as ledger:
        formats.record_formats(ledger, settings, settings.servers)
        stop = sum(log.bytes for log in ledger.files()) + 3
        counts = {("2015-05-18", reason): 3}
        chunk = ledger.plan(LOG._replace(bytes=stop), stop - 3, counts, b"", 3)
        if taken:
            ledger.finish(chunk)


@pytest.mark.parametrize(
    ("before", "after"), [("combined", "vhost_combined"), ("vhost_combined", "common")]
)
def test_a_change_that_would_misread_valid_lines_is_refused(home, before, after):
    spool(home(before), VALID)
    with opened(home(after)) as ledger, pytest.raises(BadInput, match="misread") as caught:
        formats.record_formats(ledger, home(after), ["weblog1"])
    assert "servers.weblog1.format" in caught.value.message
    with pytest.raises(BadInput, match="misread"):
        formats.check_home(home(after))
    formats.check_home(home(before))


@pytest.mark.parametrize(("before", "after"), [("common", "combined"), ("combined", "common")])
def test_the_plain_formats_may_be_exchanged(home, before, after):
    spool(home(before), VALID)
    spool(home(after), VALID)
    formats.check_home(home(before))


def test_rejects_alone_do_not_hold_a_format(home):
    spool(home("combined"), "other-format")
    spool(home("vhost_combined"), VALID)
    with pytest.raises(BadInput, match="misread"):
        formats.check_home(home("combined"))


def test_a_ledger_without_a_note_takes_the_format_of_now(home):
    with opened(home("vhost_combined")) as ledger:
        ledger.restore(LOG, {("2015-05-18", VALID): 3}, [], [])
        formats.record_formats(ledger, home("vhost_combined"), ["weblog1"])
    with pytest.raises(BadInput, match="taken as vhost_combined"):
        formats.check_home(home("combined"))


@pytest.mark.parametrize("waiting", [True, False])
def test_an_agent_does_not_judge_otherwise_what_was_judged(home, waiting):
    spool(home("common"), "other-format", taken=False)
    formats.check_agent(home("common"), "weblog1", lambda _: waiting)
    formats.check_agent(home("combined"), "weblog2", lambda _: waiting)
    if waiting:
        with pytest.raises(BadInput, match="judged as common wait") as caught:
            formats.check_agent(home("combined"), "weblog1", lambda _: waiting)
        assert 'servers.weblog1.format = "common"' in caught.value.hint
    else:
        formats.check_agent(home("combined"), "weblog1", lambda _: waiting)


def test_an_agent_of_a_misread_server_does_not_start(home):
    spool(home("combined"), VALID)
    with pytest.raises(BadInput, match="misread"):
        formats.check_agent(home("vhost_combined"), "weblog1", lambda _: False)


def test_another_server_is_not_held(home):
    spool(home("combined"), VALID)
    with opened(home("combined")) as ledger:
        ledger.plan(LOG._replace(server="weblog2"), 0, {("2015-05-18", VALID): 3}, b"", 3)
        formats.check(ledger, home("combined"), "weblog2")


def test_a_home_without_a_ledger_holds_nothing(home, tmp_path):
    formats.check_home(home("vhost_combined"))
    formats.check_agent(home("vhost_combined"), "weblog1", lambda _: True)
    assert list(tmp_path.iterdir()) == []


def test_a_format_is_not_noted_while_chunks_of_the_one_before_wait(home):
    spool(home("common"), VALID, taken=False)
    with opened(home("common")) as ledger:
        with pytest.raises(BadInput, match="judged as common wait for its agent"):
            formats.record_formats(ledger, home("combined"), ["weblog1"])
        for chunk in ledger.open_chunks():
            ledger.finish(chunk)
        formats.record_formats(ledger, home("combined"), ["weblog1"])
