"""Whether a result is the target's or the generator's own."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from hyperscale.v1.statistics_pb2 import MetricValues

SATURATED_METRIC: Final = "generator_saturated"
SATURATED_FROM_SHARE: Final = 0.05
"""Share of the engines' seconds at their limit from which a run is called saturated."""


class GeneratorState(Enum):
    """How the generator did in a whole run."""

    OK = "ok"
    SATURATED = "saturated"
    UNKNOWN = "unknown"
    """It did not run for a second."""


def generator_state(metrics: Mapping[str, MetricValues]) -> GeneratorState:
    """What the metrics of a result say of the generator."""
    if SATURATED_METRIC not in metrics:
        return GeneratorState.UNKNOWN
    share = metrics[SATURATED_METRIC].values.get("rate", 0.0)
    return GeneratorState.SATURATED if share >= SATURATED_FROM_SHARE else GeneratorState.OK
