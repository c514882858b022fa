"""The timeout of a job, and what datacenters extend it by."""

from __future__ import annotations

import pytest

from hyperscale.v1 import job_pb2, script_pb2, workflow_pb2
from hyperscale.workload.limits import MAX_EXTENSION_SECONDS
from hyperscale.workload.timestamps import duration, seconds_of
from tests.support.waiting import until
from tests.unit.gate.harness import GateInMemory, submission


def minute(*required: str) -> job_pb2.JobSubmission:
    job = submission(*required)
    job.timeout.FromSeconds(60)
    return job


def with_stages() -> job_pb2.JobSubmission:
    job = minute("east")
    extract = [script_pb2.Extraction(variable="id", json_path="$.x")]
    step = workflow_pb2.Step(name="create", http=workflow_pb2.HttpRequest(url="/"), extract=extract)
    job.workflows[0].setup.append(step)
    job.workflows[0].teardown.append(workflow_pb2.Step(name="leave", http=workflow_pb2.HttpRequest(url="/")))
    return job


async def test_the_largest_extension_counts(gate: GateInMemory) -> None:
    job_id = await gate.submit(minute())
    await gate.dispatched(job_id, "east", "west")
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    assert run.timeout_seconds == 60
    gate.progress("east", job_id, 1, 5, extended_by=duration(30))
    gate.progress("west", job_id, 1, 5, extended_by=duration(15))
    assert run.timeout_seconds == 90
    gate.progress("west", job_id, 2, 5, extended_by=duration(45))
    gate.progress("east", job_id, 1, 5, extended_by=duration(600))
    assert run.timeout_seconds == 105
    assert [part.reason for part in run.snapshot().datacenters] == [
        "its time was extended by 30 s",
        "its time was extended by 45 s",
    ]


async def test_what_only_the_final_result_tells_counts_too(gate: GateInMemory) -> None:
    job_id = await gate.submit(minute())
    await gate.dispatched(job_id, "east", "west")
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    gate.finish("west", job_id, extended_by=duration(45))
    assert run.timeout_seconds == 105
    gate.finish("east", job_id, extended_by=duration(15))
    assert run.timeout_seconds == 105


@pytest.mark.parametrize("seconds", [MAX_EXTENSION_SECONDS + 1, 3e11])
async def test_more_time_than_any_manager_may_grant_is_not_believed(gate: GateInMemory, seconds: float) -> None:
    job_id = await gate.submit(minute())
    await gate.dispatched(job_id, "east", "west")
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    gate.progress("east", job_id, 1, 5, extended_by=duration(30))
    gate.progress("east", job_id, 2, 7, extended_by=duration(seconds))
    assert run.timeout_seconds == 90
    assert gate.supervisor.failures["extension"] == 1
    gate.finish("east", job_id, extended_by=duration(seconds))
    assert run.timeout_seconds == 90
    assert gate.supervisor.failures["extension"] == 2
    assert [part.status for part in run.snapshot().datacenters] == [
        job_pb2.JOB_STATUS_COMPLETED,
        job_pb2.JOB_STATUS_QUEUED,
    ]


async def test_each_stage_but_teardown_is_told_the_time_that_is_left(gate: GateInMemory) -> None:
    job_id = await gate.submit(with_stages())
    left: dict[str, float] = {}
    for stage in (".setup", ""):
        stage_id = job_id + stage
        await gate.dispatched(stage_id, "east")
        left[stage] = seconds_of(gate.datacenters.dispatches["east:1", stage_id].time_left)
        gate.progress("east", stage_id, 1, 0, extended_by=duration(30))
        gate.finish("east", stage_id)
    await gate.dispatched(f"{job_id}.teardown", "east")
    assert not gate.datacenters.dispatches["east:1", f"{job_id}.teardown"].HasField("time_left")
    assert 0 < left[".setup"] <= 60 < left[""] <= 90
    run = await until(lambda: gate.node.jobs.state.find(job_id))
    assert run.timeout_seconds == pytest.approx(60 + 30 + 30)
