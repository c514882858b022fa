"""A manager that is told of one gate finds the others, so that each of them can use its datacenter."""

import signal
from pathlib import Path

from hyperscale.v1.job_pb2 import JOB_STATUS_COMPLETED
from tests.support.jobs import workflow, write_job
from tests.support.processes import eventually
from tests.support.services import DATACENTER, services
from tests.support.target import BundledTarget

SHORT = workflow(shared_iterations={"vus": 2, "iterations": 40})


def test_a_gate_that_comes_later_runs_jobs_in_a_datacenter_whose_manager_was_told_of_the_first(
    target: BundledTarget, tmp_path: Path
) -> None:
    with services(tmp_path, "--membership-profile", "local") as started:
        first = started.gate("gate-1")
        manager = started.manager("manager-1", "--gates", first.address)
        started.worker("worker-1", manager.address)
        second = started.gate("gate-2", "--gates", first.address)
        eventually(lambda: DATACENTER in second.datacenters(), what="the datacenter at the second gate")
        eventually(
            lambda: second.datacenters()[DATACENTER].available,
            what="a leader connected to the second",
        )
        first.send(signal.SIGKILL)
        before = target.requests()
        job_id = second.submit(write_job(tmp_path, target.url, SHORT))
        assert second.ended(job_id, 60).status == JOB_STATUS_COMPLETED
        assert target.requests() - before == 40
