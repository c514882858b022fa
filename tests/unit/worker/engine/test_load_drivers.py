"""Every profile makes the load that it says, in virtual time, with users that take as long as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine import load
from hyperscale.worker.engine.admission import IterationStock, Seat
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.plan import compile_plan
from hyperscale.worker.engine.population import Population, User
from hyperscale.worker.engine.recorder import Recorder, UserGauge, WallClock
from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import parse_job
from hyperscale.workload.profiles import load_seconds
from hyperscale.workload.splitting import split_workflow
from tests.support.virtual_time import run_in_virtual_time


@dataclass(slots=True)
class Log:
    """What the users did, in seconds since the start."""

    begun: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    interrupted: list[float] = field(default_factory=list)
    most_users: int = 0
    users_at: dict[float, int] = field(default_factory=dict)
    dropped: int = 0


class TimedUser:
    """Each iteration takes the same time."""

    def __init__(self, stock: IterationStock, seat: Seat, seconds: float, log: Log) -> None:
        self.has_ended = False
        self._stock = stock
        self._seat = seat
        self._seconds = seconds
        self._log = log
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> Sequence[HttpConnection]:
        return ()

    def begin(self, started: float) -> None:
        self._log.begun.append(started)
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end_iteration)

    def retire(self) -> None:
        pass

    def expire(self, now: float) -> None:
        pass

    def interrupt(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._log.interrupted.append(asyncio.get_running_loop().time())
        self._seat.ended()

    def _end_iteration(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        self._log.ended.append(now)
        if self._stock.take():
            self.begin(now)
        else:
            self._seat.rested()


def workflow_of(profile: str) -> workflow_pb2.Workflow:
    text = f"target: http://h\nworkflows:\n- name: w\n  {profile}\n  steps: [{{name: s, http: {{url: /}}}}]"
    return parse_job(text, DocumentFormat.YAML).workflows[0]


def played(
    workflow: workflow_pb2.Workflow, seconds: float, monkeypatch: pytest.MonkeyPatch, watched: Sequence[float] = ()
) -> Log:
    """The log of a load whose iterations take `seconds`."""
    log = Log()

    async def play() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(load, "perf_counter", loop.time)
        started = loop.time()
        plan = compile_plan(workflow, "http://h")
        gauge = UserGauge()
        recorder = Recorder(plan, WallClock())
        population = Population(plan, gauge)

        def make(stock: IterationStock, seat: Seat) -> User:
            return TimedUser(stock, seat, seconds, log)

        population.admit(make)

        def note_users(at: float) -> None:
            log.users_at[at] = gauge.running

        driver = load.driver_of(plan, population, recorder)
        for at in watched:
            loop.call_at(started + at, partial(note_users, at))
        driver.start(started)
        loop.call_later(load_seconds(workflow), driver.finish)
        await population.wait_ended()
        log.most_users = gauge.most
        log.dropped = recorder.totals(gauge).dropped_iterations
        for times in (log.begun, log.ended, log.interrupted):
            times[:] = [round(at - started, 6) for at in times]

    run_in_virtual_time(play())
    return log


Play = Callable[..., Log]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    def with_patch(profile: str, seconds: float, watched: Sequence[float] = ()) -> Log:
        return played(workflow_of(profile), seconds, monkeypatch, watched)

    return with_patch


def test_constant_users_begin_again_until_time_is_up(play: Play) -> None:
    log = play("constant_vus: {vus: 3, duration: 10s}", 0.41)
    assert (len(log.begun), log.most_users) == (3 * 25, 3)
    assert log.ended[-1] == 10.25


def test_shared_iterations_are_run_by_whoever_is_free(play: Play) -> None:
    assert len(play("shared_iterations: {vus: 4, iterations: 10}", 1.0).ended) == 10


def test_every_user_runs_its_own_iterations(play: Play) -> None:
    log = play("per_vu_iterations: {vus: 4, iterations: 10}", 1.0)
    assert (len(log.ended), log.ended[-1]) == (40, 10.0)


def test_iterations_of_a_user_end_with_the_longest_duration(play: Play) -> None:
    assert len(play("per_vu_iterations: {vus: 2, iterations: 10, max_duration: 4500ms}", 1.0).ended) == 10


def test_an_arrival_rate_does_not_wait_for_iterations(play: Play) -> None:
    log = play("constant_arrival_rate: {rate: 10, duration: 5s, pre_allocated_vus: 2, max_vus: 100}", 3.0)
    assert log.begun == [round((start + 1) / 10, 6) for start in range(50)]
    assert (log.dropped, log.most_users) == (0, 30)


def test_starts_without_a_free_user_are_dropped_and_counted(play: Play) -> None:
    log = play("constant_arrival_rate: {rate: 10, duration: 10s, pre_allocated_vus: 5}", 1.05)
    assert len(log.begun) + log.dropped == 100
    assert log.most_users == 5
    # Each user is busy for ten and a half distances, and begins again at the eleventh.
    assert len(log.begun) == len([start for start in range(1, 101) if (start - 1) % 11 < 5])


def test_a_ramping_rate_starts_the_integral(play: Play) -> None:
    stages = "stages: [{duration: 10s, target: 20}, {duration: 5s, target: 20}, {duration: 10s, target: 0}]"
    log = play(f"ramping_arrival_rate: {{start_rate: 0, {stages}, pre_allocated_vus: 50}}", 0.5)
    assert (len(log.begun), log.dropped) == (100 + 100 + 100, 0)


def test_a_ramp_follows_its_line_and_ends_gracefully(play: Play) -> None:
    stages = "stages: [{duration: 10s, target: 20}, {duration: 10s, target: 0}]"
    log = play(f"ramping_vus: {{{stages}}}", 0.001, watched=[0.25, 5.25, 10.01, 12.25, 19.75])
    assert log.users_at == {0.25: 0, 5.25: 10, 10.01: 20, 12.25: 16, 19.75: 1}
    assert log.interrupted == []


def test_users_that_leave_a_ramp_are_interrupted_after_their_grace(play: Play) -> None:
    stages = "stages: [{duration: 0s, target: 2}, {duration: 2s, target: 0}, {duration: 10s, target: 0}]"
    log = play(f"ramping_vus: {{{stages}, graceful_ramp_down: 3s}}", 60.0)
    assert log.interrupted == [4.0, 5.0]


def test_a_user_that_comes_back_within_its_grace_goes_on(play: Play) -> None:
    stages = "stages: [{duration: 0s, target: 1}, {duration: 1s, target: 0}, {duration: 1s, target: 1}, {duration: 8s, target: 1}]"
    log = play(f"ramping_vus: {{{stages}, graceful_ramp_down: 5s}}", 2.5)
    assert (log.begun, log.most_users) == ([0.0, 2.5, 5.0, 7.5], 1)


@pytest.mark.parametrize(
    "profile",
    [
        "constant_vus: {vus: 50, duration: 10s}",
        "shared_iterations: {vus: 50, iterations: 1001}",
        "per_vu_iterations: {vus: 50, iterations: 7}",
        "ramping_vus: {stages: [{duration: 9s, target: 50}, {duration: 1s, target: 50}]}",
        "constant_arrival_rate: {rate: 97, duration: 10s, pre_allocated_vus: 60}",
        "ramping_arrival_rate: {start_rate: 13, stages: [{duration: 10s, target: 101}], pre_allocated_vus: 60}",
    ],
)
def test_engines_together_make_the_load_of_one(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = workflow_of(profile)
    alone = played(workflow, 0.2371, monkeypatch)
    parts = [inner for part in split_workflow(workflow, [3, 1, 2]) for inner in split_workflow(part, [1, 1])]
    together = [played(part, 0.2371, monkeypatch) for part in parts]
    assert sum(len(log.begun) for log in together) == len(alone.begun)
    assert sum(log.most_users for log in together) >= alone.most_users
    assert sum(log.dropped for log in together) == alone.dropped == 0
