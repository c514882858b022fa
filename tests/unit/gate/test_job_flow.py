"""A job from its acceptance to its end, through what its datacenters report and fail to report."""

import asyncio
import time
from dataclasses import replace

import pytest

from hyperscale.gate.models.orders import CallOrigin, CancelNotice
from hyperscale.gate.models.part import waiting_reason
from hyperscale.runtime.errors import LEADER_KEY, ErrorReason, HyperscaleError
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, progress_pb2, statistics_pb2
from hyperscale.workload.timestamps import duration, timestamp
from tests.support.waiting import until, until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, measured, refusal, submission

COMPLETED, FAILED = job_pb2.JOB_STATUS_COMPLETED, job_pb2.JOB_STATUS_FAILED
CANCELLED, TIMEOUT = job_pb2.JOB_STATUS_CANCELLED, job_pb2.JOB_STATUS_TIMEOUT
CANCELLING, RUNNING = job_pb2.JOB_STATUS_CANCELLING, job_pb2.JOB_STATUS_RUNNING
QUEUED = job_pb2.JOB_STATUS_QUEUED


async def dispatched(gate: GateInMemory, job: job_pb2.JobSubmission) -> str:
    job_id = await gate.submit(job)
    await gate.dispatched(job_id, *(job.datacenters.required or ("east", "west")))
    return job_id


async def cancel(gate: GateInMemory, job_id: str) -> job_pb2.JobStatus.ValueType:
    request = dispatch_pb2.JobCancelRequest(job_id=job_id, reason="enough")
    return (await gate.node.desk.cancel(request, CallOrigin.CLIENT)).status


def reporting_cancelled(gate: GateInMemory, requests: int = 0) -> None:
    def on_cancel(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
        gate.finish(address.partition(":")[0], request.job_id, CANCELLED, requests)
        return CANCELLING

    gate.datacenters.on_cancel = on_cancel


def by_datacenter(result: job_pb2.GlobalJobResult) -> dict[str, job_pb2.JobFinalResult]:
    return {part.result.datacenter: part.result for part in result.datacenters}


def requests_of(statistics: list[statistics_pb2.WorkflowStats]) -> int:
    return sum(step.total_count for workflow in statistics for step in workflow.steps)


@pytest.mark.requirement("AD-14.1")
async def test_the_result_is_the_exact_sum_of_the_datacenters(gate: GateInMemory) -> None:
    rules = [("http_req_duration", "p(95) < 50ms"), ("http_req_failed", "rate < 1%"), ("http_reqs", "count == 300")]
    thresholds = [job_pb2.Threshold(metric=metric, expression=expression) for metric, expression in rules]
    job_id = await dispatched(gate, submission(thresholds=thresholds))
    gate.progress("east", job_id, 1, 50)
    assert gate.status(job_id) == RUNNING
    # The clocks of the datacenters differ by hours, which makes nothing longer or shorter.
    gate.finish("east", job_id, requests=100, started_at=timestamp(9000), elapsed=duration(10))
    gate.finish("west", job_id, requests=200, started_at=timestamp(1002), elapsed=duration(15))
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (COMPLETED, job_pb2.VERDICT_PASSED)
    assert requests_of(list(result.statistics)) == 300
    assert result.metrics["http_reqs"].values["count"] == 300
    assert result.metrics["http_reqs"].values["rate"] == pytest.approx(20, rel=0.01)
    assert result.elapsed.ToMilliseconds() == pytest.approx(15_000, rel=0.01)
    assert result.started_at.seconds == 1002
    assert [threshold.passed for threshold in result.thresholds] == [True, True, True]
    assert {part.result.datacenter: part.metrics["http_reqs"].values["count"] for part in result.datacenters} == {
        "east": 100,
        "west": 200,
    }
    assert {part.result.datacenter: part.metrics["http_reqs"].values["rate"] for part in result.datacenters} == {
        "east": pytest.approx(10),
        "west": pytest.approx(200 / 15),
    }
    assert not result.errors


async def test_a_missed_threshold_fails_the_verdict_not_the_job(gate: GateInMemory) -> None:
    thresholds = [job_pb2.Threshold(metric="http_req_duration", expression="max < 1ms")]
    job_id = await dispatched(gate, submission("east", thresholds=thresholds))
    gate.finish("east", job_id, requests=10)
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (COMPLETED, job_pb2.VERDICT_FAILED)
    assert result.thresholds[0].observed == pytest.approx(10, rel=0.01)


async def test_a_split_job_is_divided_exactly_and_a_replicated_one_is_copied(gate: GateInMemory) -> None:
    split = await dispatched(gate, submission(vus=7, iterations=101, distribution=job_pb2.DISTRIBUTION_SPLIT))
    shares = [gate.datacenters.dispatches[address, split].submission for address in ("east:1", "west:1")]
    assert sum(share.workflows[0].shared_iterations.vus for share in shares) == 7
    assert sum(share.workflows[0].shared_iterations.iterations for share in shares) == 101
    copied = await dispatched(gate, submission(vus=7))
    copies = [gate.datacenters.dispatches[address, copied].submission for address in ("east:1", "west:1")]
    assert [copy.workflows[0].constant_vus.vus for copy in copies] == [7, 7]


async def test_a_job_is_queued_until_a_datacenter_makes_load(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission())
    await until(lambda: gate.status(job_id) == QUEUED)
    gate.progress("east", job_id, 1, 0, status=QUEUED)
    assert gate.status(job_id) == QUEUED
    gate.progress("east", job_id, 2, 1)
    assert gate.status(job_id) == RUNNING


async def test_what_a_job_waits_for_is_an_event_and_in_its_status(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission("east"))
    waiting = job_pb2.WorkflowStatusInfo(
        workflow_name="shop", status=job_pb2.WORKFLOW_STATUS_PENDING, reason="no worker is registered"
    )
    for sequence in (1, 2):
        gate.progress("east", job_id, sequence, 0, status=QUEUED, workflows=[waiting])
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    assert [part.reason for part in run.snapshot().datacenters] == ["no worker is registered"]
    gate.progress("east", job_id, 3, 1)
    assert [part.reason for part in run.snapshot().datacenters] == [""]
    gate.finish("east", job_id, requests=1)
    pushes = [event.status async for event in run.events.watch(0, run.snapshot) if event.HasField("status")]
    told = [push.message for push in pushes if push.datacenter and push.datacenter_status == QUEUED]
    assert told[-1] == "no worker is registered"
    assert told.count("no worker is registered") == 1
    assert not any(push.message for push in pushes if push.datacenter_status == RUNNING)


def test_workflows_that_wait_are_named_and_bounded() -> None:
    waiting = [
        job_pb2.WorkflowStatusInfo(workflow_name=f"w{n}", status=job_pb2.WORKFLOW_STATUS_PENDING, reason="waits")
        for n in range(5)
    ]
    running = job_pb2.WorkflowStatusInfo(workflow_name="r", status=job_pb2.WORKFLOW_STATUS_RUNNING)
    assert waiting_reason([running]) == ""
    assert waiting_reason([running, waiting[0]]) == "workflow w0: waits"
    assert waiting_reason(waiting).endswith("workflow w2: waits; 2 more workflows wait")


async def test_users_of_workflows_that_ran_one_after_the_other_do_not_add_up(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission())
    statistics = [statistics_pb2.WorkflowStats(workflow_name=name, vus_max=5) for name in ("first", "second")]
    begun, over = job_pb2.WORKFLOW_STATUS_DISPATCHED, job_pb2.WORKFLOW_STATUS_COMPLETED
    workflows = [
        job_pb2.WorkflowStatusInfo(
            workflow_name=name,
            history=[
                job_pb2.WorkflowTransition(status=status, at=timestamp(1000.0 + at))
                for status, at in ((begun, began), (over, began + 10))
            ],
        )
        for name, began in (("first", 0), ("second", 10))
    ]
    gate.progress("east", job_id, 1, 0, statistics=statistics, workflows=workflows)
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    assert run.snapshot().metrics["vus_max"].values["value"] == 5
    for name in ("east", "west"):
        gate.finish(name, job_id, statistics=statistics, workflows=workflows)
    result = await gate.ended(job_id)
    assert result.metrics["vus_max"].values["value"] == 10
    assert [part.metrics["vus_max"].values["value"] for part in result.datacenters] == [5, 5]


@pytest.mark.requirement("AD-14.1")
async def test_repeated_late_and_foreign_reports_change_nothing(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission())

    def count() -> float:
        run = gate.node.jobs.state.find(job_id)
        assert run is not None
        return run.snapshot().metrics["http_reqs"].values["count"]

    gate.progress("east", job_id, 5, 50)
    for _ in range(2):
        gate.progress("east", job_id, 5, 60)
        gate.progress("east", job_id, 4, 40)
        gate.progress("east", job_id, 9, 90, fence_token=gate.fence(job_id) - 1)
    assert count() == 50
    gate.finish("east", job_id, requests=70)
    gate.finish("east", job_id, FAILED, requests=10)
    gate.progress("east", job_id, 10, 100)
    assert count() == 70
    gate.finish("west", job_id, requests=30)
    assert (await gate.ended(job_id)).metrics["http_reqs"].values["count"] == 100


async def test_a_faulty_histogram_is_dropped_and_the_job_lives(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission("east"))
    faulty = measured(5)
    faulty[0].steps[0].duration_ms.min = float("nan")
    progress = progress_pb2.JobProgress(
        job_id=job_id, datacenter="east", fence_token=gate.fence(job_id), progress_sequence=1, statistics=faulty
    )
    gate.report("east", progress=progress)
    gate.finish("east", job_id, requests=7)
    assert (await gate.ended(job_id)).metrics["http_reqs"].values["count"] == 7


async def test_a_final_result_that_cannot_be_used_fails_the_part_with_the_last_totals(gate: GateInMemory) -> None:
    faulty = measured(9)
    faulty[0].steps[0].duration_ms.min = float("nan")
    for fields, reason in (({"statistics": faulty}, "faulty statistics"), ({"status": RUNNING}, "no terminal status")):
        job_id = await dispatched(gate, submission("east"))
        gate.progress("east", job_id, 1, 4)
        final = job_pb2.JobFinalResult(job_id=job_id, datacenter="east", fence_token=gate.fence(job_id))
        final.status = COMPLETED
        final.MergeFrom(job_pb2.JobFinalResult(**fields))
        gate.report("east", final_result=final)
        result = await gate.ended(job_id)
        assert result.status == FAILED
        assert reason in result.errors[0]
        assert requests_of(list(result.statistics)) == 4


async def test_windows_are_merged_over_datacenters_for_watchers(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission())
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    second = int(time.time())
    for name, requests in (("east", 10), ("west", 30)):
        gate.progress(name, job_id, 1, requests, started_at=timestamp(second))
        push = progress_pb2.WindowedStatsPush(
            job_id=job_id, datacenter=name, window_start=timestamp(second), statistics=measured(requests)
        )
        for _ in range(2):
            gate.report(name, window=push)
    async with asyncio.timeout(30):
        async for event in run.events.watch(0, run.snapshot):
            if event.HasField("window"):
                break
    assert event.window.window_start.seconds == second
    assert event.window.metrics["http_reqs"].values["count"] == 40
    assert event.window.totals["http_reqs"].values["count"] == 40
    parts = {part.datacenter: part.metrics["http_reqs"].values["count"] for part in event.window.datacenters}
    assert parts == {"east": 10, "west": 30}


async def test_a_failed_datacenter_stops_the_others_and_what_was_counted_is_kept(gate: GateInMemory) -> None:
    reporting_cancelled(gate, requests=30)
    job_id = await dispatched(gate, submission())
    gate.finish("east", job_id, FAILED, requests=20, errors=["worker w1 is gone"])
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert "east: worker w1 is gone" in list(result.errors)
    assert {name: part.status for name, part in by_datacenter(result).items()} == {"east": FAILED, "west": CANCELLED}
    assert requests_of(list(result.statistics)) == 50
    assert [address for address, _ in gate.datacenters.cancels] == ["west:1"]


async def test_a_lost_datacenter_keeps_its_last_totals(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west", manager_loss_grace_seconds=1)
    reporting_cancelled(gate, requests=5)
    job_id = await dispatched(gate, submission())
    gate.progress("east", job_id, 1, 40)
    gate.streams["east"].close()
    gate.keep_alive("west")
    result = await gate.ended(job_id)
    east = by_datacenter(result)["east"]
    assert (result.status, east.status) == (FAILED, FAILED)
    assert "no manager" in east.errors[0]
    assert requests_of(list(east.statistics)) == 40
    assert requests_of(list(result.statistics)) == 45


async def test_a_cancelled_job_never_completes_and_keeps_what_was_counted(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission())
    assert await cancel(gate, job_id) == CANCELLING
    assert await cancel(gate, job_id) == CANCELLING
    record = await gate.node.jobs.store.get(job_id)
    assert record is not None
    assert (record.status, record.cancel_reason) == (CANCELLING, "enough")
    gate.finish("east", job_id, COMPLETED, requests=10)
    gate.finish("west", job_id, CANCELLED, requests=5)
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (CANCELLED, job_pb2.VERDICT_FAILED)
    assert requests_of(list(result.statistics)) == 15
    assert await cancel(gate, job_id) == CANCELLED


async def test_a_cancellation_reaches_a_datacenter_as_soon_as_it_answers(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission("east"))
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    assert await cancel(gate, job_id) == CANCELLING
    await asyncio.sleep(0.05)
    del gate.datacenters.answers["east:1"]
    await until(lambda: gate.datacenters.cancels)
    _, request = gate.datacenters.cancels[0]
    assert (request.job_id, request.reason, request.fence_token) == (job_id, "enough", gate.fence(job_id))


async def test_a_datacenter_that_knows_a_later_owner_is_told_no_more(gate: GateInMemory) -> None:
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.STALE_FENCE, token="1", current_token="2")
    notice = CancelNotice("job", "east", 1, "it has ended")
    assert await asyncio.wait_for(gate.node.jobs.courier.tell(notice), 10) is None
    assert gate.node.jobs.courier.pending_count == 0


async def test_a_job_cancelled_before_its_datacenter_took_it_over_ends_cancelled(gate: GateInMemory) -> None:
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    gate.datacenters.on_cancel = lambda _address, _request: CANCELLED
    job_id = await gate.submit(submission("east"))
    await cancel(gate, job_id)
    del gate.datacenters.answers["east:1"]
    result = await gate.ended(job_id)
    assert result.status == CANCELLED
    assert not gate.datacenters.dispatches


async def test_a_failed_datacenter_weighs_more_than_a_cancellation(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission())
    await cancel(gate, job_id)
    gate.finish("east", job_id, FAILED, errors=["engine gone"])
    gate.finish("west", job_id, CANCELLED)
    assert (await gate.ended(job_id)).status == FAILED


async def test_a_job_over_its_timeout_is_stopped_and_says_so(gate: GateInMemory) -> None:
    reporting_cancelled(gate, requests=3)
    job_id = await dispatched(gate, submission(timeout_seconds=0.2))
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (TIMEOUT, job_pb2.VERDICT_FAILED)
    assert "timeout of 0.2 s" in result.errors[0]
    assert requests_of(list(result.statistics)) == 6


async def test_a_datacenter_that_never_confirms_its_stop_is_recorded_as_failed(start_gate: StartGate) -> None:
    gate = await start_gate("east", stop_grace_seconds=0.1)
    job = submission("east")
    job.workflows[0].graceful_stop.FromSeconds(0)
    job_id = await dispatched(gate, job)
    await cancel(gate, job_id)
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert "has not ended within" in result.errors[-1]


async def test_dispatch_follows_the_hint_to_the_leader(gate: GateInMemory) -> None:
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.NOT_LEADER, **{LEADER_KEY: "leader:7"})
    job_id = await gate.submit(submission("east"))
    await until(lambda: ("leader:7", job_id) in gate.datacenters.dispatches)


async def test_a_datacenter_out_of_reach_fails_with_the_reason_and_is_told_on_contact(start_gate: StartGate) -> None:
    gate = await start_gate("east", dispatch_deadline_seconds=0.2, circuit_half_open_after_seconds=0.5)
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    job_id = await gate.submit(submission("east"))
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert "has not taken the job over within 0.2 s" in result.errors[0]
    del gate.datacenters.answers["east:1"]
    await until(lambda: [request.job_id for _, request in gate.datacenters.cancels] == [job_id])


async def test_a_datacenter_that_refuses_the_job_fails_it_at_once(gate: GateInMemory) -> None:
    gate.datacenters.answers["east:1"] = HyperscaleError(ErrorReason.INVALID_ARGUMENT, "no such thing")
    result = await gate.ended(await gate.submit(submission("east")))
    assert result.status == FAILED
    assert "no such thing" in result.errors[0]


async def test_a_defect_on_the_way_ends_the_job_with_a_reason(gate: GateInMemory) -> None:
    gate.datacenters.answers["east:1"] = RuntimeError("a defect")
    job_id = await gate.submit(submission())
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert "could not go on" in result.errors[0]
    await until(lambda: gate.node.jobs.state.find(job_id) is None)


async def test_lists_show_how_jobs_stand_now(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission("east"))

    async def shows(status: job_pb2.JobStatus.ValueType) -> bool:
        page = await gate.node.listing.page(gate_service_pb2.ListJobsRequest())
        return [job.status for job in page.jobs] == [status]

    await until_answer(lambda: shows(QUEUED))
    gate.progress("east", job_id, 1, 1)
    await until_answer(lambda: shows(RUNNING))
    await cancel(gate, job_id)
    assert await shows(CANCELLING)
    gate.finish("east", job_id, CANCELLED)
    await gate.ended(job_id)
    assert await shows(CANCELLED)


async def test_an_owner_that_lost_its_lease_stops_acting(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission("east"))
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    await gate.node.jobs.leases.release(run.lease)
    run.renewed(replace(run.lease, token=run.lease.token - 1))
    await gate.node.jobs.leases.renew([run])
    await until(lambda: gate.node.jobs.state.find(job_id) is None)
    with pytest.raises(HyperscaleError) as caught:
        await anext(run.events.watch(0, run.snapshot))
    assert caught.value.reason is ErrorReason.NOT_READY
    record = await gate.node.jobs.store.get(job_id)
    assert record is not None
    assert not record.HasField("result")


@pytest.mark.requirement("CLIENT.3")
async def test_workflows_are_asked_of_every_datacenter_and_errors_stay_with_theirs(gate: GateInMemory) -> None:
    job_id = await dispatched(gate, submission())
    gate.datacenters.answers["west:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    request = gate_service_pb2.WorkflowQueryRequest(job_id=job_id)
    east, west = (await gate.node.queries.query(request)).datacenters
    assert ([workflow.job_id for workflow in east.workflows], east.error) == ([job_id], "")
    assert (list(west.workflows), bool(west.error)) == ([], True)


async def test_workflows_of_an_unknown_job_are_not_found(gate: GateInMemory) -> None:
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.queries.query(gate_service_pb2.WorkflowQueryRequest(job_id="nobody\n"))
    assert caught.value.reason is ErrorReason.JOB_NOT_FOUND
