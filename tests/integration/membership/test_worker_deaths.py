"""The group notices what a stream that stays open hides, and what becomes of the job."""

import signal
import time
from pathlib import Path

from hyperscale.v1.job_pb2 import JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, GlobalJobStatus
from tests.support.jobs import workflow, write_job
from tests.support.processes import eventually
from tests.support.services import Service, services
from tests.support.target import BundledTarget

LONG = workflow(constant_vus={"vus": 2, "duration": "90s"})
SHORT = workflow(constant_vus={"vus": 2, "duration": "1s"})
WITHIN_SECONDS = 60
"""A group of two in its first seconds, on a busy machine, is patient: 8 to 11 s were seen with three processes per core."""


def _running(gate: Service, target: BundledTarget, directory: Path) -> str:
    before = target.requests()
    job_id = gate.submit(write_job(directory, target.url, LONG))
    eventually(lambda: target.requests() > before + 50, what="load on the target")
    return job_id


def _reasons(status: GlobalJobStatus) -> str:
    return " ".join(status.result.errors)


def test_a_stopped_worker_is_noticed_though_its_stream_stays_open_and_a_killed_one_too(
    target: BundledTarget, tmp_path: Path
) -> None:
    with services(tmp_path, "--membership-profile", "local") as started:
        gate = started.gate("gate-1")
        manager = started.manager("manager-1", "--gates", gate.address)
        worker = started.worker("worker-1", manager.address)
        eventually(lambda: "worker-1" in manager.alive(), what="the worker in the group")

        job_id = _running(gate, target, tmp_path)
        stopped_at = time.monotonic()
        worker.send(signal.SIGSTOP)
        status = gate.ended(job_id, WITHIN_SECONDS)
        assert time.monotonic() - stopped_at < WITHIN_SECONDS
        assert status.status == JOB_STATUS_FAILED
        assert "worker worker-1 was lost" in _reasons(status)
        assert "declared dead by the group: manager-1 got no answer" in _reasons(status)
        assert "worker-1" not in manager.alive()

        worker.send(signal.SIGCONT)
        eventually(lambda: "worker-1" in manager.alive(), what="the worker alive again")
        again = gate.submit(write_job(tmp_path, target.url, SHORT))
        assert gate.ended(again, 30).status == JOB_STATUS_COMPLETED

        job_id = _running(gate, target, tmp_path)
        killed_at = time.monotonic()
        worker.send(signal.SIGKILL)
        status = gate.ended(job_id, WITHIN_SECONDS)
        assert time.monotonic() - killed_at < WITHIN_SECONDS
        assert status.status == JOB_STATUS_FAILED
        assert "worker worker-1 was lost" in _reasons(status)
