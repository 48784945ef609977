"""What the campaign of faults rests on: its logs, and its count of what is lost or doubled."""

from tests.faults.account import claim, compare, overtaken
from tests.faults.logs import make
from tests.stack.stores import well_formed


def test_the_logs_of_the_runs_are_what_they_say():
    first, second = make("x", 1, ["weblog1"], 2)
    assert make("x", 1, ["weblog1"], 2) == [first, second]
    for log in (first, second, *make("x", 2, ["weblog1", "weblog2"])):
        assert {offset for offset, raw in log.lines.items() if well_formed(raw)} == log.valid
        assert 0 < len(log.valid) < len(log.lines)
        assert len(set(log.lines.values())) < len(log.lines), "no line stands there twice"


def test_the_count_sees_what_is_wrong():
    wanted = {0: b"a", 10: b"b", 20: b"c"}
    assert compare({0: [b"a"], 10: [b"b"], 20: [b"c"]}, wanted).total() == 0
    assert +compare({0: [b"a"], 10: [b"b"]}, wanted) == {"lost": 1}
    assert +compare({0: [b"a"], 10: [b"b"], 20: [b"c"], 30: [b"c"]}, wanted) == {"doubled": 1}
    assert +compare({0: [b"a"], 10: [b"b", b"b"], 20: [b"c"]}, wanted) == {"copies": 1}
    assert +compare({0: [b"a"], 10: [b"b", b"B"], 20: [b"c"]}, wanted) == {
        "altered": 1,
        "copies": 1,
    }


def test_a_line_that_a_later_one_overtook_is_seen():
    right = {0: [b"a", b"a"], 10: [b"b"], 20: [b"c"]}
    wrong = {0: [b"a"], 20: [b"c"], 10: [b"b"]}
    assert overtaken({("weblog1", "a"): right}) == []
    assert overtaken({("weblog1", "a"): wrong}) == ["weblog1/a: 1 lines overtaken"]


def test_a_log_under_two_identities_is_seen():
    (log,) = make("x", 1, ["weblog1"])
    copies = {offset: [raw] for offset, raw in log.lines.items()}
    store = {("weblog1", "a"): copies, ("weblog1", "b"): copies, ("weblog1", "c"): {0: [b"?"]}}
    claimed = claim(set(store), (store,), {"weblog1": [log]})
    assert claimed == {("weblog1", "a"): log, ("weblog1", "b"): None, ("weblog1", "c"): None}
