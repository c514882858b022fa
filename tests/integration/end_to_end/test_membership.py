"""What a cluster tells of its nodes and its datacenters, while they live and when they die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeListResponse
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub
from hyperscale.v1.swim_pb2 import SWIM_STATE_ALIVE
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.processes import eventually, process
from tests.support.target import BundledTarget

Shown = Mapping[str, Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two gates; two datacenters of two managers and one worker each."""
    with local_cluster(tmp_path_factory.mktemp("members"), gates=2, datacenters=2, managers=2) as running:
        yield running


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Two datacenters of two managers and one worker each, for a test that kills them."""
    with local_cluster(tmp_path, datacenters=2, managers=2) as running:
        yield running


def nodes_of(cluster: LocalCluster) -> dict[str, Shown]:
    return {node["node_id"]: node for node in cluster.command("nodes", "--json").last_json["nodes"]}


def datacenters_of(cluster: LocalCluster) -> dict[str, Shown]:
    return {info["datacenter"]: info for info in cluster.command("datacenters", "--json").last_json["datacenters"]}


def alive_workers(manager: Shown) -> set[str]:
    return {
        status.node.node_id
        for status in asyncio.run(_group_of(manager)).nodes
        if status.HasField("worker") and status.state == SWIM_STATE_ALIVE
    }


async def _group_of(node: Shown) -> NodeListResponse:
    async with grpc.aio.insecure_channel(node["address"]) as channel:
        return await MembershipServiceStub(channel).ListNodes(NodeListRequest(), timeout=30)


@contextmanager
def worker_that_knows_only(manager: Shown, node_id: str) -> Iterator[None]:
    """A worker that was told of one manager."""
    options = {
        "--node-id": node_id,
        "--datacenter": manager["datacenter"],
        "--managers": manager["address"],
        "--membership-profile": "local",
        "--cores": "1",
    }
    words = [word for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "hyperscale.worker", *words]
    with process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield


def is_located(node: Shown) -> bool:
    """Whether the distance is known, or it is the observer itself."""
    if node["observer_id"] == node["node_id"]:
        return node["rtt_ms"] is None
    return node["rtt_ms"] is not None and 0 < node["rtt_ms"] <= node["rtt_upper_ms"] and 0 < node["rtt_quality"] <= 1


def test_every_node_is_shown_alive_with_its_distance(cluster: LocalCluster) -> None:
    def shown() -> dict[str, Shown] | None:
        nodes = nodes_of(cluster)
        is_complete = len(nodes) == 8 and all(node["state"] == "alive" and is_located(node) for node in nodes.values())
        return nodes if is_complete else None

    nodes = eventually(shown, what="eight nodes alive, with round trips")
    assert nodes is not None
    assert {node["node_id"]: node["address"] for node in cluster.nodes if node["role"] != "target"} == {
        name: node["address"] for name, node in nodes.items()
    }
    leaders = [node["datacenter"] for node in nodes.values() if node.get("is_leader")]
    assert sorted(leaders) == ["dc-1", "dc-2"]
    table = cluster.command("nodes")
    assert table.code == 0
    assert "1 of 1 cores free" in table.out


@pytest.mark.requirement("AD-48.1")
def test_every_manager_of_a_datacenter_knows_every_worker(cluster: LocalCluster) -> None:
    first, second = cluster.node("manager", 0), cluster.node("manager", 1)
    assert first["datacenter"] == second["datacenter"] == "dc-1"
    with worker_that_knows_only(first, "newcomer"):
        expected = {"dc-1-worker-1", "newcomer"}
        for manager in (first, second):
            eventually(lambda: alive_workers(manager) == expected, what="both workers known")  # noqa: B023
    for manager in (first, second):
        eventually(lambda: alive_workers(manager) == {"dc-1-worker-1"}, what="its leave known")  # noqa: B023


def test_the_dead_are_shown_dead_and_lost_datacenters_unreachable(
    own_cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    eventually(lambda: _all_reachable(datacenters_of(own_cluster)), what="both datacenters reachable")
    long = workflow(constant_vus={"vus": 1, "duration": "60s"})
    before = target.requests()
    job_id = own_cluster.submit(write_job(tmp_path, target.url, long, datacenters={"required": ["dc-1"]}))
    eventually(lambda: target.requests() > before, what="load on the target")

    worker = own_cluster.kill("worker")
    dead = _seconds_until(lambda: nodes_of(own_cluster)[worker["node_id"]]["state"] == "dead", "the worker shown dead")
    assert dead < 15
    result = own_cluster.ended(job_id, within_seconds=15)
    assert result["status"] == "failed"
    assert worker["node_id"] in " ".join(result["reasons"])

    managers = [node for node in own_cluster.nodes if node["role"] == "manager" and node["datacenter"] == "dc-2"]
    for manager in managers:
        os.kill(manager["pid"], signal.SIGKILL)
    _seconds_until(lambda: datacenters_of(own_cluster)["dc-2"]["reachability"] == "unreachable", "dc-2 unreachable")
    assert datacenters_of(own_cluster)["dc-1"]["reachability"] == "reachable"
    assert datacenters_of(own_cluster)["dc-2"]["health"] == "unhealthy"
    listing = own_cluster.command("nodes", "--json").last_json
    assert set(listing["unanswered"]) == {"dc-2"}


def _all_reachable(infos: Mapping[str, Shown]) -> bool:
    return len(infos) == 2 and all(
        info["reachability"] == "reachable" and 0 < info["rtt_ms"] <= info["rtt_upper_ms"] and info["health"]
        for info in infos.values()
    )


def _seconds_until(probe: Callable[[], bool], what: str) -> float:
    started = time.monotonic()
    eventually(probe, what=what)
    return time.monotonic() - started
