"""Jobs in Python through the whole suite, as a user runs them."""

import json
from pathlib import Path

import pytest

from tests.support.examples import EXAMPLES
from tests.support.local_cluster import LocalCluster, hyperscale
from tests.support.recording_target import recording_target
from tests.support.target import BundledTarget

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
from hyperscale.workload import SharedIterations, Workflow, step

class Blocking(Workflow):
    profile = SharedIterations(vus=1, iterations=1)

    @step()
    async def block(self):
        while True: pass
"""
BUSY = """
import time
from hyperscale.workload import Workflow, step

class Busy(Workflow):
    duration = "3s"

    @step()
    async def compute(self):
        time.sleep(0.2)
"""
WRONG = """
import asyncio
from hyperscale.workload import SharedIterations, Workflow, step

class Wrong(Workflow):
    profile = SharedIterations(vus=1, iterations=2)

    @step(name="endless", timeout_seconds=0.3)
    async def never_ends(self):
        await asyncio.sleep(600)

class Returning(Workflow):
    profile = SharedIterations(vus=1, iterations=2)

    @step()
    async def wrong(self):
        return 7

class Providing(Workflow):
    profile = SharedIterations(vus=1, iterations=2)

    @step()
    async def huge(self):
        self.provide("huge", "x" * 1_100_000)
"""


@pytest.mark.requirement("WORK.5")
def test_the_coded_example_passes_and_shows_checks_and_metrics(cluster: LocalCluster, target: BundledTarget) -> None:
    outcome = cluster.watch(EXAMPLES / "coded_http.py", "--target", target.url)
    assert outcome.code == 0, outcome
    assert "✓ browse: knows the user" in outcome.out
    assert "Shop.teardown/teardown" in outcome.out
    assert "orders" in outcome.out
    assert "✓ orders: count > 0" in outcome.out
    assert "verdict: passed" in outcome.out


@pytest.mark.requirement("WORK.5")
def test_what_workflows_provide_reaches_their_dependents_in_every_datacenter(
    cluster: LocalCluster, target: BundledTarget
) -> None:
    result = cluster.completed(EXAMPLES / "coded_dag.py", "--target", target.url)
    users = [part["metrics"]["vus_max"]["value"] for part in result["datacenters"].values()]
    assert set(users) <= {2, 4}, "only readers and writers may be there at the same time, if there are cores for both"
    assert result["verdict"] == "passed"
    passes = {check["name"]: (check["passes"], check["fails"]) for check in result["checks"]}
    # Each of the two datacenters runs everything.
    assert passes == {"knows the user": (200, 0), "was written": (2, 0), "has the token": (2, 0)}
    assert "exceptions" not in result


def test_exceptions_are_shown_with_file_and_line(cluster: LocalCluster, tmp_path: Path) -> None:
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY)
    result = cluster.completed(path)
    (sample,) = result["exceptions"]
    assert (sample["workflow"], sample["step"]) == ("Faulty", "broken")
    assert sample["text"] == "faulty.py:12: LookupError: no such thing"
    assert result["errors"] == {"exception": sample["count"]}


def test_steps_that_end_wrongly_are_counted_and_shown_with_file_and_line(cluster: LocalCluster, tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    result = cluster.completed(path)
    told = {sample["step"]: (sample["text"], sample["count"]) for sample in result["exceptions"]}
    assert told["endless"] == ("wrong.py:10: StepTimeoutError: step 'endless' took longer than 0.3 s", 4)
    assert told["wrong"] == (
        "wrong.py:15: WrongReturnError: step 'wrong' returned int; a step returns None or a Metric",
        4,
    )
    text, count = told["huge"]
    assert text.startswith("wrong.py:24: ContextError: 'huge' cannot be provided")
    assert (count, result["errors"]) == (4, {"exception": 12})


@pytest.mark.requirement("WORK.8")
def test_a_generator_that_is_kept_busy_by_its_own_code_is_called_saturated(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    path = tmp_path / "busy.py"
    path.write_text(BUSY)
    outcome = cluster.watch(path, "--out", f"json={tmp_path / 'result.json'}")
    assert outcome.code == 0, outcome
    assert "generator: saturated" in outcome.out
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["generator"], result["metrics"]["generator_saturated"]["rate"] > 0.3) == ("saturated", True)
    assert result["metrics"]["engine_lag_ms"]["max"] > 100


def test_code_that_blocks_its_engine_ends_the_job_and_the_cluster_goes_on(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    path = tmp_path / "blocking.py"
    path.write_text(BLOCKING)
    outcome = cluster.watch(path, "--json")
    assert outcome.code == 99, outcome
    assert "did not report for 10 s and was killed" in str(outcome.last_json["reasons"])
    assert "was in blocking.py:9 in block" in str(outcome.last_json["reasons"])
    cluster.completed(EXAMPLES / "coded_dag.py", "--target", target.url)


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nope_nowhere", "job.py:1: ModuleNotFoundError"),
        ("x = 1\ndef (:", "job.py:2: SyntaxError"),
        (
            "from hyperscale.workload import Workflow\nclass Shop(Workflow):\n    duraton = '5s'",
            "job.py:2: WorkflowDefinitionError: Shop.duraton means nothing; did you mean 'duration'?",
        ),
    ],
)
def test_code_that_cannot_be_imported_is_told_before_anything_starts(
    tmp_path: Path, command: str, code: str, told: str
) -> None:
    path = tmp_path / "job.py"
    path.write_text(code)
    outcome = hyperscale(command, str(path))
    assert outcome.code == 107, outcome
    assert told in outcome.err


def test_a_new_job_runs_as_it_is_written(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    path = tmp_path / "my_load.py"
    assert hyperscale("new", str(path)).code == 0
    assert hyperscale("new", str(path)).code == 1, "an existing file is left alone"
    assert "class MyLoad(Workflow)" in path.read_text()
    path.write_text(path.read_text().replace('"5s"', '"1s"'))
    cluster.completed(path, "--target", target.url)


FED = """
from hyperscale.workload import Feed, FeedMode, FeedPace, Job, SharedIterations, Workflow, step

job = Job(variables={"path": "unset", "kind": "book"})


class Fed(Workflow):
    profile = SharedIterations(vus=4, iterations=40)
    account = Feed("data/accounts.csv", mode=FeedMode.UNIQUE)
    city = Feed("cities.json", mode=FeedMode.RANDOM, pace=FeedPace.USER)

    @step()
    async def take(self) -> None:
        path, kind = self.variables["path"], self.variables["kind"]
        await self.http.get(f"/{path}/{kind}/{self.account['name']}/{self.city['code']}")
"""


@pytest.mark.requirement("X.4")
def test_rows_of_files_beside_the_script_are_used_once_in_all_datacenters(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    names = [f"user{number}" for number in range(40)]
    (tmp_path / "data/accounts.csv").write_text("\n".join(["name", *names]))
    (tmp_path / "cities.json").write_text('[{"code": 47}, {"code": 39}]')
    (tmp_path / "fed.py").write_text(FED)
    with recording_target() as target:
        result = cluster.completed(tmp_path / "fed.py", "--target", target.url, "--var", "path=shop=1")
        seen = [request.path.split("/")[1:] for request in target.seen]
    assert "exceptions" not in result
    assert sorted(name for _, _, name, _ in seen) == sorted(names), "40 rows for two datacenters of 40 iterations"
    assert {(path, kind) for path, kind, _, _ in seen} == {("shop=1", "book")}
    assert {code for _, _, _, code in seen} <= {"47", "39"}


def test_what_the_code_misses_is_told_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "fed.py"
    path.write_text(FED.replace('"path": "unset", ', ""))
    outcome = hyperscale("run", str(path))
    assert outcome.code == 104, outcome
    assert "workflows[0].feeds[0]: data/accounts.csv cannot be read: No such file or directory" in outcome.err
    assert "workflows[0].feeds[1]: cities.json cannot be read" in outcome.err
    (tmp_path / "data").mkdir()
    (tmp_path / "data/accounts.csv").write_text("name\nann\n")
    (tmp_path / "cities.json").write_text('[{"code": 47}]')
    outcome = hyperscale("validate", str(path))
    assert outcome.code == 104, outcome
    assert "fed.py:14: the job has no variable 'path'; there are kind; give it with `--var path=VALUE`" in outcome.err


def test_a_threshold_on_a_metric_that_nothing_measures_is_told_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text(FED.split("job =", maxsplit=1)[0] + SOLD)
    outcome = hyperscale("run", str(path))
    assert outcome.code == 104, outcome
    assert f"{path}" in outcome.err
    assert "thresholds[1].metric: no metric 'order'; did you mean 'orders'?" in outcome.err


SOLD = """
from hyperscale.workload import Metric

job = Job(target="bundled://", thresholds={"orders": "count > 1", "order": "count > 1"})


class Shop(Workflow):
    orders = Metric.counter("orders")

    @step()
    async def order(self) -> None:
        self.orders.add()
"""
