"""The shared parts of commands: settings of one command, and stages where there is no terminal."""

import io
import json

import pytest

from clickstream.console import options
from clickstream.errors import UsageError


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """The global options: a home of our own and these `--set`."""

    def use(*sets):
        monkeypatch.setattr(options, "given", options.Globals(None, tmp_path, sets))

    use()
    return use


def test_spark_properties_of_a_command_are_laid_over_the_configured_ones(sets, tmp_path):
    (tmp_path / "clickstream.toml").write_text('[spark.conf]\n"spark.a" = "file"\n"spark.b" = "b"')
    assert options.settings().spark.conf == {"spark.a": "file", "spark.b": "b"}
    sets("spark.conf=" + json.dumps({"spark.b": "set", "spark.c": "set"}))
    made = options.settings(["spark.a=x=y", "spark.c=conf"])
    assert made.spark.conf == {"spark.a": "x=y", "spark.b": "set", "spark.c": "conf"}


@pytest.mark.parametrize(
    ("given", "conf", "said"),
    [((), ["spark.a"], "--conf spark.a: write it"), (("spark.conf=x",), ["a=b"], "is not a table")],
)
def test_what_is_no_property_is_refused(sets, given, conf, said):
    sets(*given)
    with pytest.raises(UsageError, match=said):
        options.settings(conf)


def test_a_file_gets_a_line_per_stage_and_how_far_it_is_now_and_then(monkeypatch):
    out, clock = io.StringIO(), iter([0, 1, 9, 10, 11, 12])
    monkeypatch.setattr(options.time, "monotonic", lambda: next(clock))
    show = options._lines(out)
    for stage in ("a", "a: 1", "a: 2", "a: 3", "a: 4", "b"):
        show(stage)
    assert out.getvalue() == "a\na: 3\nb\n"
