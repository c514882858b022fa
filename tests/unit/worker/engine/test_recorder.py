from time import perf_counter

from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.models.load import FixedLoad
from hyperscale.worker.engine.models.plan import EncodedStep, Origin, Plan
from hyperscale.worker.engine.recorder import Recorder, UserGauge, WallClock
from hyperscale.workload.histogram import Histogram

PAYLOAD = b"x" * 10


def plan_of(steps: int) -> Plan:
    return Plan(
        workflow_name="w",
        origins=(Origin("h", 80, tls=False),),
        steps=tuple(
            EncodedStep(f"s{index}", index, 0, PAYLOAD, 1.0, range(200, 400), is_head=False, is_usual=True)
            for index in range(steps)
        ),
        vus=1,
        load=FixedLoad(1, None, is_stock_per_user=False),
        load_seconds=1.0,
        graceful_stop_seconds=1.0,
    )


def recorder_and_midnight() -> tuple[Recorder, float, int]:
    """A recorder, the reading of the clock at a whole second, and that second."""
    clock = WallClock()
    second = int(clock.now()) + 1
    return Recorder(plan_of(2), clock), second - clock.at(0.0), second


def add(recorder: Recorder, step: int, started: float, ended: float, received: int) -> None:
    samples = recorder.samples[step]
    samples.add(started, ended, received)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.001, 4.9), st.integers(0, 1000)), max_size=60))
def test_every_sample_is_in_the_window_of_its_second(samples: list[tuple[int, float, int]]) -> None:
    recorder, midnight, second = recorder_and_midnight()
    samples.sort(key=lambda sample: sample[1])
    for fold_after, (step, offset, received) in enumerate(samples):
        add(recorder, step, midnight + offset - 0.001, midnight + offset, received)
        if fold_after % 7 == 0:
            recorder.fold()
    recorder.fold()
    recorder.close_windows(UserGauge())
    windows = {window.window_start.seconds - second: window.stats for window in recorder.take_windows()}
    for number, stats in windows.items():
        for index, step_stats in enumerate(stats.steps):
            here = [received for step, offset, received in samples if step == index and int(offset) == number]
            assert step_stats.total_count == sum(step_stats.duration_ms.counts) == len(here)
            assert step_stats.bytes_received == sum(here)
            assert step_stats.bytes_sent == len(here) * len(PAYLOAD)
    totals = recorder.totals(UserGauge())
    assert sum(step.total_count for step in totals.steps) == len(samples)


def test_durations_are_those_of_the_clock_in_ms() -> None:
    recorder, midnight, _ = recorder_and_midnight()
    add(recorder, 0, midnight, midnight + 0.25, 5)
    recorder.fold()
    duration = Histogram.from_proto(recorder.totals(UserGauge()).steps[0].duration_ms)
    assert abs(duration.max - 250) < 0.001


def test_failures_count_where_they_happen() -> None:
    recorder, midnight, second = recorder_and_midnight()
    first, other = plan_of(2).steps
    add(recorder, 0, midnight, midnight + 0.5, 20)
    recorder.unexpected_status(first, midnight + 0.5)
    recorder.failure(other, pb.ERROR_CLASS_RESET, 7, 3)
    recorder.fold()
    totals = recorder.totals(UserGauge(running=2, most=3))
    assert (totals.vus, totals.vus_max) == (2, 3)
    answered, reset = totals.steps
    assert (answered.total_count, sum(answered.duration_ms.counts)) == (1, 1)
    assert [(entry.error_class, entry.count) for entry in answered.failures] == [(pb.ERROR_CLASS_STATUS, 1)]
    assert (reset.total_count, sum(reset.duration_ms.counts)) == (1, 0)
    assert (reset.bytes_sent, reset.bytes_received) == (7, 3)
    assert [(entry.error_class, entry.count) for entry in reset.failures] == [(pb.ERROR_CLASS_RESET, 1)]
    recorder.close_windows(UserGauge(), before_second=second + 1)
    assert recorder.totals(UserGauge()).steps[0].total_count == 1


def test_window_ends_once_and_not_before_its_time() -> None:
    recorder, midnight, second = recorder_and_midnight()
    recorder.iterations.add(midnight, midnight + 0.5, 0)
    recorder.fold()
    recorder.close_windows(UserGauge(), before_second=second)
    assert recorder.take_windows() == []
    recorder.close_windows(UserGauge(), before_second=second + 1)
    (window,) = recorder.take_windows()
    assert window.window_start.seconds == second
    assert window.stats.iterations == 1
    assert recorder.take_windows() == []


def test_windows_that_nobody_takes_are_bounded_and_totals_stay() -> None:
    recorder, midnight, _ = recorder_and_midnight()
    for number in range(100):
        add(recorder, 0, midnight + number, midnight + number + 0.5, 1)
    recorder.fold()
    recorder.close_windows(UserGauge())
    assert len(recorder.take_windows()) == 60
    assert recorder.totals(UserGauge()).steps[0].total_count == 100


def test_clock_is_anchored_once() -> None:
    clock = WallClock()
    reading = perf_counter()
    assert clock.at(reading) == clock.at(reading)
    assert clock.at(reading + 1) - clock.at(reading) == 1
