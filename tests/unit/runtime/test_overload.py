"""Overload: what signals say of a node, and how a node comes by them."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import math
import time
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.overload.detector import (
    CALM_SECONDS,
    LATENCY_MS,
    SAMPLES_MIN,
    USED_SHARE,
    WINDOW_SAMPLES,
    OverloadDetector,
    OverloadSignals,
)
from hyperscale.runtime.overload.memory import MemoryGauge
from hyperscale.runtime.overload.watch import OverloadWatch
from hyperscale.v1.node_pb2 import (
    NODE_ROLE_WORKER,
    OVERLOAD_STATE_BUSY,
    OVERLOAD_STATE_HEALTHY,
    OVERLOAD_STATE_OVERLOADED,
    OVERLOAD_STATE_STRESSED,
    OverloadState,
)
from tests.support.virtual_time import run_in_virtual_time
from tests.unit.runtime.conftest import Logs

HEALTHY, BUSY = OVERLOAD_STATE_HEALTHY, OVERLOAD_STATE_BUSY
STRESSED, OVERLOADED = OVERLOAD_STATE_STRESSED, OVERLOAD_STATE_OVERLOADED
Watched: TypeAlias = tuple[NodeLifecycle, OverloadWatch]
IDLE = OverloadSignals(latency_ms=1.0, cpu=0.01, memory=0.2)

shares = st.floats(0, 1)
latencies = st.floats(0, 10_000)
observations = st.lists(st.builds(OverloadSignals, latency_ms=latencies, cpu=shares, memory=shares), max_size=80)


class Observed:
    """A detector that is told something once a second."""

    def __init__(self) -> None:
        self._detector = OverloadDetector()
        self.now = 1000.0

    def tell(self, *, times: int = 1, latency_ms: float = 1.0, cpu: float = 0.01, memory: float = 0.2) -> int:
        state: OverloadState.ValueType = HEALTHY
        for _ in range(times):
            self.now += 1
            state = self._detector.observe(OverloadSignals(latency_ms, cpu, memory), self.now)
        return state

    def seconds_until(self, state: int, *, latency_ms: float = 1.0, cpu: float = 0.01) -> float:
        began = self.now
        while self.tell(latency_ms=latency_ms, cpu=cpu) > state:
            assert self.now - began < 600
        return self.now - began


@pytest.mark.requirement("AD-18.1")
@pytest.mark.parametrize(
    ("signals", "state"),
    [
        ({}, HEALTHY),
        ({"latency_ms": 199.0, "cpu": 0.69, "memory": 0.69}, HEALTHY),
        ({"latency_ms": 200.0}, BUSY),
        ({"latency_ms": 500.0}, STRESSED),
        ({"latency_ms": 2000.0}, OVERLOADED),
        ({"cpu": 0.70}, BUSY),
        ({"cpu": 0.85}, STRESSED),
        ({"cpu": 0.95}, OVERLOADED),
        ({"memory": 0.70}, BUSY),
        ({"memory": 0.85}, STRESSED),
        ({"memory": 0.95}, OVERLOADED),
        ({"latency_ms": 200.0, "cpu": 0.85, "memory": 0.70}, STRESSED),
        ({"latency_ms": 2000.0, "cpu": 0.70, "memory": 0.85}, OVERLOADED),
    ],
)
def test_the_worst_signal_says_how_a_node_is(signals: dict[str, float], state: int) -> None:
    assert Observed().tell(times=SAMPLES_MIN, **signals) == state


@pytest.mark.requirement("AD-18.1")
@pytest.mark.parametrize(
    ("usual_ms", "then_ms", "state"),
    [
        # Twice a millisecond is nothing, and neither is whatever no bound calls late.
        (1.0, (1.5, 2.0), HEALTHY),
        (1.0, (150.0, 190.0), HEALTHY),
        (1.0, (230.0, 250.0), BUSY),
        (1.0, (230.0, 320.0), STRESSED),
        (1.0, (230.0, 450.0), OVERLOADED),
        # Beside what is usual, where that is late already.
        (300.0, (340.0, 400.0), BUSY),
        (250.0, (280.0, 480.0), STRESSED),
        (300.0, (450.0, 800.0), OVERLOADED),
    ],
)
def test_latency_that_grows_beyond_what_is_usual_counts_before_it_reaches_its_bounds(
    usual_ms: float, then_ms: tuple[float, float], state: int
) -> None:
    node = Observed()
    node.tell(times=200, latency_ms=usual_ms)

    assert max(node.tell(latency_ms=late_ms) for late_ms in then_ms for _ in range(WINDOW_SAMPLES)) == state


def test_latency_that_has_grown_and_stays_is_judged_by_its_bounds_alone() -> None:
    node = Observed()
    node.tell(times=100)
    node.tell(times=WINDOW_SAMPLES, latency_ms=230.0)
    assert node.tell(times=WINDOW_SAMPLES, latency_ms=450.0) == OVERLOADED

    assert node.tell(times=2 * WINDOW_SAMPLES, latency_ms=450.0) == BUSY


@pytest.mark.parametrize("usual_ms", [0.0, 1.0, 180.0])
@pytest.mark.parametrize("seconds", [8, WINDOW_SAMPLES, 60])
def test_a_node_that_is_held_up_for_a_while_but_not_later_and_later_is_judged_by_its_bounds_alone(
    usual_ms: float, seconds: int
) -> None:
    node = Observed()
    node.tell(times=60, latency_ms=usual_ms)

    assert max(node.tell(latency_ms=450.0) for _ in range(seconds)) == BUSY
    assert max(node.tell(latency_ms=usual_ms) for _ in range(60)) == BUSY


@pytest.mark.parametrize("late_ms", [(20.0, 420.0), (100.0, 490.0), (0.0, 900.0)])
def test_latencies_that_vary_without_growing_are_no_overload(late_ms: tuple[float, float]) -> None:
    draw, node = Random(1), Observed()
    worst = LATENCY_MS.state(max(late_ms))

    assert max(node.tell(latency_ms=draw.choice(late_ms)) for _ in range(3600)) == worst


def test_a_single_pause_of_the_process_is_no_overload() -> None:
    node = Observed()
    node.tell(times=30)

    assert node.tell(latency_ms=60_000.0, cpu=1.0) == HEALTHY
    assert node.tell(times=30) == HEALTHY


@pytest.mark.requirement("AD-18.1")
def test_a_worse_state_holds_at_once_and_a_better_one_only_after_some_seconds() -> None:
    node = Observed()
    node.tell(times=30)

    assert node.tell(memory=0.96) == OVERLOADED
    assert node.tell(times=int(CALM_SECONDS), memory=0.86) == OVERLOADED
    assert node.tell(memory=0.86) == STRESSED
    # What is worse in between begins the wait again.
    assert node.tell(times=int(CALM_SECONDS)) == STRESSED
    assert node.tell(memory=0.86) == STRESSED
    assert node.tell(times=int(CALM_SECONDS)) == STRESSED
    assert node.tell() == HEALTHY


def test_a_state_falls_to_the_worst_that_was_seen_while_it_was_calm() -> None:
    node = Observed()
    node.tell(times=30)
    node.tell(memory=0.96)
    node.tell(memory=0.75)

    assert node.tell(times=int(CALM_SECONDS)) == BUSY


def test_cores_count_when_they_are_used_for_seconds() -> None:
    node = Observed()
    node.tell(times=30)

    assert [node.tell(cpu=1.0) for _ in range(5)] == [HEALTHY] * 4 + [OVERLOADED]
    assert node.seconds_until(HEALTHY) <= WINDOW_SAMPLES + CALM_SECONDS


@pytest.mark.requirement("AD-18.1")
@given(observations)
def test_a_state_is_never_better_than_a_signal_of_now_allows(observed: list[OverloadSignals]) -> None:
    detector = OverloadDetector()
    for second, signals in enumerate(observed, 1):
        state = detector.observe(signals, float(second))

        window = observed[max(0, second - WINDOW_SAMPLES) : second]
        late_ms = sorted(each.latency_ms for each in window)[len(window) // 2]
        if second >= SAMPLES_MIN:
            assert state >= max(USED_SHARE.state(signals.memory), LATENCY_MS.state(late_ms))


@pytest.mark.requirement("AD-18.1")
@given(observations)
def test_a_state_gets_better_only_when_all_was_better_for_some_seconds(observed: list[OverloadSignals]) -> None:
    detector = OverloadDetector()
    states: list[int] = [HEALTHY]
    for second, signals in enumerate(observed, 1):
        states.append(detector.observe(signals, float(second)))

        if states[-1] < states[-2]:
            calm = int(CALM_SECONDS)
            assert set(states[-1 - calm : -1]) == {states[-2]}
            assert all(USED_SHARE.state(each.memory) <= states[-1] for each in observed[second - calm - 1 : second])


@given(observations, st.floats(0, 1), st.floats(0, 1))
def test_more_cpu_and_memory_never_make_a_state_better(
    observed: list[OverloadSignals], more_cpu: float, more_memory: float
) -> None:
    lighter, heavier = OverloadDetector(), OverloadDetector()
    for second, signals in enumerate(observed, 1):
        more = OverloadSignals(signals.latency_ms, signals.cpu + more_cpu, signals.memory + more_memory)

        assert heavier.observe(more, float(second)) >= lighter.observe(signals, float(second))


@given(observations)
def test_whatever_has_been_an_idle_node_is_healthy_soon(observed: list[OverloadSignals]) -> None:
    detector = OverloadDetector()
    for second, signals in enumerate(observed, 1):
        detector.observe(signals, float(second))
    states = [detector.observe(IDLE, float(len(observed) + second)) for second in range(1, 40)]

    assert states[-1] == HEALTHY


def _machine(root: Path, available_kib: int) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal:  1000000 kB\nMemFree:  5 kB\nMemAvailable:  {available_kib} kB\n")
    return root


def _group(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def test_memory_is_that_of_the_machine_where_nothing_else_limits_it(tmp_path: Path) -> None:
    root = _machine(tmp_path, available_kib=250_000)
    (root / "proc/self/cgroup").write_text("0::/mine\n")
    _group(root / "sys/fs/cgroup/mine", {"memory.max": "max\n", "memory.current": "900000000\n"})

    assert math.isclose(MemoryGauge(root).used_share(), 0.75)


def test_memory_is_that_of_the_fullest_group_and_cached_files_are_no_use_of_it(tmp_path: Path) -> None:
    root = _machine(tmp_path, available_kib=900_000)
    (root / "proc/self/cgroup").write_text("0::/pod/mine\n")
    stat = "anon 1\ninactive_file 10000\nactive_file 35000\n"
    mine = {"memory.max": "100000\n", "memory.current": "95000\n", "memory.stat": stat}
    pod = {"memory.max": "200000\n", "memory.current": "180000\n", "memory.stat": "inactive_file 20000\n"}
    _group(root / "sys/fs/cgroup/pod/mine", mine)
    _group(root / "sys/fs/cgroup/pod", pod)

    assert math.isclose(MemoryGauge(root).used_share(), 0.8)


def test_memory_of_a_container_whose_group_has_another_name_inside(tmp_path: Path) -> None:
    root = _machine(tmp_path, available_kib=900_000)
    (root / "proc/self/cgroup").write_text("7:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n0::/\n")
    group = {
        "memory.limit_in_bytes": "100000\n",
        "memory.usage_in_bytes": "70000\n",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 7000\nactive_file 1\ntotal_active_file 3000\n",
    }
    _group(root / "sys/fs/cgroup/memory", group)

    assert math.isclose(MemoryGauge(root).used_share(), 0.6)


def test_memory_of_a_group_that_is_gone_is_that_of_the_machine(tmp_path: Path) -> None:
    root = _machine(tmp_path, available_kib=250_000)
    (root / "proc/self/cgroup").write_text("0::/mine\n")
    group = {"memory.max": "100000\n", "memory.current": "99000\n", "memory.stat": "inactive_file 0\n"}
    _group(root / "sys/fs/cgroup/mine", group)
    gauge = MemoryGauge(root)
    assert math.isclose(gauge.used_share(), 0.99)

    (root / "sys/fs/cgroup/mine/memory.current").unlink()

    assert math.isclose(gauge.used_share(), 0.75)


@pytest.mark.parametrize(
    ("meminfo", "used_share"),
    [
        ("MemTotal: 1000 kB\nMemFree: 500 kB\nBuffers: 50 kB\nCached: 150 kB\nSwapCached: 9 kB\n", 0.3),
        ("MemTotal: 1000 kB\nMemFree: 500 kB\nMemAvailable: 0 kB\nCached: 100 kB\n", 1.0),
        ("MemTotal: 1000 kB\n", 0.0),
    ],
)
def test_memory_of_a_machine_that_does_not_tell_what_is_available(
    tmp_path: Path, meminfo: str, used_share: float
) -> None:
    _group(tmp_path / "proc", {"meminfo": meminfo})

    assert math.isclose(MemoryGauge(tmp_path).used_share(), used_share)


def test_a_limit_counts_as_it_is_now(tmp_path: Path) -> None:
    root = _machine(tmp_path, available_kib=900_000)
    (root / "proc/self/cgroup").write_text("0::/mine\n")
    mine = root / "sys/fs/cgroup/mine"
    _group(mine, {"memory.max": "100000\n", "memory.current": "60000\n", "memory.stat": "inactive_file 0\n"})
    gauge = MemoryGauge(root)
    assert math.isclose(gauge.used_share(), 0.6)

    _group(mine, {"memory.max": "400000\n", "memory.current": "120000\n"})
    assert math.isclose(gauge.used_share(), 0.3)

    _group(mine, {"memory.max": "max\n"})
    assert math.isclose(gauge.used_share(), 0.1)

    _group(mine, {"memory.max": "150000\n"})
    assert math.isclose(gauge.used_share(), 0.8)


def test_memory_that_the_system_does_not_tell_of_counts_as_free(tmp_path: Path) -> None:
    assert MemoryGauge(tmp_path).used_share() == 0


@pytest.fixture
def watched(logs: Logs, tmp_path: Path) -> Watched:
    """On a machine that does not tell how full its memory is: that of the one which runs this is no part of it."""
    node = NodeLifecycle(NodeIdentity("w-1", NODE_ROLE_WORKER, "east", "cluster", "test"))
    return node, OverloadWatch(node, MemoryGauge(tmp_path), logs.logger)


async def test_a_loop_that_is_held_up_makes_its_node_overloaded(watched: Watched, logs: Logs) -> None:
    node, watch = watched

    loop, is_over = asyncio.get_running_loop(), False

    def hold_up() -> None:
        time.sleep(0.25)
        if not is_over:
            loop.call_soon(hold_up)

    hold_up()
    for _ in range(SAMPLES_MIN):
        await watch.pause(0.01)
    is_over = True

    assert node.overload >= BUSY
    assert node.vitals().overload == node.overload
    assert "overload changed" in logs.events()


async def test_what_other_threads_and_processes_use_is_not_the_nodes_own_cpu(watched: Watched, logs: Logs) -> None:
    node, watch = watched
    hash_long = functools.partial(hashlib.pbkdf2_hmac, "sha256", b"", b"", 400_000)
    async with asyncio.TaskGroup() as hashing:
        others = [hashing.create_task(asyncio.to_thread(hash_long)) for _ in range(4)]
        while not any(other.done() for other in others):
            await watch.pause(0.02)

    assert not node.is_overloaded


def test_pauses_that_take_no_time_on_the_machine_say_nothing(watched: Watched, logs: Logs) -> None:
    node, watch = watched

    async def pause_often() -> None:
        for _ in range(2 * WINDOW_SAMPLES):
            await watch.pause(1.0)

    run_in_virtual_time(pause_often())

    assert not node.is_overloaded
