"""Nodes die and targets refuse: the run says so, keeps what it counted, and ends."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.processes import children_of, eventually, killed_and_restarted
from tests.support.target import BundledTarget

LONG = workflow(constant_vus={"vus": 4, "duration": "60s"})


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster for tests that break it."""
    with local_cluster(tmp_path, datacenters=2) as running:
        yield running


def _running_job(cluster: LocalCluster, target: BundledTarget, directory: Path) -> str:
    before = target.requests()
    job_id = cluster.submit(write_job(directory, target.url, LONG))
    eventually(lambda: target.requests() > before + 100, what="load on the target")
    # The next report carries what has been counted so far.
    eventually(lambda: _reported(cluster, job_id) > 0, what="a first report")
    return job_id


def _reported(cluster: LocalCluster, job_id: str) -> int:
    metrics = cluster.result(job_id)["metrics"]
    return int(metrics.get("http_reqs", {}).get("count", 0))


def test_killed_worker_fails_the_job_by_name_and_keeps_the_count(
    own_cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    job_id = _running_job(own_cluster, target, tmp_path)
    worker = own_cluster.kill("worker")
    result = own_cluster.ended(job_id, 15)
    assert (result["status"], result["verdict"]) == ("failed", "failed")
    assert worker["node_id"] in " ".join(result["reasons"])
    assert result["datacenters"][worker["datacenter"]]["status"] == "failed"
    assert result["datacenters"][worker["datacenter"]]["metrics"]["http_reqs"]["count"] > 0


def test_killed_engine_fails_the_job_by_worker_name_and_the_worker_lives_on(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    job_id = _running_job(cluster, target, tmp_path)
    worker = cluster.node("worker")
    engine = children_of(worker["pid"])[0]
    os.kill(engine, signal.SIGKILL)
    result = cluster.ended(job_id, 15)
    assert result["status"] == "failed"
    reasons = " ".join(result["reasons"])
    assert worker["node_id"] in reasons
    assert str(engine) in reasons
    assert result["metrics"]["http_reqs"]["count"] > 0
    cluster.completed(write_job(tmp_path, target.url))


def test_target_that_refuses_ends_the_run_and_thresholds_judge_it(cluster: LocalCluster, tmp_path: Path) -> None:
    thresholds = [{"metric": "http_req_failed", "expression": "rate < 1%"}]
    job_file = write_job(tmp_path, "http://127.0.0.1:1", workflow(), thresholds=thresholds)
    watched = cluster.command("submit", str(job_file), "--watch", "--json")
    assert watched.code == 99, watched
    result = watched.last_json
    assert (result["status"], result["verdict"]) == ("completed", "failed")
    assert result["errors"]["connect"] == result["metrics"]["http_reqs"]["count"] > 0
    assert [threshold["passed"] for threshold in result["thresholds"]] == [False]


def test_no_free_core_queues_the_job_until_there_is_one(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    first = cluster.submit(write_job(tmp_path, target.url, LONG))
    eventually(lambda: cluster.result(first)["status"] == "running", what="the first job running")
    second = cluster.submit(write_job(tmp_path, target.url, workflow()))
    eventually(lambda: cluster.result(second)["status"] == "queued", what="the second job queued")
    assert cluster.command("cancel", first).code == 0
    assert cluster.ended(first, 10)["status"] == "cancelled"
    assert cluster.ended(second, 15)["status"] == "completed"


def test_restarted_gate_shows_finished_jobs_and_fails_those_it_owned(
    own_cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    before = own_cluster.completed(write_job(tmp_path, target.url))
    unfinished = _running_job(own_cluster, target, tmp_path)
    gate = own_cluster.node("gate")
    with killed_and_restarted(gate):
        assert own_cluster.result(before["job_id"]) == before
        result = own_cluster.ended(unfinished, 15)
        assert result["status"] == "failed"
        assert gate["node_id"] in " ".join(result["reasons"])
        eventually(lambda: _is_quiet(target), what="the end of the load")
        own_cluster.completed(write_job(tmp_path, target.url))


def _is_quiet(target: BundledTarget) -> bool:
    before = target.requests()
    time.sleep(0.05)
    return target.requests() == before
