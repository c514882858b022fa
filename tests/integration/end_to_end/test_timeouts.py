"""A job at its timeout."""

from pathlib import Path

from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster
from tests.support.target import BundledTarget

SLOW = workflow("browse", shared_iterations={"vus": 1, "iterations": 5}, think_time={"min": "2s", "max": "2s"})


def test_what_is_nearly_done_at_the_timeout_gets_to_its_end(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    path = write_job(tmp_path, target.url, SLOW, timeout="7s", datacenters={"required": ["dc-1"]})
    job_id = cluster.completed(path)["job_id"]
    assert "its time was extended by" in cluster.command("query", job_id).out
