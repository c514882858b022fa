"""A worker that is told of one manager finds the others, so that whoever leads can use it."""

import signal
from pathlib import Path

from hyperscale.v1.job_pb2 import JOB_STATUS_COMPLETED
from tests.support.jobs import workflow, write_job
from tests.support.processes import eventually
from tests.support.services import Service, services
from tests.support.target import BundledTarget

SHORT = workflow(shared_iterations={"vus": 2, "iterations": 40})


def _workers(manager: Service) -> set[str]:
    return {status.heartbeat.node.node_id for status in manager.ping_manager().workers}


def test_every_manager_knows_a_worker_that_is_told_of_one_and_whoever_leads_gets_its_results(
    target: BundledTarget, tmp_path: Path
) -> None:
    with services(tmp_path, "--membership-profile", "local") as started:
        gate = started.gate("gate-1")
        options = ("--gates", gate.address, "--leader-lease-ttl-seconds", "2")
        leader = started.manager("manager-1", *options)
        eventually(lambda: leader.ping_manager().heartbeat.is_leader, what="manager-1 leading")
        standby = started.manager("manager-2", "--managers", leader.address, *options)
        started.worker("worker-1", standby.address)
        eventually(
            lambda: _workers(leader) == _workers(standby) == {"worker-1"},
            what="both managers know the worker",
        )
        everybody = {"manager-1", "manager-2", "worker-1"}
        eventually(lambda: leader.alive() == standby.alive() == everybody, what="one group")
        _complete(gate, target, tmp_path)
        leader.send(signal.SIGKILL)
        eventually(lambda: standby.ping_manager().heartbeat.is_leader, what="manager-2 leading")
        _complete(gate, target, tmp_path)


def _complete(gate: Service, target: BundledTarget, directory: Path) -> None:
    before = target.requests()
    job_id = gate.submit(write_job(directory, target.url, SHORT))
    status = gate.ended(job_id, 30)
    assert status.status == JOB_STATUS_COMPLETED
    assert status.result.metrics["http_reqs"].values["count"] == target.requests() - before == 40
