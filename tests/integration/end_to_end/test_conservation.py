"""What was reported is what the target counted, whatever the shape of the run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import ONE_STEP, THREE_STEPS, workflow, write_job
from tests.support.local_cluster import LocalCluster
from tests.support.nginx import Nginx, running_nginx
from tests.support.target import BundledTarget
from tests.support.tools import require_tool

pytestmark = pytest.mark.requirement("MAIN.5")


def _constant(vus: int, seconds: int, steps: Any = ONE_STEP) -> dict[str, Any]:
    load = {"vus": vus, "duration": f"{seconds}s"}
    return workflow(steps=steps, constant_vus=load, think_time={"constant": "0s"})


def _shared(vus: int, iterations: int, steps: Any = ONE_STEP) -> dict[str, Any]:
    return workflow(steps=steps, shared_iterations={"vus": vus, "iterations": iterations})


SHAPES: Mapping[str, tuple[dict[str, Any], str]] = {
    "one user": (_constant(1, 1), "replicate"),
    "one user, split over two datacenters": (_constant(1, 1), "split"),
    "seven users, three steps": (_constant(7, 1, THREE_STEPS), "split"),
    "50 users": (_constant(50, 1), "replicate"),
    "50 users, split": (_constant(50, 1), "split"),
    "200 users, three steps": (_constant(200, 1, THREE_STEPS), "replicate"),
    "500 users": (_constant(500, 2), "replicate"),
    "500 users, split": (_constant(500, 2), "split"),
    "1001 iterations of ten users": (_shared(10, 1001), "replicate"),
    "1001 iterations of three users, split": (_shared(3, 1001, THREE_STEPS), "split"),
}

EXACT_REQUESTS = {"1001 iterations of ten users": 2 * 1001, "1001 iterations of three users, split": 3 * 1001}


@pytest.fixture(scope="module")
def nginx() -> Iterator[Nginx]:
    require_tool("nginx")
    with running_nginx() as running:
        yield running


def _reported(cluster: LocalCluster, directory: Path, url: str, shape: str) -> int:
    load, distribution = SHAPES[shape]
    job_file = write_job(directory, url, load, distribution=distribution)
    result = cluster.completed(job_file)
    assert result["errors"] == {}
    count: int = result["metrics"]["http_reqs"]["count"]
    parts = [part["metrics"] for part in result["datacenters"].values() if part["metrics"]]
    assert count == sum(metrics["http_reqs"]["count"] for metrics in parts)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_bundled_target_counts_what_is_reported(
    shape: str, cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    before = target.requests()
    reported = _reported(cluster, tmp_path, target.url, shape)
    assert target.requests() - before - reported == 0
    assert reported == EXACT_REQUESTS.get(shape, reported) > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_nginx_counts_what_is_reported(shape: str, cluster: LocalCluster, nginx: Nginx, tmp_path: Path) -> None:
    before = nginx.requests()
    reported = _reported(cluster, tmp_path, nginx.url, shape)
    assert nginx.requests() - before - reported == 0
    assert reported == EXACT_REQUESTS.get(shape, reported) > 0
