"""What the entry points do not load: every start of a process pays for its imports."""

import subprocess
import sys

import pytest

ONLY_FOR_JOB_FILES = {
    "yaml",
    "hyperscale.workload.jobfile",
    "hyperscale.workload.validation",
    "hyperscale.workload.once",
}
FOR_NODES = {"numpy", "pydantic", "structlog", "hyperscale.runtime"}


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("hyperscale.client.cli.jobs", {"rich"} | FOR_NODES | ONLY_FOR_JOB_FILES),
        ("hyperscale.client.cli.submitting", {"rich"} | FOR_NODES),
        ("hyperscale.gate.__main__", {"click", "yaml", "hyperscale.workload.jobfile"}),
        ("hyperscale.manager.__main__", {"click", "yaml", "hyperscale.workload.jobfile"}),
        ("hyperscale.worker.__main__", {"click", "yaml", "hyperscale.worker.engine.session"}),
        ("hyperscale.worker.engine.__main__", {"grpc", "h2", "re2", "pydantic", "structlog", "yaml"}),
    ],
)
def test_a_start_loads_nothing_that_it_does_not_need(module: str, unneeded: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({unneeded!r} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize("role", ["gate", "manager", "worker"])
def test_a_node_starts_no_threads_to_calculate_with(role: str) -> None:
    code = f"import os, hyperscale.{role}.__main__; print(len(os.listdir('/proc/self/task')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
