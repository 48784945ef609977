"""A figure explained: its parts add up to it, whatever each layer has seen."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from clickstream import config
from clickstream.config import Settings
from clickstream.errors import NoData, UsageError
from clickstream.explain import figure
from clickstream.explain.figure import Asked
from clickstream.serve.layers import Connections
from clickstream.serve.question import Answer
from tests.hdfs_in_memory import HdfsInMemory
from tests.serve.test_merge import Line, Speed, counted, line, views  # noqa: F401

DAY = "2015-05-18"
LINES = [
    line(n, server, f"{hour:02}:{minute:02}:00", status)
    for n, (server, hour, minute, status) in enumerate(
        [(s, h, m, "404" if m == 5 else "200") for s in "ab" for h in (9, 10) for m in (0, 1, 1, 5)]
    )
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    servers = '{"a": {"agent": "agent1"}, "b": {"agent": "agent2"}}'
    return config.load(home=tmp_path, flags={"servers": servers})


@pytest.fixture
def layers(views: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """Sets what each layer has seen: lines in closed files, lines in the topic."""

    def seen(batch: list[Line], speed: list[Line], final: bool = False) -> None:
        made = counted(views, batch, published=batch if final else LINES)

        @contextmanager
        def connected(*_: object) -> Any:
            yield Connections(lambda: made, lambda: Speed(speed))

        monkeypatch.setattr(figure, "connected", connected)

    return seen


def explained(settings: Settings, report: str, **asked: Any) -> figure.Figure:
    return figure.explain(settings, Asked(report, DAY, **asked))


def test_a_final_day_is_the_batch_layers(settings: Settings, layers: Any) -> None:
    layers(LINES, LINES, final=True)
    found = explained(settings, "hourly", hour=9, server="a")
    (row,) = found.answer.rows
    assert (row["requests"], row["state"]) == (4, "final")
    (part,) = found.parts
    assert {key: part[key] for key in figure.PARTS} == {
        "server": "a",
        "from": "09:00",
        "to": "09:05",
        "layer": "final",
        "batch": 4,
        "speed": 4,
        "requests": 4,
    }
    assert found.sum == 4


def test_stretches_name_the_layer_that_counted_more(settings: Settings, layers: Any) -> None:
    """The batch layer has not seen the last minutes, the speed layer not the first ones."""
    layers(LINES[:6], LINES[2:])
    found = explained(settings, "hourly", server="a")
    columns = ("from", "to", "layer", "batch", "speed", "requests")
    assert [tuple(part[key] for key in columns) for part in found.parts] == [
        ("09:00", "10:00", "provisional", 5, 3, 5),
        ("10:01", "10:05", "speed", 1, 3, 3),
    ]
    assert found.sum == sum(row["requests"] for row in found.answer.rows)


def test_responses_have_their_classes(settings: Settings, layers: Any) -> None:
    layers(LINES, LINES)
    found = explained(settings, "responses", server="b")
    assert sum(part["failure"] for part in found.parts) == found.answer.rows[0]["failure"] == 2


@given(st.sets(st.integers(0, len(LINES) - 1)), st.sets(st.integers(0, len(LINES) - 1)))
@tries(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_the_parts_add_up_to_the_figure(
    settings: Settings, layers: Any, batch: set[int], speed: set[int]
) -> None:
    layers([LINES[n] for n in sorted(batch)], [LINES[n] for n in sorted(speed)])
    if not batch | speed:
        with pytest.raises(NoData):
            explained(settings, "hourly")
        return
    for server in ("a", "b", "all"):
        try:
            found = explained(settings, "hourly", server=server)
        except NoData:
            assert not {LINES[n] for n in batch | speed if LINES[n].server == server}
            continue
        assert found.sum == sum(row["requests"] for row in found.answer.rows)
        for part in found.parts:
            of = "speed" if part["layer"] == "speed" else "batch"
            assert part["requests"] == part[of]


CATEGORIES = {"a": 5, "b": 2, "all": 7}


@pytest.fixture
def _reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that one layer answers: two categories, of which /x is CATEGORIES."""

    def ask(_: Settings, report: str, question: Any) -> Answer:
        server = question.server
        rows = [
            {"date": DAY, "server": server, "category": name, "requests": n}
            | {"window_start": f"{DAY}T09:00:00Z", "window_end": f"{DAY}T09:05:00Z"}
            for name, n in (("/x", CATEGORIES[server]), ("/y", 1))
        ]
        return Answer(rows, ("category", "requests"), "", f"{report} layer", ())

    monkeypatch.setattr(figure.reports, "ask", ask)


@pytest.mark.usefixtures("_reports")
@pytest.mark.parametrize(("report", "layer"), [("categories", "batch"), ("popularity", "speed")])
def test_a_category_by_server(settings: Settings, report: str, layer: str) -> None:
    found = explained(settings, report, category="/x")
    assert [row["requests"] for row in found.answer.rows] == [7]
    assert [(p["server"], p["layer"], p[layer]) for p in found.parts] == [
        ("a", layer, 5),
        ("b", layer, 2),
    ]
    assert found.sum == 7


@pytest.mark.usefixtures("_reports")
def test_what_has_no_row(settings: Settings) -> None:
    with pytest.raises(NoData, match="no such row"):
        explained(settings, "categories", category="/z")


@pytest.mark.usefixtures("_reports")
def test_the_lines_are_asked_by_the_bytes_of_the_category(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report shows /caf\\xe9 for a byte that is no UTF-8."""
    jobs = []
    days = ("2015-05-17", DAY, "2015-05-20")
    root = settings.hdfs.master
    hdfs = HdfsInMemory({f"{root}/dt={day}/server=a/F.1": b"one line\n" for day in days})
    monkeypatch.setattr(figure.Hdfs, "connect", lambda _: hdfs)
    monkeypatch.setattr(figure.master.endpoints, "hdfs_url", lambda _: "hdfs://h:1")
    monkeypatch.setattr(figure, "_as_stored", lambda *_: "/caf\xe9")

    def submit(_: Settings, job: Any, __: Any) -> dict[str, Any]:
        jobs.append(job)
        row = {"id": "v1:a:b:1", "text": "GET /caf\xe9 \x1b"}
        return {"lines": 3, "visitors": 2, "rows": [row]}

    monkeypatch.setattr(figure.submit, "submit", submit)
    found = figure.explain(settings, Asked("popularity", category="/x"), 1)
    assert found.lines is not None
    assert (found.lines.found, found.lines.visitors) == (3, 2)
    assert found.lines.rows == [{"id": "v1:a:b:1", "line": "GET /caf\\xe9 \\x1b"}]
    values = jobs[0].plan["values"]
    assert values["category"] == "/caf\xe9"
    assert values["last"] - values["first"] == 299
    assert jobs[0].plan["master"]["paths"] == [
        f"hdfs://h:1{root}/dt={day}/server=a" for day in ("2015-05-17", DAY)
    ]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked("ddos", DAY), "no ddos"),
        (Asked("hourly"), "which day"),
        (Asked("hourly", DAY, at=f"{DAY}T09:00:00Z"), "which day"),
        (Asked("responses", DAY, hour=9), "--hour"),
        (Asked("hourly", DAY, category="/x"), "--category"),
        (Asked("hourly", DAY, server="nobody"), "nobody"),
    ],
)
def test_questions_that_a_report_has_not(settings: Settings, asked: Asked, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        figure.explain(settings, asked)
