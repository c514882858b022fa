"""The checks that read the whole suite, run as `make check` runs them; the slow ones are left to it and to `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source import ROOT


def run(*command: str) -> None:
    program = Path(sys.executable).parent / command[0]
    environment = {**os.environ, "NO_COLOR": "1"}
    outcome = subprocess.run(
        [str(program), *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.requirement("ARCH.3")
@pytest.mark.timeout(300)
@pytest.mark.soak
def test_every_called_thing_exists() -> None:
    run("mypy", "libs", "services")


@pytest.mark.requirement("ARCH.3")
@pytest.mark.soak
def test_there_is_no_dead_code() -> None:
    run("python", "-m", "tools.dead_code")


@pytest.mark.requirement("ARCH.6")
def test_imports_follow_the_layers() -> None:
    run("lint-imports")


@pytest.mark.requirement("ARCH.4")
def test_functions_stay_simple() -> None:
    run("ruff", "check", "--quiet", "--no-cache", "--select", "C901,PLR0913")
