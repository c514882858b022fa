"""How a stop becomes firmer."""

import pytest

from hyperscale.worker.cancellation import StopLadder
from hyperscale.worker.models.engines import StopStage
from hyperscale.worker.models.shards import StopLimits

LIMITS = StopLimits(graceful_seconds=5, interrupt_seconds=3)


@pytest.mark.parametrize(
    ("now", "stage"),
    [
        (100.0, StopStage.GRACEFUL),
        (104.9, StopStage.GRACEFUL),
        (105.0, StopStage.INTERRUPT),
        (107.9, StopStage.INTERRUPT),
        (108.0, StopStage.KILL),
        (999.0, StopStage.KILL),
    ],
)
def test_each_stage_has_its_time(now: float, stage: StopStage) -> None:
    ladder = StopLadder()
    ladder.begin(StopStage.GRACEFUL, LIMITS, 100.0)
    for instant in (100.0, 105.0, 108.0):
        ladder.advance(min(instant, now))
    assert ladder.stage is stage


def test_nothing_is_stopped_before_anybody_asks() -> None:
    ladder = StopLadder()
    ladder.advance(1e9)
    assert ladder.stage is None


def test_a_second_stop_makes_it_firmer() -> None:
    ladder = StopLadder()
    ladder.begin(StopStage.GRACEFUL, LIMITS, 0.0)
    ladder.begin(StopStage.INTERRUPT, LIMITS, 1.0)
    assert ladder.stage is StopStage.INTERRUPT


def test_a_second_stop_never_makes_it_gentler() -> None:
    ladder = StopLadder()
    ladder.begin(StopStage.INTERRUPT, LIMITS, 0.0)
    ladder.begin(StopStage.GRACEFUL, LIMITS, 1.0)
    stages = [ladder.stage]
    ladder.advance(3.0)
    assert [*stages, ladder.stage] == [StopStage.INTERRUPT, StopStage.KILL]


def test_a_second_stop_makes_it_faster_but_not_slower() -> None:
    ladder = StopLadder()
    ladder.begin(StopStage.GRACEFUL, LIMITS, 0.0)
    ladder.begin(StopStage.GRACEFUL, StopLimits(graceful_seconds=1, interrupt_seconds=60), 0.5)
    stages = []
    for now in (0.9, 1.0, 3.9, 4.0):
        ladder.advance(now)
        stages.append(ladder.stage)
    assert stages == [StopStage.GRACEFUL, StopStage.INTERRUPT, StopStage.INTERRUPT, StopStage.KILL]
