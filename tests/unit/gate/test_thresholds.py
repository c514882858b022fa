"""Thresholds of a job at its gate: live, at the end, and when one of them stops the job."""

import time

import pytest

from hyperscale.gate.models.orders import CallOrigin
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import dispatch_pb2, job_pb2, progress_pb2, statistics_pb2
from hyperscale.workload.timestamps import duration, timestamp
from tests.support.waiting import until, until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, measured, submission

CANCELLED, FAILED = job_pb2.JOB_STATUS_CANCELLED, job_pb2.JOB_STATUS_FAILED
COMPLETED = job_pb2.JOB_STATUS_COMPLETED


def threshold(metric: str, expression: str, delay_seconds: int = -1) -> job_pb2.Threshold:
    """A threshold that stops the job when it has a delay."""
    made = job_pb2.Threshold(metric=metric, expression=expression, abort_on_fail=delay_seconds >= 0)
    if delay_seconds > 0:
        made.abort_delay.FromSeconds(delay_seconds)
    return made


async def running(gate: GateInMemory, *thresholds: job_pb2.Threshold) -> str:
    job_id = await gate.submit(submission("east", "west", thresholds=thresholds))
    await gate.dispatched(job_id, "east", "west")
    return job_id


def stopping(gate: GateInMemory, requests: int) -> None:
    """Datacenters end a job as soon as they are told to, with so many requests counted by then."""

    def on_cancel(address: str, request: dispatch_pb2.JobCancelRequest) -> job_pb2.JobStatus.ValueType:
        gate.finish(address.partition(":")[0], request.job_id, CANCELLED, requests)
        return job_pb2.JOB_STATUS_CANCELLING

    gate.datacenters.on_cancel = on_cancel


async def test_a_threshold_with_abort_on_fail_stops_every_datacenter_and_names_itself(gate: GateInMemory) -> None:
    stopping(gate, requests=30)
    job_id = await running(gate, threshold("http_req_duration", "max < 1ms", 0), threshold("http_reqs", "count > 1"))
    gate.progress("east", job_id, 1, 20)
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (FAILED, job_pb2.VERDICT_FAILED)
    assert result.errors[0] == "threshold http_req_duration: max < 1ms was not met (observed 10ms)"
    assert {address for address, _ in gate.datacenters.cancels} == {"east:1", "west:1"}
    assert all("http_req_duration" in request.reason for _, request in gate.datacenters.cancels)
    assert result.metrics["http_reqs"].values["count"] == 60
    assert [outcome.passed for outcome in result.thresholds] == [False, True]


async def test_the_delay_counts_from_the_first_load(gate: GateInMemory) -> None:
    stopping(gate, requests=10)
    job_id = await running(gate, threshold("http_req_duration", "max < 1ms", 60))
    gate.progress("east", job_id, 1, 10, elapsed=duration(50))
    window = progress_pb2.WindowedStatsPush(
        job_id=job_id, datacenter="east", window_start=timestamp(int(time.time()) - 2), statistics=measured(10)
    )
    gate.report("east", window=window)
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    await until(lambda: run.events.last_sequence > 3)
    assert run.stop is None
    gate.progress("west", job_id, 1, 10, elapsed=duration(61))
    assert (await gate.ended(job_id)).status == FAILED


async def test_a_metric_without_a_sample_stops_nothing_and_does_not_hold(gate: GateInMemory) -> None:
    job_id = await running(gate, threshold("http_req_duration{step:home,datacenter:west}", "p(95) < 1ms", 0))
    gate.progress("east", job_id, 1, 100)
    gate.finish("east", job_id, requests=100)
    gate.finish("west", job_id, requests=0)
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (COMPLETED, job_pb2.VERDICT_FAILED)
    (outcome,) = result.thresholds
    assert (outcome.passed, outcome.HasField("observed")) == (False, False)


async def test_one_datacenter_can_miss_what_all_together_meet(gate: GateInMemory) -> None:
    rules = (
        threshold("http_reqs", "count >= 300"),
        threshold("http_reqs{datacenter:west}", "count >= 200"),
        threshold("http_reqs{datacenter:east,workflow:shop,step:home}", "count >= 200"),
    )
    job_id = await running(gate, *rules)
    gate.finish("east", job_id, requests=100)
    gate.finish("west", job_id, requests=200)
    result = await gate.ended(job_id)
    assert result.verdict == job_pb2.VERDICT_FAILED
    assert [(outcome.observed, outcome.passed) for outcome in result.thresholds] == [
        (300, True),
        (200, True),
        (100, False),
    ]
    (step,) = result.steps
    assert (step.workflow_name, step.step_name, step.metrics["http_reqs"].values["count"]) == ("shop", "home", 300)


async def test_what_is_measured_while_stopping_acquits_nobody(gate: GateInMemory) -> None:
    stopping(gate, requests=500)
    job_id = await running(gate, threshold("http_reqs", "count >= 1000", 0))
    gate.progress("east", job_id, 1, 10)
    result = await gate.ended(job_id)
    (outcome,) = result.thresholds
    assert (result.status, outcome.observed, outcome.passed) == (FAILED, 1000, False)


async def test_a_job_that_is_done_is_not_stopped_any_more(gate: GateInMemory) -> None:
    job_id = await running(gate, threshold("http_reqs{datacenter:east}", "count < 1", 0))
    gate.finish("east", job_id, requests=5)
    gate.finish("west", job_id, requests=5)
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (COMPLETED, job_pb2.VERDICT_FAILED)
    assert not gate.datacenters.cancels


async def test_a_cancellation_after_the_threshold_leaves_the_reason(gate: GateInMemory) -> None:
    job_id = await running(gate, threshold("http_reqs", "count < 1", 0))
    gate.progress("east", job_id, 1, 10)
    await until(lambda: gate.datacenters.cancels)
    await gate.node.desk.cancel(dispatch_pb2.JobCancelRequest(job_id=job_id, reason="enough"), CallOrigin.CLIENT)
    for datacenter in ("east", "west"):
        gate.finish(datacenter, job_id, CANCELLED, 10)
    result = await gate.ended(job_id)
    assert result.status == FAILED
    assert result.errors[0].startswith("threshold http_reqs: count < 1")


async def test_thresholds_of_a_cancelled_job_are_judged_and_the_verdict_is_failed(gate: GateInMemory) -> None:
    stopping(gate, requests=10)
    job_id = await running(gate, threshold("http_reqs", "count >= 20"), threshold("http_reqs", "count > 20"))
    await gate.node.desk.cancel(dispatch_pb2.JobCancelRequest(job_id=job_id), CallOrigin.CLIENT)
    result = await gate.ended(job_id)
    assert (result.status, result.verdict) == (CANCELLED, job_pb2.VERDICT_FAILED)
    assert [outcome.passed for outcome in result.thresholds] == [True, False]


async def test_watchers_see_how_thresholds_stand(gate: GateInMemory) -> None:
    rules = threshold("http_reqs", "count >= 15"), threshold("http_reqs{datacenter:west}", "count >= 15")
    job_id = await running(gate, *rules)
    second = int(time.time()) - 1
    for datacenter in ("east", "west"):
        gate.progress(datacenter, job_id, 1, 10, started_at=timestamp(second))
        window = progress_pb2.WindowedStatsPush(
            job_id=job_id, datacenter=datacenter, window_start=timestamp(second), statistics=measured(10)
        )
        gate.report(datacenter, window=window)
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    async for event in run.events.watch(0, run.snapshot):
        if event.HasField("window"):
            break
    assert [(outcome.observed, outcome.passed) for outcome in event.window.thresholds] == [(20, True), (10, False)]


async def test_a_threshold_on_a_datacenter_that_does_not_run_the_job_is_refused(gate: GateInMemory) -> None:
    rules = threshold("http_reqs{datacenter:east}", "count > 1"), threshold("http_reqs{datacenter:moon}", "count > 1")
    with pytest.raises(HyperscaleError) as refusal:
        await gate.submit(submission(thresholds=rules))
    assert refusal.value.reason is ErrorReason.INVALID_ARGUMENT
    assert [fault.path for fault in refusal.value.violations] == ["thresholds[1].metric"]


async def test_a_job_whose_measurements_are_lost_meets_no_threshold(start_gate: StartGate) -> None:
    gate = await start_gate("east", "west")
    job_id = await running(gate, threshold("http_reqs", "count < 1"))
    await gate.supervisor.stop(5)
    again = await start_gate("east", "west")
    result = await until_answer(lambda: again.ended(job_id))
    (outcome,) = result.thresholds
    assert (result.verdict, outcome.passed, outcome.HasField("observed")) == (job_pb2.VERDICT_FAILED, False, False)


async def test_metrics_that_contradict_one_another_are_dropped_and_the_job_lives(gate: GateInMemory) -> None:
    job_id = await running(gate)
    faulty = measured(5)
    for totals in ({"counter": 1}, {"rate": statistics_pb2.RateTotals(matching=1, total=1)}):
        faulty[0].custom_metrics.append(statistics_pb2.MetricTotals(name="orders", **totals))
    gate.progress("east", job_id, 1, 0, statistics=faulty)
    gate.finish("east", job_id, requests=7)
    gate.finish("west", job_id, requests=0)
    assert (await gate.ended(job_id)).metrics["http_reqs"].values["count"] == 7
