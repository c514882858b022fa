"""Jobs that leave the choice to the gate go where there is room, and say why; all seen through the command line."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hyperscale.v1.gate_service_pb2_grpc import GateServiceStub
from hyperscale.workload.jobfile import load_job_file
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.processes import eventually
from tests.support.services import answer_of, services
from tests.support.target import BundledTarget


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two datacenters with one core each."""
    with local_cluster(tmp_path_factory.mktemp("two-cores"), datacenters=2, cores=1) as running:
        yield running


@pytest.fixture(scope="module")
def unhealthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A datacenter without workers, and one whose manager was killed."""
    directory = tmp_path_factory.mktemp("unhealthy")
    with services(directory, "--membership-profile", "local") as nodes:
        gate = nodes.gate("gate")
        managers = {
            name: nodes.start(
                "manager", name, "--datacenter", name, "--store-url", "memory://", "--gates", gate.address
            )
            for name in ("empty", "lost")
        }
        for manager in managers.values():
            nodes.ready(manager)
        eventually(lambda: gate.datacenters()["empty"].available, what="a leader")
        managers["lost"].send(signal.SIGKILL)
        eventually(lambda: not gate.datacenters()["lost"].manager_count, what="its stream's end")
        yield LocalCluster(directory, (gate.address,), ())


def one_user(directory: Path, target: BundledTarget, seconds: int, **choice: Any) -> Path:
    """A job that takes one core for a while."""
    load = workflow(constant_vus={"vus": 1, "duration": f"{seconds}s"})
    return write_job(directory, target.url, load, datacenters=choice)


def routing(cluster: LocalCluster, job_id: str) -> dict[str, Any]:
    decision: dict[str, Any] = cluster.command("result", job_id, "--routing", "--json").last_json["routing"]
    return decision


def datacenters(cluster: LocalCluster) -> dict[str, dict[str, Any]]:
    return {one["datacenter"]: one for one in cluster.command("datacenters", "--json").last_json["datacenters"]}


@contextmanager
def full(cluster: LocalCluster, name: str, job_file: Path) -> Iterator[None]:
    """Both datacenters idle but this one, in which a job is at work for the length of the block."""
    eventually(lambda: free_cores(cluster) == {"dc-1": 1, "dc-2": 1}, what="nobody at work")
    with cluster.running(job_file):
        eventually(lambda: free_cores(cluster) == {"dc-1": 1, "dc-2": 1, name: 0}, what=f"{name} is full")
        yield


def free_cores(cluster: LocalCluster) -> dict[str, int]:
    return {name: one["available_cores"] for name, one in datacenters(cluster).items()}


def test_a_job_goes_elsewhere_while_the_datacenter_that_it_prefers_is_full(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    with full(cluster, "dc-2", one_user(tmp_path, target, 60, required=["dc-2"])):
        busy, idle = datacenters(cluster)["dc-2"], datacenters(cluster)["dc-1"]
        assert (busy["busy_cores"], busy["waiting_cores"], idle["busy_cores"]) == (1, 0, 0)
        assert 0 < busy["core_wait_seconds"] <= 60.5
        assert idle["core_wait_seconds"] == 0
        job_id = cluster.submit(one_user(tmp_path, target, 1, count=1, preferred=["dc-2"]))
        chosen, other = routing(cluster, job_id)["candidates"]
        assert (chosen["datacenter"], chosen["outcome"]) == ("dc-1", "chosen")
        assert (other["health"], other["reason"]) == ("busy", "BUSY, and HEALTHY ones come first: it has no free cores")
        table = cluster.command("result", job_id, "--routing").out.splitlines()
        assert table[1].split()[:4] == ["datacenter", "outcome", "health", "score"]
        assert [line.split()[:3] for line in table[2:]] == [["dc-1", "chosen", "healthy"], ["dc-2", "fallback", "busy"]]
        assert list(cluster.command("result", job_id, "--wait", "30", "--json").last_json["datacenters"]) == ["dc-1"]


def test_a_job_for_more_datacenters_than_there_are_is_refused_with_the_reasons(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    job = write_job(tmp_path, target.url, workflow(), datacenters={"count": 2, "exclude": ["dc-1"]})
    jobs_before = cluster.command("jobs", "--json").last_json
    began = time.monotonic()
    outcome = cluster.command("submit", str(job), "--json")
    assert outcome.code != 0
    assert "too few datacenters can be used, 1 of 2: dc-1: the job excludes it" in outcome.out + outcome.err
    assert time.monotonic() - began < 20
    assert cluster.command("jobs", "--json").last_json == jobs_before


@pytest.mark.requirement("AD-17.2")
def test_a_job_that_its_datacenter_does_not_take_over_runs_in_the_next_one(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    manager = cluster.node("manager", 0)
    first, other = manager["datacenter"], ("dc-1" if manager["datacenter"] == "dc-2" else "dc-2")
    job = load_job_file(one_user(tmp_path, target, 1, count=1))
    try:
        # Because the other one is full, nothing but health decides.
        with full(cluster, other, one_user(tmp_path, target, 60, required=[other])):
            os.kill(manager["pid"], signal.SIGSTOP)
            # Not by a command, which may take so long to start that the gate has given the manager up.
            job_id = answer_of(cluster.gates[0], GateServiceStub, "SubmitJob", job).job_id
            assert routing(cluster, job_id)["candidates"][0]["datacenter"] == first
        result = cluster.command("result", job_id, "--wait", "30", "--json").last_json
        assert (result["status"], list(result["datacenters"])) == ("completed", [other])
        (move,) = routing(cluster, job_id)["fallbacks"]
        assert result["fallbacks"] == [move]
        assert (move["from"], move["to"]) == (first, other)
        assert move["reason"].startswith("it has not taken the job over: ")
        last_line = cluster.command("result", job_id, "--routing").out.splitlines()[-1]
        assert f"{other} took the place of {first}" in last_line
    finally:
        os.kill(manager["pid"], signal.SIGCONT)

    def is_idle() -> bool:
        return all(one["available_cores"] == 1 and one["active_jobs"] == 0 for one in datacenters(cluster).values())

    eventually(is_idle, what="nobody runs the job any more")


@pytest.mark.parametrize("asked", [{}, {"required": ["empty", "lost"]}])
@pytest.mark.requirement("AD-17.1")
def test_with_every_datacenter_unhealthy_a_submission_fails_within_two_seconds_and_says_why_of_each(
    unhealthy: LocalCluster, target: BundledTarget, tmp_path: Path, asked: Mapping[str, Any]
) -> None:
    job = write_job(tmp_path, target.url, workflow(), datacenters=asked)
    # A busy machine delays one answer, but not each of five.
    assert any(_seconds(unhealthy, "submit", str(job)) - _seconds(unhealthy, "version") < 2 for _ in range(5))
    outcome = unhealthy.command("submit", str(job))
    assert outcome.code != 0
    assert (
        "no datacenter can be used: empty: it is unhealthy (it has no workers); "
        "lost: none of its managers is connected ("
    ) in outcome.err
    # What was lost for long cannot be reached either.
    assert "(it has no managers)" in outcome.err or "(it cannot be reached)" in outcome.err
    shown = {info["datacenter"]: info for info in unhealthy.command("datacenters", "--json").last_json["datacenters"]}
    assert {name: info["worker_count"] for name, info in shown.items()} == {"empty": 0, "lost": 0}


def _seconds(cluster: LocalCluster, *words: str) -> float:
    """How long a command takes."""
    began = time.monotonic()
    cluster.command(*words)
    return time.monotonic() - began
