"""Locust, in a virtual environment that the bench keeps in the user's cache; the project does not depend on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.engine.machine import GENERATOR_CORE
from bench.engine.peers import Sample

REQUIREMENT = "locust==2.47.0"
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
INSTALL_SECONDS = 300


def install_locust() -> Path | None:
    """The command, installed when it is not there yet; None, said aloud, when it cannot be installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hyperscale-bench"
    environment = cache / REQUIREMENT.replace("==", "-")
    command = environment / "bin" / "locust"
    try:
        if not command.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True, timeout=INSTALL_SECONDS)
            pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", REQUIREMENT]
            subprocess.run(pip, check=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"LOCUST IS NOT MEASURED: {REQUIREMENT} cannot be installed: {error}", flush=True)
        return None
    return command


def run_locust(command: Path, url: str, seconds: float, connections: int) -> Sample:
    """One process of Locust with as many users as there are connections, on the core of the generator."""
    users = str(connections)
    options = [
        "--headless",
        "--only-summary",
        "--users",
        users,
        "--spawn-rate",
        users,
        "--run-time",
        f"{round(seconds)}s",
    ]
    with tempfile.TemporaryDirectory() as directory:
        outcome = Path(directory) / "outcome.json"
        subprocess.run(
            [
                "taskset",
                "-c",
                str(GENERATOR_CORE),
                command,
                "-f",
                LOCUSTFILE,
                "--host",
                url,
                *options,
                "--loglevel",
                "ERROR",
            ],
            env={"PATH": os.environ["PATH"], "HOME": directory, "BENCH_OUTCOME": str(outcome)},
            check=True,
            capture_output=True,
            timeout=seconds + 60,
        )
        measured = json.loads(outcome.read_text())
    assert not measured["failures"], measured
    return Sample(measured["requests"], measured["elapsed_seconds"], measured["cpu_seconds"])
