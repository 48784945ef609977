"""What is said of the project once is said in one place, and truly."""

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

import clickstream

ROOT = Path(clickstream.__file__).parent.parent
PROJECT = ROOT / "pyproject.toml"

pytestmark = pytest.mark.skipif(not PROJECT.is_file(), reason="not a checkout")


def test_the_version_stands_in_one_place():
    project = tomllib.loads(PROJECT.read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "clickstream/__init__.py"
    assert metadata("clickstream")["Version"] == clickstream.__version__
    latest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert latest
    assert latest[1] == clickstream.__version__


def test_a_stranger_finds_license_author_and_python_versions():
    about = metadata("clickstream")
    assert about["License-Expression"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
    assert about["Author"] == "The clickstream developers"
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    assert (ROOT / "clickstream" / "py.typed").is_file()


def test_the_hooks_call_what_is_installed_here_and_name_no_host():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert "://" not in hooks
    entries = re.findall(r"entry: (\S+)", hooks)
    assert entries
    assert all(entry.startswith(".venv/bin/") for entry in entries)
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
