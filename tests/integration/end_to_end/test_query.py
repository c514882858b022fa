"""Asking how workflows stand."""

from pathlib import Path

from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster
from tests.support.target import BundledTarget

BRIEF = workflow("browse", shared_iterations={"vus": 2, "iterations": 4})


def test_every_change_of_a_workflow_is_shown_with_its_time(
    cluster: LocalCluster, target: BundledTarget, tmp_path: Path
) -> None:
    job_id = cluster.completed(write_job(tmp_path, target.url, BRIEF))["job_id"]
    table = cluster.command("query", job_id)
    assert table.code == 0
    assert "browse" in table.out
    datacenters = cluster.command("query", job_id, "--json").last_json["datacenters"]
    assert [part["datacenter"] for part in datacenters] == ["dc-1", "dc-2"]
    for part in datacenters:
        (browse,) = part["workflows"]
        changes = [(change["at"], change["status"]) for change in browse["history"]]
        assert [status for _, status in changes] == ["pending", "dispatched", "running", "completed", "aggregated"]
        assert changes == sorted(changes, key=lambda change: change[0])
