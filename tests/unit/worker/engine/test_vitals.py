"""An engine at its limit knows it."""

import asyncio
import time

import pytest

from hyperscale.worker.engine.models.load import FixedLoad
from hyperscale.worker.engine.models.plan import Plan
from hyperscale.worker.engine.recorder import Recorder, UserGauge, WallClock
from hyperscale.worker.engine.vitals import Vitals, is_saturated


@pytest.mark.parametrize(
    ("cpu_share", "lag_seconds", "saturated"),
    [(0.5, 0.01, False), (0.949, 0.1, False), (0.95, 0.0, True), (0.1, 0.101, True)],
)
def test_the_limit_is_the_core_or_the_lag(cpu_share: float, lag_seconds: float, saturated: bool) -> None:
    assert is_saturated(cpu_share, lag_seconds) is saturated


def block(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_busy_loop_is_late_and_saturated() -> None:
    load = FixedLoad(1, None, is_stock_per_user=False)
    plan = Plan("w", (), (), vus=1, load=load, load_seconds=5.0, graceful_stop_seconds=0.0)
    recorder = Recorder(plan, WallClock())
    watching = asyncio.create_task(Vitals(recorder).watch())
    deadline = time.monotonic() + 10
    while not recorder.totals(UserGauge()).saturation.seconds:
        assert time.monotonic() < deadline
        block(0.2)
        await asyncio.sleep(0.001)
    watching.cancel()
    recorder.fold()
    totals = recorder.totals(UserGauge())
    assert totals.saturation.saturated_seconds == totals.saturation.seconds == 1
    assert totals.engine_lag_ms.max >= 100
