"""How much load a workflow makes: the load profiles of job files, as values. Durations are written like '30s' or '5m'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ConstantVus:
    """A fixed number of users for a fixed time; each starts its next iteration when the last one has ended."""

    vus: int
    duration: str


@dataclass(frozen=True, slots=True)
class SharedIterations:
    """A fixed number of iterations, shared by all users."""

    vus: int
    iterations: int
    max_duration: str = ""


@dataclass(frozen=True, slots=True)
class PerVuIterations:
    """A fixed number of iterations of each user."""

    vus: int
    iterations: int
    max_duration: str = ""


@dataclass(frozen=True, slots=True)
class RampStage:
    """A straight line to a number of users, or to a rate."""

    duration: str
    target: int


@dataclass(frozen=True, slots=True)
class RampingVus:
    """A number of users that changes along straight lines."""

    stages: Sequence[RampStage]
    start_vus: int = 0
    graceful_ramp_down: str = ""


@dataclass(frozen=True, slots=True)
class ConstantArrivalRate:
    """Open model: iterations start when they are due, `rate` of them per `time_unit`, however long they take."""

    rate: int
    duration: str
    pre_allocated_vus: int
    max_vus: int = 0
    time_unit: str = ""


@dataclass(frozen=True, slots=True)
class RampingArrivalRate:
    """Open model at a rate that changes along straight lines."""

    stages: Sequence[RampStage]
    pre_allocated_vus: int
    start_rate: int = 0
    max_vus: int = 0
    time_unit: str = ""


Profile = ConstantVus | SharedIterations | PerVuIterations | RampingVus | ConstantArrivalRate | RampingArrivalRate

_FIELDS = {
    ConstantVus: "constant_vus",
    SharedIterations: "shared_iterations",
    PerVuIterations: "per_vu_iterations",
    RampingVus: "ramping_vus",
    ConstantArrivalRate: "constant_arrival_rate",
    RampingArrivalRate: "ramping_arrival_rate",
}


def load_document(profile: Profile) -> dict[str, Any]:
    """The profile as a job file has it; what was left out stays out."""
    values = {name: value for name, value in asdict(profile).items() if value not in ("", 0)}
    return {_FIELDS[type(profile)]: values}
