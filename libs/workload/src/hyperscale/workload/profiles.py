"""What the load profile of a workflow, or of its part, amounts to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.defaults import (
    ArrivalRate,
    graceful_stop_seconds,
    max_duration_seconds,
    max_vus,
    time_unit_ns,
)
from hyperscale.workload.schedule import ArrivalSchedule, Line, RampSchedule, lines
from hyperscale.workload.shares import LoadPart
from hyperscale.workload.timestamps import nanoseconds_of, seconds_of

_NS_PER_SECOND: Final = 1e9


def load_part(workflow: workflow_pb2.Workflow) -> LoadPart:
    """Which part of the load is meant."""
    return LoadPart.of(workflow.share if workflow.HasField("share") else None)


def arrival_load(workflow: workflow_pb2.Workflow) -> ArrivalRate | None:
    """The load of an open model; None for every other."""
    match workflow.WhichOneof("load"):
        case "constant_arrival_rate":
            return workflow.constant_arrival_rate
        case "ramping_arrival_rate":
            return workflow.ramping_arrival_rate
        case _:
            return None


def arrival_schedule(load: ArrivalRate) -> ArrivalSchedule:
    """When the iterations of the whole load are due."""
    if isinstance(load, workflow_pb2.ConstantArrivalRate):
        rates: tuple[Line, ...] = (Line(load.rate, load.rate, nanoseconds_of(load.duration)),)
    else:
        rates = lines(load.start_rate, [(nanoseconds_of(stage.duration), stage.target) for stage in load.stages])
    return ArrivalSchedule(rates, time_unit_ns(load))


def ramp_schedule(load: workflow_pb2.RampingVus) -> RampSchedule:
    """When the users of the whole load come and go."""
    return RampSchedule(
        lines(load.start_vus, [(nanoseconds_of(stage.duration), stage.target) for stage in load.stages])
    )


def load_seconds(workflow: workflow_pb2.Workflow) -> float:
    """Longest time during which iterations start; 0 without a load."""
    load = workflow.WhichOneof("load")
    return _LOAD_SECONDS[load](workflow) if load else 0.0


def latest_end_seconds(workflow: workflow_pb2.Workflow) -> float:
    """Longest time from the start until the last iteration has ended or was interrupted."""
    return load_seconds(workflow) + graceful_stop_seconds(workflow)


def takes_all_its_time(workflow: workflow_pb2.Workflow) -> bool:
    """Whether the load goes on for `load_seconds`, and does not end before by its number of iterations."""
    return workflow.WhichOneof("load") not in {"shared_iterations", "per_vu_iterations", None}


def load_vus(workflow: workflow_pb2.Workflow) -> int:
    """Most users of the workflow, or of its part; 0 without a load."""
    load = workflow.WhichOneof("load")
    return _LOAD_VUS[load](workflow) if load else 0


def most_ramp_users(load: workflow_pb2.RampingVus) -> int:
    """Users at the highest point of the whole ramp."""
    return max(load.start_vus, *(stage.target for stage in load.stages), 0)


def load_iterations(workflow: workflow_pb2.Workflow) -> int | None:
    """Iterations that all users share; None when they are not counted together."""
    return workflow.shared_iterations.iterations if workflow.HasField("shared_iterations") else None


def counted_iterations(workflow: workflow_pb2.Workflow) -> int | None:
    """Iterations after which the load, or its part, ends by itself; None when only time ends it."""
    if workflow.HasField("per_vu_iterations"):
        return workflow.per_vu_iterations.vus * workflow.per_vu_iterations.iterations
    return load_iterations(workflow)


def _staged_seconds(load: workflow_pb2.RampingVus | workflow_pb2.RampingArrivalRate) -> float:
    return sum(nanoseconds_of(stage.duration) for stage in load.stages) / _NS_PER_SECOND


def _arrival_vus(workflow: workflow_pb2.Workflow) -> int:
    load = arrival_load(workflow)
    return 0 if load is None else load_part(workflow).count_of(max_vus(load))


_LOAD_SECONDS: Final[Mapping[str, Callable[[workflow_pb2.Workflow], float]]] = {
    "constant_vus": lambda workflow: seconds_of(workflow.constant_vus.duration),
    "shared_iterations": lambda workflow: max_duration_seconds(workflow.shared_iterations),
    "per_vu_iterations": lambda workflow: max_duration_seconds(workflow.per_vu_iterations),
    "ramping_vus": lambda workflow: _staged_seconds(workflow.ramping_vus),
    "constant_arrival_rate": lambda workflow: seconds_of(workflow.constant_arrival_rate.duration),
    "ramping_arrival_rate": lambda workflow: _staged_seconds(workflow.ramping_arrival_rate),
}

_LOAD_VUS: Final[Mapping[str, Callable[[workflow_pb2.Workflow], int]]] = {
    "constant_vus": lambda workflow: workflow.constant_vus.vus,
    "shared_iterations": lambda workflow: workflow.shared_iterations.vus,
    "per_vu_iterations": lambda workflow: workflow.per_vu_iterations.vus,
    "ramping_vus": lambda workflow: sum(1 for _ in load_part(workflow).items(most_ramp_users(workflow.ramping_vus))),
    "constant_arrival_rate": _arrival_vus,
    "ramping_arrival_rate": _arrival_vus,
}
