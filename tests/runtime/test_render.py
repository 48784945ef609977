"""Templates to files."""

import stat
from pathlib import Path

import pytest

from clickstream.errors import ClickstreamError
from clickstream.runtime import render
from clickstream.runtime.render import File


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(render, "configs", lambda: tmp_path)
    render._environment.cache_clear()
    yield tmp_path
    render._environment.cache_clear()


def test_values_fill_a_template_and_its_last_line_end_stays(templates: Path) -> None:
    (templates / "a.properties").write_text("port={{ port }}\n")
    assert render.render("a.properties", port=9092) == "port=9092\n"


def test_a_missing_value_is_an_error_that_names_template_and_value(templates: Path) -> None:
    (templates / "a.properties").write_text("port={{ port }}")
    with pytest.raises(ClickstreamError, match=r"a\.properties.*port"):
        render.render("a.properties")


@pytest.mark.usefixtures("templates")
def test_a_template_that_does_not_exist_is_named() -> None:
    with pytest.raises(ClickstreamError, match=r"no\.xml"):
        render.render("no.xml")


def test_values_are_escaped_in_xml_and_nowhere_else(templates: Path) -> None:
    for name in ("a.xml", "a.properties"):
        (templates / name).write_text("{{ path }}")
    assert render.render("a.xml", path="/a&b<c") == "/a&amp;b&lt;c"
    assert render.render("a.properties", path="/a&b<c") == "/a&b<c"


def test_rendering_touches_no_disk(templates: Path) -> None:
    (templates / "a.txt").write_text("x")
    render.render("a.txt")
    assert [path.name for path in templates.iterdir()] == ["a.txt"]


def test_files_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    (path,) = render.write([File("conf/password", "geheim")], tmp_path / "new")
    assert path.read_text() == "geheim"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    render.write([File("a", "old and long")], tmp_path)
    render.write([File("a", "new")], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "new"


def test_the_templates_of_this_package_are_found() -> None:
    assert (render.configs() / "kafka" / "server.properties").is_file()
