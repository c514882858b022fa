"""What watchers of a job see."""

import asyncio

import pytest

from hyperscale.gate.events import EventHistory, JobEventLog, stored_events
from hyperscale.gate.models.orders import EventBounds
from hyperscale.runtime.clock import SystemClock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import gate_service_pb2, job_pb2


def make_log(capacity: int = 200) -> JobEventLog:
    return JobEventLog("job", EventBounds(capacity, 1_000_000), SystemClock())


def push(log: JobEventLog, count: int) -> None:
    for _ in range(count):
        log.append_status(gate_service_pb2.JobStatusPush(status=job_pb2.JOB_STATUS_RUNNING))


def end(log: JobEventLog) -> None:
    log.append_result(job_pb2.GlobalJobResult(status=job_pb2.JOB_STATUS_COMPLETED))


def snapshot() -> job_pb2.GlobalJobStatus:
    return job_pb2.GlobalJobStatus(job_id="job", status=job_pb2.JOB_STATUS_RUNNING)


async def seen(log: JobEventLog, after_sequence: int = 0) -> list[tuple[int, str | None]]:
    return [(event.sequence, event.WhichOneof("event")) async for event in log.watch(after_sequence, snapshot)]


async def test_events_come_in_order_and_the_result_is_the_last() -> None:
    log = make_log()
    push(log, 2)
    end(log)
    assert await seen(log) == [(1, "status"), (2, "status"), (3, "result")]


async def test_a_watch_resumes_after_a_sequence_without_a_gap() -> None:
    log = make_log()
    push(log, 5)
    end(log)
    assert await seen(log, 3) == [(4, "status"), (5, "status"), (6, "result")]


async def test_events_that_are_gone_are_replaced_by_a_snapshot() -> None:
    log = make_log(capacity=200)
    push(log, 500)
    watch = log.watch(0, snapshot)
    first = await anext(watch)
    assert (first.sequence, first.WhichOneof("event")) == (500, "snapshot")
    end(log)
    assert (await anext(watch)).sequence == 501
    kept = [event async for event in log.watch(301, snapshot)]
    assert [event.sequence for event in kept] == list(range(302, 502))


def test_history_is_bounded_by_size_as_well_and_keeps_the_newest() -> None:
    history = EventHistory(EventBounds(count=200, size_bytes=10_000))
    for sequence in range(1, 1001):
        history.append(gate_service_pb2.JobEvent(sequence=sequence, job_id="x" * 990))
        assert history.size_bytes <= 10_000
    assert (len(history), history.at(-1).sequence, history.at(0).sequence) == (10, 1000, 991)
    history.append(gate_service_pb2.JobEvent(sequence=1001, job_id="x" * 20_000))
    assert (len(history), history.at(-1).sequence) == (1, 1001)
    history.append(gate_service_pb2.JobEvent(sequence=1002))
    assert (len(history), history.size_bytes < 10) == (1, True)


async def test_a_slow_watcher_gets_a_snapshot_and_goes_on_from_there() -> None:
    log = make_log(capacity=10)
    push(log, 1)
    watch = log.watch(0, snapshot)
    assert (await anext(watch)).sequence == 1
    push(log, 50)
    resynchronised = await anext(watch)
    assert (resynchronised.sequence, resynchronised.WhichOneof("event")) == (51, "snapshot")
    push(log, 1)
    assert (await anext(watch)).sequence == 52


async def test_a_slow_watcher_of_an_ended_job_gets_a_snapshot_then_the_result() -> None:
    log = make_log(capacity=3)
    push(log, 20)
    end(log)
    assert await seen(log, 2) == [(20, "snapshot"), (21, "result")]


async def test_a_waiting_watcher_is_woken() -> None:
    log = make_log()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(seen(log))
        await asyncio.sleep(0)
        push(log, 1)
        end(log)
    assert watching.result() == [(1, "status"), (2, "result")]


async def test_a_closed_log_sends_watchers_away_with_its_error() -> None:
    log = make_log()
    push(log, 1)
    watch = log.watch(1, snapshot)
    log.close(HyperscaleError(ErrorReason.DRAINING))
    with pytest.raises(HyperscaleError) as caught:
        await anext(watch)
    assert caught.value.reason is ErrorReason.DRAINING


async def test_who_has_seen_the_result_gets_it_again() -> None:
    log = make_log()
    end(log)
    assert await seen(log, 1) == [(1, "result")]


@pytest.mark.parametrize(
    ("after_sequence", "expected"),
    [
        (0, [(8, "snapshot"), (9, "result")]),
        (7, [(8, "snapshot"), (9, "result")]),
        (8, [(9, "result")]),
        (9, [(10, "result")]),
        (40, [(41, "result")]),
    ],
)
def test_an_ended_job_is_watched_from_the_store(after_sequence: int, expected: list[tuple[int, str]]) -> None:
    status = job_pb2.GlobalJobStatus(job_id="job", status=job_pb2.JOB_STATUS_FAILED)
    events = stored_events(status, 9, after_sequence)
    assert [(event.sequence, event.WhichOneof("event")) for event in events] == expected
