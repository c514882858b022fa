"""Background work is named, counted, logged on failure, restarted within bounds and ended at stop."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.supervisor import RestartPolicy, Supervisor
from tests.unit.runtime.conftest import Logs


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("broken")


@pytest.mark.requirement("AD-2.1")
async def test_running_work_is_named_and_counted(supervisor: Supervisor) -> None:
    tasks = [supervisor.start(forever(), name="loop"), supervisor.start(forever, name="loop")]
    other = supervisor.start(forever(), name="other")
    assert supervisor.running == {"loop": 2, "other": 1}
    assert other.get_name() == "test.other"
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    assert supervisor.running == {"loop": 1, "other": 1}


@pytest.mark.requirement("AD-2.1")
async def test_a_failure_is_logged_with_its_traceback_and_counted(supervisor: Supervisor, logs: Logs) -> None:
    task = supervisor.start(fail(), name="loop")
    await asyncio.wait({task})
    (line,) = logs.lines
    assert (line["event"], line["task"], line["supervisor"]) == ("task failed", "loop", "test")
    assert isinstance(line["exc_info"], ValueError)
    assert supervisor.failures == {"loop": 1}
    assert supervisor.running == {}


async def test_the_caller_may_await_the_result_or_the_failure(supervisor: Supervisor) -> None:
    async def answer() -> int:
        return 42

    assert await supervisor.start(answer(), name="answer") == 42
    with pytest.raises(ValueError, match="broken"):
        await supervisor.start(fail(), name="fail")


@pytest.mark.requirement("AD-2.1")
async def test_stop_cancels_everything_and_waits_for_it(logs: Logs) -> None:
    supervisor = Supervisor("test", logs.logger)
    cleaned: list[str] = []

    async def careful() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    started = [supervisor.start(careful(), name="careful") for _ in range(3)]
    await asyncio.sleep(0)
    await supervisor.stop(timeout_seconds=5)
    assert cleaned == ["up"] * 3
    assert all(task.cancelled() for task in started)
    assert supervisor.running == {}
    assert logs.lines == []


async def test_stop_does_not_wait_longer_than_it_was_told(logs: Logs) -> None:
    supervisor = Supervisor("test", logs.logger)
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    task = supervisor.start(stubborn(), name="stubborn")
    await asyncio.sleep(0)
    await supervisor.stop(timeout_seconds=0.01)
    assert [line["tasks"] for line in logs.lines] == [["stubborn"]]
    released.set()
    await task


async def test_a_task_may_stop_its_own_supervisor(logs: Logs) -> None:
    supervisor = Supervisor("test", logs.logger)
    _ = supervisor.start(forever(), name="other")
    await supervisor.start(supervisor.stop(timeout_seconds=5), name="stopper")
    assert supervisor.running == {}


async def test_nothing_starts_after_stop(logs: Logs) -> None:
    supervisor = Supervisor("test", logs.logger)
    await supervisor.stop(timeout_seconds=1)
    with pytest.raises(HyperscaleError) as refused:
        _ = supervisor.start(forever(), name="late")
    assert refused.value.reason is ErrorReason.DRAINING


async def test_failed_work_is_restarted_until_it_succeeds(supervisor: Supervisor, logs: Logs) -> None:
    attempts: list[int] = []

    async def flaky() -> str:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            await fail()
        return "done"

    with patch("random.uniform", return_value=0.0):
        task = supervisor.start(flaky, name="flaky", restart=RestartPolicy.ON_FAILURE)
        assert await task == "done"
    assert supervisor.failures == {"flaky": 2}
    assert [line["context"] for line in logs.lines] == ["flaky", "flaky"]


async def test_work_that_keeps_failing_is_given_up_with_growing_delays(supervisor: Supervisor) -> None:
    bounds: list[float] = []

    def no_delay(low: float, high: float) -> float:
        bounds.append(high)
        return low

    with patch("random.uniform", no_delay):
        task = supervisor.start(fail, name="hopeless", restart=RestartPolicy.ON_FAILURE)
        with pytest.raises(ValueError, match="broken"):
            await task
    assert await supervisor.wait_abandoned() == "hopeless"
    assert supervisor.failures == {"hopeless": 9}
    assert bounds == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0]


async def test_a_coroutine_cannot_be_restarted(supervisor: Supervisor) -> None:
    with pytest.raises(TypeError, match="function"):
        _ = supervisor.start(forever(), name="loop", restart=RestartPolicy.ON_FAILURE)


async def test_handled_errors_are_logged_and_counted(supervisor: Supervisor, logs: Logs) -> None:
    error = OSError("no route")
    supervisor.report(error, "probe", peer="10.0.0.1")
    assert supervisor.failures == {"probe": 1}
    (line,) = logs.lines
    assert (line["level"], line["context"], line["peer"], line["exc_info"]) == ("warning", "probe", "10.0.0.1", error)


@pytest.mark.requirement("AD-2.1")
async def test_work_is_seen_through_though_its_caller_goes_away(supervisor: Supervisor) -> None:
    gate, finished = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        finished.set()

    caller = asyncio.create_task(supervisor.see_through(work(), name="acceptance"))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    gate.set()
    async with asyncio.timeout(30):
        await finished.wait()


async def test_the_caller_gets_the_outcome_of_what_is_seen_through(supervisor: Supervisor, logs: Logs) -> None:
    async def answer() -> int:
        return 7

    async def refuse() -> int:
        raise HyperscaleError(ErrorReason.NOT_READY)

    assert await supervisor.see_through(answer(), name="work") == 7
    with pytest.raises(HyperscaleError):
        await supervisor.see_through(refuse(), name="work")
    assert logs.lines == []
    with pytest.raises(ValueError, match="broken"):
        await supervisor.see_through(fail(), name="work")


async def test_nobody_waits_for_what_a_stop_has_ended(supervisor: Supervisor) -> None:
    caller = asyncio.create_task(supervisor.see_through(forever(), name="work"))
    await asyncio.sleep(0)
    await supervisor.stop(1)
    await asyncio.wait({caller}, timeout=30)
    assert caller.cancelled()
