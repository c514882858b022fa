"""The load that is asked is the load that is made: counted by the target, and by the engine in user-seconds."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from hyperscale.v1 import engine_pb2, progress_pb2, workflow_pb2
from hyperscale.workload.bundles import pack_bundle
from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.histogram import Histogram
from hyperscale.workload.jobfile import parse_job
from hyperscale.workload.profiles import ramp_schedule
from hyperscale.workload.shares import WHOLE
from tests.integration.engine.engine_process import Engine, Outcome, new_engine, running_engine
from tests.support.listening import listening
from tests.support.target import BundledTarget, bundled_target

SLOW = "/delay/20"
CODED_SLOW = """
from hyperscale.workload import Workflow, step


class Slow(Workflow):
    @step()
    async def s0(self) -> None:
        await self.http.get("/delay/20")
"""


@pytest.fixture(scope="module")
def target() -> Iterator[BundledTarget]:
    with bundled_target() as running:
        yield running


def workflow_of(load: str, *paths: str) -> workflow_pb2.Workflow:
    steps = ", ".join(f"{{name: s{index}, http: {{url: {path}}}}}" for index, path in enumerate(paths or (SLOW,)))
    return parse_job(
        f"target: http://h\nworkflows:\n- name: w\n  {load}\n  steps: [{steps}]", DocumentFormat.YAML
    ).workflows[0]


@pytest.fixture(params=["callbacks", "coroutines"])
def start_of(
    request: pytest.FixtureRequest, target: BundledTarget, tmp_path: Path
) -> Callable[[str], engine_pb2.EngineStart]:
    """A start of a slow step under a load, with users of either kind."""

    def of(load: str) -> engine_pb2.EngineStart:
        start = engine_pb2.EngineStart(run_id=1, workflow=workflow_of(load), target=target.url)
        if request.param == "coroutines":
            source = tmp_path / "job.py"
            source.write_text(CODED_SLOW)
            start.workflow.class_name = "Slow"
            start.bundle.CopyFrom(pack_bundle(source))
        return start

    return of


def user_seconds(outcome: Outcome) -> float:
    """Time that users have spent in iterations."""
    return outcome.last.totals.iteration_duration_ms.sum / 1000


def lag_ms(outcome: Outcome) -> Histogram:
    return Histogram.from_proto(outcome.last.totals.engine_lag_ms)


async def run(workflow: workflow_pb2.Workflow, target: BundledTarget) -> Outcome:
    """A whole run, of which the target has seen every request."""
    before = target.requests()
    async with running_engine() as engine:
        outcome = await engine.run(workflow, target.url)
    assert outcome.last.status == progress_pb2.SHARD_STATUS_COMPLETED
    assert outcome.failures == {}
    assert target.requests() - before == outcome.total + outcome.last.totals.warm_up_requests
    return outcome


@pytest.mark.requirement("WORK.2")
class TestAskedLoad:
    async def test_constant_users(self, target: BundledTarget) -> None:
        outcome = await run(workflow_of("constant_vus: {vus: 50, duration: 3s}"), target)
        assert user_seconds(outcome) == pytest.approx(150, rel=0.02)
        assert outcome.last.totals.vus_max == 50

    async def test_shared_iterations(self, target: BundledTarget) -> None:
        outcome = await run(workflow_of("shared_iterations: {vus: 17, iterations: 1003}"), target)
        assert outcome.last.totals.iterations == outcome.total == 1003

    async def test_iterations_of_each_user(self, target: BundledTarget) -> None:
        outcome = await run(workflow_of("per_vu_iterations: {vus: 17, iterations: 31}"), target)
        assert outcome.last.totals.iterations == outcome.total == 17 * 31
        assert outcome.last.totals.vus_max == 17

    async def test_ramping_users(self, target: BundledTarget) -> None:
        workflow = workflow_of("ramping_vus: {stages: [{duration: 2s, target: 100}, {duration: 2s, target: 0}]}")
        outcome = await run(workflow, target)
        changes = list(ramp_schedule(workflow.ramping_vus).changes_in(WHOLE))
        present, asked_seconds = 0, 0.0
        for change, following in pairwise(changes):
            present += 1 if change.comes else -1
            asked_seconds += present * (following.at_ns - change.at_ns) / 1e9
        assert asked_seconds == pytest.approx(200, rel=0.02)
        assert user_seconds(outcome) == pytest.approx(asked_seconds, rel=0.02)
        assert 98 <= outcome.last.totals.vus_max <= 100

    async def test_a_constant_rate_starts_exactly_as_many(self, target: BundledTarget) -> None:
        load = "constant_arrival_rate: {rate: 333, duration: 3s, pre_allocated_vus: 50, max_vus: 500}"
        outcome = await run(workflow_of(load), target)
        assert outcome.last.totals.dropped_iterations == 0
        assert outcome.last.totals.iterations == outcome.total == 999

    async def test_a_ramping_rate_starts_exactly_its_integral(self, target: BundledTarget) -> None:
        stages = "stages: [{duration: 1500ms, target: 300}, {duration: 1s, target: 300}, {duration: 500ms, target: 0}]"
        load = f"ramping_arrival_rate: {{start_rate: 10, {stages}, pre_allocated_vus: 50, max_vus: 500}}"
        outcome = await run(workflow_of(load), target)
        assert outcome.last.totals.dropped_iterations == 0
        assert outcome.last.totals.iterations == outcome.total == int(155 * 1.5 + 300 + 150 * 0.5)


async def test_starts_without_a_free_user_are_dropped(target: BundledTarget) -> None:
    load = "constant_arrival_rate: {rate: 100, duration: 2s, pre_allocated_vus: 3}"
    outcome = await run(workflow_of(load, "/delay/300"), target)
    totals = outcome.last.totals
    assert totals.iterations + totals.dropped_iterations == 200
    assert 3 * 5 <= totals.iterations <= 3 * 7
    assert totals.vus_max == 3


async def test_users_of_an_arrival_rate_are_added_when_all_are_busy(target: BundledTarget) -> None:
    load = "constant_arrival_rate: {rate: 50, duration: 2s, pre_allocated_vus: 1, max_vus: 60}"
    outcome = await run(workflow_of(load, "/delay/500"), target)
    assert (outcome.last.totals.iterations, outcome.last.totals.dropped_iterations) == (100, 0)
    assert 24 <= outcome.last.totals.vus_max <= 60


@pytest.mark.requirement("WORK.3")
@pytest.mark.requirement("WORK.8")
async def test_durations_count_from_when_iterations_were_due(target: BundledTarget) -> None:
    """The engine stands still for a second: nothing is left out, and everything late says so."""
    load = "constant_arrival_rate: {rate: 100, duration: 4s, pre_allocated_vus: 200}"
    async with new_engine() as engine:
        engine.start(workflow_of(load, "/", "/items/1"), target.url)
        await engine.next_report()
        engine.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.2)
        engine.process.send_signal(signal.SIGCONT)
        outcome = await engine.outcome()
    totals = outcome.last.totals
    assert (totals.iterations, totals.dropped_iterations) == (400, 0)
    first, second = (Histogram.from_proto(step.duration_ms) for step in totals.steps)
    # A hundred starts were due while it stood still: the first of them waited for all of the time, and half of them for
    # half of it. Only the first request of an iteration is late, but for those of iterations that were stopped half-way.
    assert first.max > 1000
    assert first.percentile(100 - 100 * 40 / 400) > 500
    assert Histogram.from_proto(totals.iteration_duration_ms).max >= first.max
    assert second.percentile(95) < 500
    assert lag_ms(outcome).max > 1000
    assert totals.saturation.saturated_seconds >= 1
    assert totals.saturation.seconds >= totals.saturation.saturated_seconds


@pytest.mark.requirement("WORK.8")
async def test_an_engine_that_does_nothing_is_not_at_its_limit(target: BundledTarget) -> None:
    outcome = await run(workflow_of("constant_vus: {vus: 2, duration: 3s}", "/delay/200"), target)
    assert outcome.last.totals.saturation.seconds >= 2
    assert outcome.last.totals.saturation.saturated_seconds <= 1
    assert lag_ms(outcome).count >= 30


@pytest.mark.requirement("WORK.3")
async def test_only_the_first_request_counts_from_when_its_iteration_was_due() -> None:
    """Also when every request needs a connection of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.5 if b"/slow" in head else 0.0)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    async with listening(answer) as port, running_engine() as engine:
        load = "constant_arrival_rate: {rate: 20, duration: 1s, pre_allocated_vus: 30}"
        outcome = await engine.run(workflow_of(load, "/slow", "/fast"), f"http://127.0.0.1:{port}")
    slow, fast = (Histogram.from_proto(step.duration_ms) for step in outcome.last.totals.steps)
    assert (slow.count, fast.count) == (20, 20)
    assert slow.min >= 1490
    assert fast.percentile(50) < 1400


async def test_warm_up_is_counted_apart(target: BundledTarget) -> None:
    workflow = workflow_of("constant_vus: {vus: 5, duration: 3s}\n  warm_up: 2s")
    before = time.time()
    outcome = await run(workflow, target)
    totals = outcome.last.totals
    assert totals.warm_up_requests > 0
    assert outcome.last.started_at.ToNanoseconds() / 1e9 >= before + 2
    assert 0.9 < outcome.elapsed_seconds < 2.9
    in_windows = sum(step.total_count for window in outcome.windows for step in window.stats.steps)
    assert in_windows == outcome.total
    assert outcome.progress[0].totals.steps[0].total_count in (0, *range(1, outcome.total))


async def test_think_time_of_the_workflow_is_not_part_of_the_iteration(target: BundledTarget) -> None:
    workflow = workflow_of("constant_vus: {vus: 10, duration: 2s}\n  think_time: {constant: 200ms}", "/")
    outcome = await run(workflow, target)
    assert 10 * 5 <= outcome.last.totals.iterations <= 10 * 10
    assert Histogram.from_proto(outcome.last.totals.iteration_duration_ms).percentile(50) < 100


async def test_think_time_of_a_step_is_part_of_the_iteration(target: BundledTarget) -> None:
    workflow = workflow_of("shared_iterations: {vus: 5, iterations: 20}", "/", "/items/1")
    workflow.steps[0].think_time.min.FromMilliseconds(100)
    workflow.steps[0].think_time.max.FromMilliseconds(150)
    outcome = await run(workflow, target)
    durations = Histogram.from_proto(outcome.last.totals.iteration_duration_ms)
    assert (outcome.last.totals.iterations, durations.min > 95) == (20, True)


async def test_nobody_waits_for_users_that_only_think(target: BundledTarget) -> None:
    workflow = workflow_of("constant_vus: {vus: 10, duration: 1s}\n  think_time: {constant: 1m}", "/")
    outcome = await run(workflow, target)
    assert (outcome.last.totals.iterations, outcome.elapsed_seconds < 30) == (10, True)


@pytest.mark.parametrize(
    ("load", "iterations", "seconds"),
    [
        ("per_vu_iterations: {vus: 3, iterations: 2}", 6, 1.5),
        # Who thinks while another one takes the last iteration has nothing to think of any more.
        ("shared_iterations: {vus: 3, iterations: 4}", 4, 1.5),
        ("shared_iterations: {vus: 3, iterations: 3}", 3, 0.0),
        # The iterations under way at the end are the last ones.
        ("constant_vus: {vus: 3, duration: 300ms}", 3, 0.3),
    ],
)
async def test_nobody_thinks_when_no_iteration_is_left(
    start_of: Callable[[str], engine_pb2.EngineStart], load: str, iterations: int, seconds: float
) -> None:
    async with running_engine() as engine:
        engine.send(engine_pb2.EngineCommand(start=start_of(f"{load}\n  think_time: {{constant: 1500ms}}")))
        outcome = await engine.outcome()
    assert outcome.last.totals.iterations == iterations
    assert seconds - 0.05 < outcome.elapsed_seconds < seconds + 1.4


async def test_nobody_thinks_when_the_arrivals_have_ended(target: BundledTarget) -> None:
    load = "constant_arrival_rate: {rate: 10, duration: 500ms, pre_allocated_vus: 10}\n  think_time: {constant: 1m}"
    outcome = await run(workflow_of(load, "/delay/300"), target)
    assert (outcome.last.totals.iterations, outcome.elapsed_seconds < 30) == (5, True)


async def test_engines_wait_for_the_instant(target: BundledTarget) -> None:
    async with running_engine() as engine:
        start_at = time.time() + 0.8
        send_start(engine, workflow_of("per_vu_iterations: {vus: 1, iterations: 1}", "/"), target, start_at)
        outcome = await engine.outcome()
    late_seconds = outcome.last.started_at.ToNanoseconds() / 1e9 - start_at
    # Timers of the loop are exact to a millisecond; how much later it gets its turn is up to the machine, and told.
    assert -0.002 < late_seconds < 10
    assert outcome.total == 1
    lag = Histogram.from_proto(outcome.last.totals.start_lag_ms)
    assert lag.count == 1
    assert lag.max == pytest.approx(max(late_seconds, 0) * 1000, abs=5)


@pytest.mark.parametrize("warm_up", ["0s", "300ms"])
async def test_an_engine_that_heard_of_its_start_too_late_says_by_how_much(target: BundledTarget, warm_up: str) -> None:
    workflow = workflow_of(f"constant_vus: {{vus: 1, duration: 600ms}}\n  warm_up: {warm_up}", "/")
    async with running_engine() as engine:
        send_start(engine, workflow, target, time.time() - 0.7)
        outcome = await engine.outcome()
    lag = Histogram.from_proto(outcome.last.totals.start_lag_ms)
    assert (lag.count, 700 <= lag.max < 10_000) == (1, True)


@pytest.mark.parametrize("graceful", [True, False])
async def test_a_run_can_be_stopped_before_it_starts(target: BundledTarget, graceful: bool) -> None:
    before = target.requests()
    async with running_engine() as engine:
        send_start(engine, workflow_of("constant_vus: {vus: 1, duration: 1s}", "/"), target, time.time() + 9)
        engine.stop(graceful=graceful)
        outcome = await engine.outcome()
        assert outcome.last.status == progress_pb2.SHARD_STATUS_CANCELLED
        assert not outcome.last.HasField("started_at")
        again = await engine.run(workflow_of("shared_iterations: {vus: 1, iterations: 3}", "/"), target.url, run_id=2)
    assert again.total == 3 == target.requests() - before


@pytest.mark.parametrize(
    "load",
    [
        "constant_arrival_rate: {rate: 50, duration: 30s, pre_allocated_vus: 30}",
        "ramping_vus: {start_vus: 5, stages: [{duration: 30s, target: 50}]}",
        "constant_vus: {vus: 5, duration: 30s}\n  think_time: {constant: 10s}",
    ],
)
@pytest.mark.parametrize("graceful", [True, False])
async def test_every_profile_can_be_stopped(target: BundledTarget, load: str, graceful: bool) -> None:
    before = target.requests()
    async with running_engine() as engine:
        engine.start(workflow_of(load), target.url)
        await engine.next_report()
        engine.stop(graceful=graceful)
        outcome = await engine.outcome()
    assert outcome.last.status == progress_pb2.SHARD_STATUS_CANCELLED
    assert outcome.total == target.requests() - before
    assert outcome.last.totals.vus == 0


def send_start(engine: Engine, workflow: workflow_pb2.Workflow, target: BundledTarget, start_at: float) -> None:
    start = engine_pb2.EngineStart(run_id=1, workflow=workflow, target=target.url)
    start.start_at.FromNanoseconds(round(start_at * 1e9))
    engine.send(engine_pb2.EngineCommand(start=start))
