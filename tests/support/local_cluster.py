"""A local cluster of real processes, handled as a user would: through the command line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_SECONDS

ENDED = frozenset({"completed", "failed", "cancelled", "timeout"})
COMMAND = (sys.executable, "-m", "hyperscale.client.cli")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def last_json(self) -> dict[str, Any]:
        """The last line of the output, which ``--json`` promises to be one JSON object."""
        document: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return document


def hyperscale(*arguments: str, timeout_seconds: float = 90, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run one command of the CLI to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A cluster that is up."""

    state_directory: Path
    gates: tuple[str, ...]
    nodes: tuple[Mapping[str, Any], ...]

    def node(self, role: str, number: int = 0) -> Mapping[str, Any]:
        """One of the nodes with a role, in the order the cluster was started."""
        return [node for node in self.nodes if node["role"] == role][number]

    def kill(self, role: str, number: int = 0) -> Mapping[str, Any]:
        """Kill a node with -9; return what it was."""
        node = self.node(role, number)
        os.kill(node["pid"], signal.SIGKILL)
        return node

    def command(self, *arguments: str, timeout_seconds: float = 90) -> Outcome:
        """Run one command of the CLI against the first gate."""
        environment = {"HYPERSCALE_GATE": self.gates[0]}
        return hyperscale(*arguments, timeout_seconds=timeout_seconds, environment=environment)

    def submit(self, job_file: Path, *options: str) -> str:
        """Submit a job; return its id."""
        outcome = self.command("submit", str(job_file), "--json", *options)
        assert outcome.code == 0, outcome
        job_id: str = outcome.last_json["job_id"]
        return job_id

    @contextmanager
    def running(self, job_file: Path) -> Iterator[str]:
        """A job for the length of the block; after it its cores are free again, whatever happened."""
        job_id = self.submit(job_file)
        try:
            yield job_id
        finally:
            self.command("cancel", job_id)
            self.ended(job_id, within_seconds=PATIENCE_SECONDS)

    def watch(self, job_file: Path, *options: str) -> Outcome:
        """Submit a job and follow it to its end."""
        return self.command("submit", str(job_file), "--watch", *options)

    def completed(self, job_file: Path, *options: str) -> dict[str, Any]:
        """Submit a job that ends well; return its result."""
        outcome = self.watch(job_file, "--json", *options)
        assert outcome.code == 0, outcome
        assert outcome.last_json["status"] == "completed", outcome
        return outcome.last_json

    def ended(self, job_id: str, within_seconds: float) -> dict[str, Any]:
        """The result of a job, which ends in time."""
        outcome = self.command("result", job_id, "--json", "--wait", str(within_seconds))
        result = outcome.last_json
        assert result["status"] in ENDED, f"not within {within_seconds} s: the end of {job_id}"
        return result

    def result(self, job_id: str) -> dict[str, Any]:
        """How a job stands, or its result once it has ended."""
        return self.command("result", job_id, "--json").last_json


@contextmanager
def local_cluster(directory: Path, **sizes: int) -> Iterator[LocalCluster]:
    """A cluster for the length of the block; ``sizes`` are options of ``cluster up``."""
    options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    state = ("--state-dir", str(directory / "cluster"))
    up = hyperscale("cluster", "up", *options, *state, "--json")
    assert up.code == 0, up
    description = up.last_json
    try:
        yield LocalCluster(directory / "cluster", tuple(description["gates"]), tuple(description["nodes"]))
    finally:
        down = hyperscale("cluster", "down", *state)
        assert down.code == 0, down
