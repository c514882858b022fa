"""A gate with a latency target counts a datacenter worse where requests exceed it; seen through the command line."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster, local_cluster
from tests.support.processes import eventually
from tests.support.target import BundledTarget


def candidates(cluster: LocalCluster, job_id: str) -> dict[str, dict[str, Any]]:
    routing = cluster.command("result", job_id, "--routing", "--json").last_json["routing"]
    return {one["datacenter"]: one for one in routing["candidates"]}


def listed(cluster: LocalCluster) -> dict[str, dict[str, Any]]:
    return {one["datacenter"]: one for one in cluster.command("datacenters", "--json").last_json["datacenters"]}


@pytest.mark.requirement("AD-42.1")
def test_latencies_measured_in_a_datacenter_raise_its_score(
    tmp_path: Path, target: BundledTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is that quick.
    monkeypatch.setenv("HYPERSCALE_GATE_SLO_TARGET_MS", "0.01")
    load = workflow(shared_iterations={"vus": 2, "iterations": 400})
    with local_cluster(tmp_path, datacenters=2, cores=1) as cluster:
        slow = write_job(tmp_path, target.url, load, datacenters={"required": ["dc-1"]})
        assert cluster.command("result", cluster.submit(slow), "--wait", "30", "--json").code == 0

        def told() -> dict[str, Any]:
            latency: dict[str, Any] | None = listed(cluster)["dc-1"]["request_latency"]
            return latency if latency is not None and latency["count"] >= 100 else {}

        latency = eventually(told, what="the latencies of dc-1")
        assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]
        assert listed(cluster)["dc-2"]["request_latency"] is None
        small = workflow(shared_iterations={"vus": 1, "iterations": 1})
        free = write_job(tmp_path, target.url, small, datacenters={"count": 1, "preferred": ["dc-1"]})
        standing = candidates(cluster, cluster.submit(free))
        assert standing["dc-1"]["score"]["slo"] == 2
        assert standing["dc-2"]["score"]["slo"] == 1
        scores = {name: dict(one["score"]) for name, one in standing.items()}
        totals = {name: score.pop("score") for name, score in scores.items()}
        assert totals == pytest.approx(
            {name: math.prod(factors.values()) for name, factors in scores.items()}, rel=0.01
        )
        # Distances of a busy machine may weigh more than that: the one that is best in all is chosen.
        assert standing[min(totals, key=totals.__getitem__)]["outcome"] == "chosen"
