"""A watch shows each event once and in order, whatever happens to gates and streams."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import AsyncIterator

import grpc
import pytest

from hyperscale.client import CallRefusedError, Client, ClientSettings, GateUnreachableError
from hyperscale.v1.gate_service_pb2 import JobEvent
from hyperscale.v1.job_pb2 import GlobalJobStatus
from tests.integration.client.scripted_gate import (
    JOB_ID,
    Script,
    ScriptedError,
    result_event,
    serving,
    status_event,
    window_event,
)

FAST = ClientSettings(
    watch_patience_seconds=1.0,
    watch_idle_seconds=0.3,
    reach_timeout_seconds=1.5,
    connect_timeout_seconds=1.5,
    backoff_initial_seconds=0.01,
    backoff_max_seconds=0.05,
)


def a_run() -> list[JobEvent]:
    return [status_event(1), *(window_event(number) for number in range(2, 8)), result_event(8)]


async def sequences(events: AsyncIterator[JobEvent]) -> list[int]:
    return [event.sequence async for event in events]


async def test_watch_ends_with_the_result() -> None:
    async with serving(Script(events=a_run())) as address, Client([address], FAST) as client:
        assert await sequences(client.watch(JOB_ID)) == list(range(1, 9))


async def test_watch_goes_on_after_a_sequence() -> None:
    async with serving(Script(events=a_run())) as address, Client([address], FAST) as client:
        assert await sequences(client.watch(JOB_ID, after_sequence=5)) == [6, 7, 8]


async def test_watch_resumes_on_other_gates_without_gap_or_repeat() -> None:
    one = Script(events=a_run(), break_after=deque([3, 0]))
    other = Script(events=a_run(), break_after=deque([2]))
    async with serving(one) as first, serving(other) as second, Client([first, second], FAST) as client:
        assert await sequences(client.watch(JOB_ID)) == list(range(1, 9))
    assert one.watches[0] == 0
    assert other.watches[0] == 3


async def test_events_seen_before_are_dropped() -> None:
    events = [status_event(1), window_event(2), window_event(2), status_event(1), window_event(3), result_event(4)]
    async with serving(Script(events=events)) as address, Client([address], FAST) as client:
        assert await sequences(client.watch(JOB_ID)) == [1, 2, 3, 4]


async def test_gap_in_a_stream_reopens_it() -> None:
    complete = a_run()
    forgetful = Script(events=[complete[0], *complete[2:]])
    async with (
        serving(forgetful) as first,
        serving(Script(events=complete)) as second,
        Client([first, second], FAST) as client,
    ):
        assert await sequences(client.watch(JOB_ID)) == list(range(1, 9))


async def test_snapshot_stands_for_events_that_are_gone() -> None:
    snapshot = JobEvent(job_id=JOB_ID, sequence=40, snapshot=GlobalJobStatus(job_id=JOB_ID))
    script = Script(events=[snapshot, window_event(41), result_event(42)])
    async with serving(script) as address, Client([address], FAST) as client:
        assert await sequences(client.watch(JOB_ID, after_sequence=7)) == [40, 41, 42]


async def test_result_of_a_gate_that_forgot_the_sequence_still_ends_the_watch() -> None:
    script = Script(events=[result_event(1)])
    lost = Script(events=a_run()[:6], break_after=deque([6]))
    async with serving(lost) as first, Client([first], FAST) as client:
        watch = client.watch(JOB_ID)
        seen = [(await anext(watch)).sequence for _ in range(6)]
        lost.events = [JobEvent(job_id=JOB_ID, sequence=7, result=script.events[0].result)]
        seen += [event.sequence async for event in watch]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_stream_that_ends_without_result_is_reopened() -> None:
    script = Script(events=a_run()[:4])
    async with serving(script) as address, Client([address], FAST) as client:
        watch = client.watch(JOB_ID)
        seen = [(await anext(watch)).sequence for _ in range(4)]
        script.events = a_run()
        seen += await sequences(watch)
    assert seen == list(range(1, 9))


async def test_unknown_job_is_refused_at_once() -> None:
    script = Script(errors=deque([ScriptedError(grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")]))
    async with serving(script) as address, Client([address], FAST) as client:
        with pytest.raises(CallRefusedError) as refusal:
            await anext(client.watch("nothing"))
    assert refusal.value.reason == "JOB_NOT_FOUND"
    assert len(script.watches) == 1


async def test_watch_gives_up_when_no_gate_comes_back() -> None:
    script = Script(events=a_run()[:2])
    started = time.monotonic()
    async with Client([await _closed_gate(script)], FAST) as client:
        with pytest.raises(GateUnreachableError):
            await sequences(client.watch(JOB_ID))
    assert time.monotonic() - started < 30


async def _closed_gate(script: Script) -> str:
    async with serving(script) as address:
        return address


async def test_mute_gate_does_not_hold_a_watch_up() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        silent = f"127.0.0.1:{mute.getsockname()[1]}"
        async with serving(Script(events=a_run())) as address, Client([silent, address], FAST) as client:
            assert await sequences(client.watch(JOB_ID)) == list(range(1, 9))
