"""The package as a user installs it: in an environment of its own, outside of any checkout."""

import os
import subprocess
import venv
from pathlib import Path

import pytest

import clickstream

ROOT = Path(clickstream.__file__).parent.parent


@pytest.mark.campaign("installs every dependency again, and runs the whole demo")
def test_what_pip_installs_starts_the_stack_and_runs_the_demo(tmp_path):
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("not a checkout")
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env |= {"PATH": f"{environment / 'bin'}{os.pathsep}{env['PATH']}"}

    def run(*words: object) -> str:
        done = subprocess.run(
            [*map(str, words)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("python", "-m", "pip", "install", "--quiet", ROOT)
    assert run("python", "-c", "import clickstream; print(clickstream.__file__)").startswith(
        str(environment)
    )
    command = ("clickstream", "--home", tmp_path / "home")
    try:
        assert "kafka" in run(*command, "stack", "up")
        run(*command, "stack", "down")
        assert "8 of 8 reports match" in run(*command, "demo")
    finally:
        run(*command, "stack", "down")
