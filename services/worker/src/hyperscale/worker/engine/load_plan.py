"""Compiles the load profile and the think times of a workflow."""

from __future__ import annotations

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.models.load import ArrivalLoad, FixedLoad, Load, Pause, RampLoad
from hyperscale.workload import defaults, profiles
from hyperscale.workload.timestamps import seconds_of


def load_of(workflow: workflow_pb2.Workflow) -> Load:
    """The part of the workflow's load that is meant."""
    part = profiles.load_part(workflow)
    arrivals = profiles.arrival_load(workflow)
    if arrivals is not None:
        return ArrivalLoad(
            schedule=profiles.arrival_schedule(arrivals),
            part=part,
            pre_allocated_vus=part.count_of(arrivals.pre_allocated_vus),
            max_vus=part.count_of(defaults.max_vus(arrivals)),
        )
    if workflow.HasField("ramping_vus"):
        ramp = workflow.ramping_vus
        return RampLoad(profiles.ramp_schedule(ramp), part, defaults.graceful_ramp_down_seconds(ramp))
    each = workflow.HasField("per_vu_iterations")
    iterations = workflow.per_vu_iterations.iterations if each else profiles.load_iterations(workflow)
    return FixedLoad(profiles.load_vus(workflow), iterations, is_stock_per_user=each)


def pause_of(think_time: workflow_pb2.ThinkTime) -> Pause | None:
    """The pause that a message describes; None: none at all."""
    if think_time.HasField("constant"):
        seconds = seconds_of(think_time.constant)
        return Pause(seconds, seconds)
    if think_time.HasField("max"):
        return Pause(seconds_of(think_time.min), seconds_of(think_time.max))
    return None
