"""The shared parts of commands: settings of one command, and who sees its stages."""

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


def test_stages_are_for_people(capsys):
    for form in ("table", "json", "csv"):
        with options.stages(form) as watch:
            watch(f"counting for {form}")
    assert capsys.readouterr().err == "counting for table\n"
