"""Every profile over two datacenters: exactly what was asked, started together, and honest about the generator."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import example
from tests.support.jobs import ONE_STEP, write_job
from tests.support.local_cluster import LocalCluster
from tests.support.target import BundledTarget

SPLIT = {"distribution": "split"}

EXACT_ITERATIONS: dict[str, tuple[dict[str, Any], int]] = {
    "shared_iterations": ({"vus": 7, "iterations": 501}, 501),
    "per_vu_iterations": ({"vus": 7, "iterations": 31}, 217),
    "constant_arrival_rate": ({"rate": 151, "duration": "3s", "pre_allocated_vus": 40}, 453),
    "ramping_arrival_rate": (
        {"stages": [{"duration": "2s", "target": 200}, {"duration": "1s", "target": 100}], "pre_allocated_vus": 60},
        350,
    ),
}


def run_job(cluster: LocalCluster, directory: Path, url: str, load: dict[str, Any], **fields: Any) -> dict[str, Any]:
    workflow = {"name": "load", "steps": list(ONE_STEP), **load}
    job_file = write_job(directory, url, workflow, **fields)
    result = cluster.completed(job_file)
    assert result["errors"] == {}
    return result


@pytest.mark.requirement("WORK.2")
@pytest.mark.parametrize("profile", EXACT_ITERATIONS)
def test_a_split_profile_runs_exactly_what_was_asked(
    profile: str, cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    load, iterations = EXACT_ITERATIONS[profile]
    before = target.requests()
    metrics = run_job(cluster, tmp_path, target.url, {profile: load}, **SPLIT)["metrics"]
    dropped = metrics.get("dropped_iterations", {}).get("count", 0)
    assert metrics["iterations"]["count"] + dropped == iterations
    assert target.requests() - before == metrics["http_reqs"]["count"] == iterations - dropped
    assert dropped <= iterations // 50


@pytest.mark.requirement("WORK.2")
def test_a_split_ramp_has_as_many_users_as_asked(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    ramp = {"stages": [{"duration": "1s", "target": 41}, {"duration": "2s", "target": 41}]}
    slow = [{"name": "slow", "http": {"url": "/delay/20"}}]
    result = run_job(cluster, tmp_path, target.url, {"ramping_vus": ramp, "steps": slow}, **SPLIT)
    metrics = result["metrics"]
    assert metrics["vus_max"]["value"] == 41
    spent_seconds = metrics["iteration_duration"]["avg"] * metrics["iterations"]["count"] / 1000
    assert spent_seconds == pytest.approx(41 * 2.5, rel=0.03)
    users = [part["metrics"]["vus_max"]["value"] for part in result["datacenters"].values()]
    assert sum(users) == 41
    assert min(users) >= 17


@pytest.mark.requirement("X.2")
def test_datacenters_start_at_one_instant(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    def apart_seconds() -> float:
        result = run_job(cluster, tmp_path, target.url, {"constant_vus": {"vus": 2, "duration": "1s"}})
        starts = [datetime.fromisoformat(part["started_at"]) for part in result["datacenters"].values()]
        assert len(starts) == 2
        return (max(starts) - min(starts)).total_seconds()

    # A busy machine may wake one of them late: they get another chance, and no more tolerance.
    assert any(apart_seconds() < 0.08 for _ in range(8))


@pytest.mark.requirement("WORK.8")
def test_the_result_says_how_the_generator_did(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    load = {"constant_vus": {"vus": 4, "duration": "3s"}, "think_time": {"constant": "100ms"}, "warm_up": "1s"}
    before = target.requests()
    result = run_job(cluster, tmp_path, target.url, load)
    metrics = result["metrics"]
    assert metrics["generator_saturated"]["rate"] < 1
    assert metrics["engine_lag_ms"]["max"] >= 0
    is_saturated = metrics["generator_saturated"]["rate"] >= 0.05
    assert result["generator"] == ("saturated" if is_saturated else "ok")
    assert target.requests() - before == metrics["http_reqs"]["count"] + metrics["warm_up_requests"]["count"]


def test_the_soak_example(cluster: LocalCluster, target: BundledTarget, tmp_path: Path) -> None:
    """70 visits while the rate rises, 360 while it stays, 60 while it falls; those of the first second are warm-up."""
    metrics = cluster.completed(example("soak.yaml", tmp_path), "--target", target.url)["metrics"]
    dropped = metrics.get("dropped_iterations", {}).get("count", 0)
    requests = metrics["http_reqs"]["count"] + metrics["warm_up_requests"]["count"]
    assert requests == 2 * (70 + 360 + 60 - dropped)
