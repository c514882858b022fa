"""Jobs in Python through the whole suite, as a user runs them."""

from pathlib import Path

import pytest

from tests.support.local_cluster import LocalCluster, hyperscale
from tests.support.target import BundledTarget

EXAMPLES = Path(__file__).parents[3] / "examples"
FAULTY = """
import asyncio, time
from hyperscale.workload import Job, Workflow, step

class Faulty(Workflow):
    vus = 2
    duration = "1s"

    @step()
    async def broken(self):
        await asyncio.sleep(0.05)
        raise LookupError("no such thing")
"""
BLOCKING = """
import time
from hyperscale.workload import SharedIterations, Workflow, step

class Blocking(Workflow):
    profile = SharedIterations(vus=1, iterations=1)

    @step()
    async def block(self):
        time.sleep(600)
"""


@pytest.mark.requirement("WORK.5")
def test_the_coded_example_passes_and_shows_checks_and_metrics() -> None:
    outcome = hyperscale("run", str(EXAMPLES / "coded_http.py"))
    assert outcome.code == 0, outcome
    assert "✓ browse: knows the user" in outcome.out
    assert "orders" in outcome.out
    assert "✓ orders: count > 0" in outcome.out
    assert "verdict: passed" in outcome.out


@pytest.mark.requirement("WORK.5")
def test_what_workflows_provide_reaches_their_dependents_in_every_datacenter(
    cluster: LocalCluster, target: BundledTarget
) -> None:
    submitted = cluster.command("submit", str(EXAMPLES / "coded_dag.py"), "--target", target.url, "--watch", "--json")
    assert submitted.code == 0, submitted
    result = submitted.last_json
    assert result["verdict"] == "passed"
    passes = {check["name"]: (check["passes"], check["fails"]) for check in result["checks"]}
    # Each of the two datacenters runs everything.
    assert passes == {"knows the user": (200, 0), "was written": (2, 0), "has the token": (2, 0)}
    assert "exceptions" not in result


def test_exceptions_are_shown_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY)
    outcome = hyperscale("run", str(path), "--json")
    assert outcome.code == 0, "nothing was asked of the numbers"
    result = outcome.last_json
    assert result["status"] == "completed"
    (sample,) = result["exceptions"]
    assert (sample["workflow"], sample["step"]) == ("Faulty", "broken")
    assert sample["text"] == "faulty.py:12: LookupError: no such thing"
    assert result["errors"] == {"exception": sample["count"]}


def test_code_that_blocks_its_engine_ends_the_job_and_the_cluster_goes_on(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    path = tmp_path / "blocking.py"
    path.write_text(BLOCKING)
    outcome = cluster.command("submit", str(path), "--watch", "--json")
    assert outcome.code == 99, outcome
    assert "did not report" in str(outcome.last_json["reasons"])
    again = cluster.command("submit", str(EXAMPLES / "coded_dag.py"), "--target", target.url, "--watch", "--json")
    assert again.code == 0, again


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(
    ("code", "told"),
    [("import nope_nowhere", "job.py:1: ModuleNotFoundError"), ("x = 1\ndef (:", "job.py:2: SyntaxError")],
)
def test_code_that_cannot_be_imported_is_told_before_anything_starts(
    tmp_path: Path, command: str, code: str, told: str
) -> None:
    path = tmp_path / "job.py"
    path.write_text(code)
    outcome = hyperscale(command, str(path))
    assert outcome.code == 107, outcome
    assert told in outcome.err


def test_a_new_job_runs_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "my_load.py"
    assert hyperscale("new", str(path)).code == 0
    assert hyperscale("new", str(path)).code == 1, "an existing file is left alone"
    assert "class MyLoad(Workflow)" in path.read_text()
    path.write_text(path.read_text().replace('"5s"', '"1s"'))
    outcome = hyperscale("run", str(path))
    assert outcome.code == 0, outcome
