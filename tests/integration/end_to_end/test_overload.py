"""A worker whose control process does not get to run in time, and where jobs go then."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.processes import eventually
from tests.support.target import BundledTarget

SLOW = ("stressed", "overloaded")
HELD_SECONDS, FREE_SECONDS = 1.6, 0.3


@contextmanager
def starved(pid: int) -> Iterator[None]:
    """A process that is held up again and again, as on a machine that has too much to do."""
    is_over = threading.Event()

    def hold_up() -> None:
        while not is_over.wait(FREE_SECONDS):
            os.kill(pid, signal.SIGSTOP)
            is_over.wait(HELD_SECONDS)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=hold_up)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def told_states(cluster: LocalCluster, slow_id: str, other_id: str) -> tuple[str, ...]:
    """What two workers say of themselves, once the slow one says that it is, and its manager has heard it."""
    nodes = {node["node_id"]: node for node in cluster.command("nodes", "--json").last_json["nodes"]}
    slow, other = (nodes[worker_id].get("overload", "") for worker_id in (slow_id, other_id))
    told = sum(nodes["dc-1-manager-1"].get(f"{state}_workers", 0) for state in SLOW)
    return (slow, other) if slow in SLOW and told >= 1 else ()


def workers_of(cluster: LocalCluster, job_id: str) -> list[str]:
    (datacenter,) = cluster.command("query", job_id, "--json").last_json["datacenters"]
    return [worker for workflow in datacenter["workflows"] for worker in workflow["workers"]]


def test_a_job_goes_to_the_worker_that_keeps_up(target: BundledTarget, tmp_path: Path) -> None:
    with local_cluster(tmp_path, workers=2, cores=1) as cluster:
        slow, other = cluster.node("worker"), "dc-1-worker-2"
        with starved(slow["pid"]):
            told = f"{slow['node_id']} known as slow"
            states = eventually(lambda: told_states(cluster, slow["node_id"], other), within_seconds=60, what=told)
            if states[1] in SLOW:
                pytest.skip(f"this machine makes every worker {states[1]}: its memory is full, or its cores are in use")
            load = workflow(constant_vus={"vus": 1, "duration": "60s"})
            job_id = cluster.submit(write_job(tmp_path, target.url, load))
            workers = eventually(lambda: workers_of(cluster, job_id), what="a worker at work")
            assert workers == [other]
