"""Jobs go to the near datacenter, to the next one while it is full or after it has failed, and come back; seen by the CLI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.distant_datacenters import DistantDatacenters, distant_datacenters
from tests.support.jobs import workflow, write_job
from tests.support.processes import eventually
from tests.support.target import BundledTarget

# Far above what a busy machine adds to a round trip, and less than twice as far: a penalty of two turns the order round.
ROUND_TRIPS_SECONDS = {"near": 0.24, "middle": 0.36, "far": 0.7}
COOLDOWN_SECONDS = 12
"""On a busy machine the commands between a failure and the next job take some five."""


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DistantDatacenters]:
    options = {
        "--routing-cooldown-seconds": str(COOLDOWN_SECONDS),
        "--dispatch-deadline-seconds": "2",
        "--circuit-half-open-after-seconds": "0.5",
    }
    words = [word for option in options.items() for word in option]
    with distant_datacenters(tmp_path_factory.mktemp("spread"), ROUND_TRIPS_SECONDS, *words) as running:
        yield running


def job_for_one(directory: Path, target: BundledTarget, **load: Any) -> Path:
    return write_job(directory, target.url, workflow(**load), datacenters={"count": 1})


def standing_of(spread: DistantDatacenters, job_id: str) -> dict[str, dict[str, Any]]:
    """How each datacenter stood in the decision of a job, the chosen one first."""
    return {one["datacenter"]: one for one in spread.routing(job_id)["candidates"]}


def submitted(
    spread: DistantDatacenters, directory: Path, target: BundledTarget
) -> tuple[str, dict[str, dict[str, Any]]]:
    """A job for one datacenter that is done at once, and how each one stood in its decision."""
    load = {"shared_iterations": {"vus": 1, "iterations": 1}}
    job_id = spread.cluster.submit(job_for_one(directory, target, **load))
    return job_id, standing_of(spread, job_id)


def ran_in(spread: DistantDatacenters, job_id: str) -> list[str]:
    """Where a job has run, once it has ended."""
    return list(spread.cluster.command("result", job_id, "--wait", "30", "--json").last_json["datacenters"])


def test_jobs_go_to_the_near_one_and_to_the_next_while_it_is_full(
    spread: DistantDatacenters, target: BundledTarget, tmp_path: Path
) -> None:
    spread.until_calm()
    long = {"constant_vus": {"vus": 1, "duration": "120s"}}
    with spread.cluster.running(job_for_one(tmp_path, target, **long)) as filling:
        standing = standing_of(spread, filling)
        assert list(standing) == ["near", "middle", "far"]
        assert [one["outcome"] for one in standing.values()] == ["chosen", "fallback", "fallback"]
        assert standing["near"]["reason"] == "lowest score"
        assert standing["middle"]["reason"].endswith("times the score of near")

        eventually(lambda: not spread.gate.datacenters()["near"].available_cores, what="near is full")
        assert spread.infos()["near"]["available_cores"] == 0
        second, standing = submitted(spread, tmp_path, target)
        assert list(standing) == ["middle", "far", "near"]
        assert standing["near"]["reason"] == "BUSY, and HEALTHY ones come first: it has no free cores"
        assert ran_in(spread, second) == ["middle"]

    spread.until_calm()
    third, standing = submitted(spread, tmp_path, target)
    assert list(standing) == ["near", "middle", "far"]
    assert ran_in(spread, third) == ["near"]


def test_a_datacenter_that_failed_is_avoided_for_the_cooldown_and_then_used_again(
    spread: DistantDatacenters, target: BundledTarget, tmp_path: Path
) -> None:
    spread.until_calm()
    spread.ways["near"].cut()
    failing, standing = submitted(spread, tmp_path, target)
    assert next(iter(standing)) == "near", standing
    assert ran_in(spread, failing) == ["middle"]
    (move,) = spread.routing(failing)["fallbacks"]
    assert (move["from"], move["to"]) == ("near", "middle")
    spread.ways["near"].mend()

    avoided = []
    for _ in range(20):
        job_id, standing = submitted(spread, tmp_path, target)
        chosen, near = next(iter(standing)), standing["near"]
        assert ran_in(spread, job_id) == [chosen]
        if near["outcome"] == "excluded":
            # For the moment after the last failure in which nobody calls its manager.
            assert near["reason"].startswith("calls to all of its managers have failed lately")
            continue
        if near["score"]["cooldown"] == 1.0:
            break
        avoided.append(chosen)
        assert (near["health"], near["score"]["cooldown"]) == ("healthy", 2.0)
    assert "middle" in avoided, standing
    assert chosen == "near"
