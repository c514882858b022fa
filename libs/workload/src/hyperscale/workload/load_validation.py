"""Judges load profiles and think times by the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.defaults import ArrivalRate
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.limits import (
    DAY_SECONDS,
    MAX_GRACEFUL_STOP_SECONDS,
    MAX_RATE,
    MAX_STAGES,
    MAX_THINK_SECONDS,
    MAX_VUS,
    at_most,
    check_duration,
)
from hyperscale.workload.profiles import arrival_schedule, load_seconds, most_ramp_users
from hyperscale.workload.shares import WHOLE_SIZE
from hyperscale.workload.timestamps import nanoseconds_of, seconds_of

_PROFILES: Final = (
    "constant_vus, ramping_vus, shared_iterations, per_vu_iterations, constant_arrival_rate or ramping_arrival_rate"
)
_NS_PER_DAY: Final = int(DAY_SECONDS) * 1_000_000_000

StageT = TypeVar("StageT", workflow_pb2.VusStage, workflow_pb2.RateStage)


class LoadJudge:
    """Notes faults of workflows' loads.

    Parameters
    ----------
    is_divided
        Whether the load may be a part: of no users, no iterations, or with a share.
    """

    def __init__(self, faults: FaultCollector, *, is_divided: bool) -> None:
        self._faults = faults
        self._is_divided = is_divided

    def judge(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        """Note every fault of the workflow's load, warm-up, think times and share."""
        self._profile(path, workflow)
        self._warm_up(path, workflow)
        self._share(f"{path}.share", workflow)
        self.judge_pauses(path, workflow)

    def judge_pauses(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        """Note every fault of think times."""
        self._think_time(f"{path}.think_time", workflow.think_time)
        for index, step in enumerate(workflow.steps):
            self._think_time(f"{path}.steps[{index}].think_time", step.think_time)

    def _profile(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        match workflow.WhichOneof("load"):
            case "constant_vus":
                self._constant_vus(f"{path}.constant_vus", workflow.constant_vus)
            case "shared_iterations":
                self._shared_iterations(f"{path}.shared_iterations", workflow.shared_iterations)
            case "per_vu_iterations":
                self._per_vu_iterations(f"{path}.per_vu_iterations", workflow.per_vu_iterations)
            case "ramping_vus":
                self._ramping_vus(f"{path}.ramping_vus", workflow.ramping_vus)
            case "constant_arrival_rate":
                self._constant_arrival_rate(f"{path}.constant_arrival_rate", workflow.constant_arrival_rate)
            case "ramping_arrival_rate":
                self._ramping_arrival_rate(f"{path}.ramping_arrival_rate", workflow.ramping_arrival_rate)
            case None:
                self._faults.add(path, f"needs a load: {_PROFILES}")

    def _constant_vus(self, path: str, load: workflow_pb2.ConstantVus) -> None:
        self._divided(f"{path}.vus", load.vus, MAX_VUS)
        self._required_duration(f"{path}.duration", load.duration if load.HasField("duration") else None)

    def _shared_iterations(self, path: str, load: workflow_pb2.SharedIterations) -> None:
        self._divided(f"{path}.vus", load.vus, MAX_VUS)
        if not load.iterations and not self._is_divided:
            self._faults.add(f"{path}.iterations", "must be at least 1")
        if load.iterations and not load.vus and self._is_divided:
            self._faults.add(f"{path}.iterations", "need users to run them")
        self._max_duration(path, load)

    def _per_vu_iterations(self, path: str, load: workflow_pb2.PerVuIterations) -> None:
        self._divided(f"{path}.vus", load.vus, MAX_VUS)
        if not load.iterations:
            self._faults.add(f"{path}.iterations", "must be at least 1")
        self._max_duration(path, load)

    def _ramping_vus(self, path: str, load: workflow_pb2.RampingVus) -> None:
        self._in_range(f"{path}.start_vus", load.start_vus, 0, MAX_VUS)
        if self._stages(f"{path}.stages", load.stages, MAX_VUS) and not most_ramp_users(load):
            self._faults.add(f"{path}.stages", "must have users in at least one of them")
        if nanoseconds_of(load.graceful_ramp_down):
            check_duration(
                self._faults,
                f"{path}.graceful_ramp_down",
                load.graceful_ramp_down,
                longest_seconds=MAX_GRACEFUL_STOP_SECONDS,
            )

    def _constant_arrival_rate(self, path: str, load: workflow_pb2.ConstantArrivalRate) -> None:
        self._in_range(f"{path}.rate", load.rate, 1, MAX_RATE)
        known = self._required_duration(f"{path}.duration", load.duration if load.HasField("duration") else None)
        self._arrivals(path, load, is_known=known)

    def _ramping_arrival_rate(self, path: str, load: workflow_pb2.RampingArrivalRate) -> None:
        self._in_range(f"{path}.start_rate", load.start_rate, 0, MAX_RATE)
        known = self._stages(f"{path}.stages", load.stages, MAX_RATE)
        self._arrivals(path, load, is_known=known)

    def _arrivals(self, path: str, load: ArrivalRate, *, is_known: bool) -> None:
        """What both arrival rates have; `is_known`: whether its duration can be read."""
        self._in_range(f"{path}.pre_allocated_vus", load.pre_allocated_vus, 1, MAX_VUS)
        if load.max_vus and not load.pre_allocated_vus <= load.max_vus <= MAX_VUS:
            self._faults.add(f"{path}.max_vus", f"must be from pre_allocated_vus to {MAX_VUS:,}, not {load.max_vus:,}")
        if load.HasField("time_unit") and not self._duration(f"{path}.time_unit", load.time_unit, DAY_SECONDS):
            return
        if is_known and not arrival_schedule(load).count:
            self._faults.add(path, "must start at least one iteration in its time")

    def _stages(self, path: str, stages: Sequence[StageT], highest: int) -> bool:
        """Whether the stages can be read."""
        if not stages:
            self._faults.add(path, f"1 to {MAX_STAGES} stages are required")
            return False
        kept = at_most(self._faults, path, stages, MAX_STAGES)
        are_durations = [
            not nanoseconds_of(stage.duration)
            or self._duration(f"{path}[{index}].duration", stage.duration, DAY_SECONDS)
            for index, stage in enumerate(kept)
        ]
        for index, stage in enumerate(kept):
            self._in_range(f"{path}[{index}].target", stage.target, 0, highest)
        if not all(are_durations):
            return False
        total_ns = sum(nanoseconds_of(stage.duration) for stage in stages)
        if not 0 < total_ns <= _NS_PER_DAY:
            self._faults.add(path, "must take above 0s and at most 24h together")
        return 0 < total_ns <= _NS_PER_DAY

    def _warm_up(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        if not workflow.HasField("warm_up") or not nanoseconds_of(workflow.warm_up):
            return
        if self._duration(f"{path}.warm_up", workflow.warm_up, DAY_SECONDS):
            longest = load_seconds(workflow)
            if seconds_of(workflow.warm_up) >= longest > 0:
                self._faults.add(f"{path}.warm_up", f"must be shorter than the load, which takes {longest:g}s")

    def _share(self, path: str, workflow: workflow_pb2.Workflow) -> None:
        if not workflow.HasField("share"):
            return
        if not self._is_divided:
            self._faults.add(path, "is set by the suite")
        elif workflow.share.start + workflow.share.size > WHOLE_SIZE:
            self._faults.add(path, "goes beyond the whole")

    def _think_time(self, path: str, think_time: workflow_pb2.ThinkTime) -> None:
        if think_time.HasField("constant") and (think_time.HasField("min") or think_time.HasField("max")):
            self._faults.add(path, "is either constant or from min to max")
        elif think_time.HasField("constant"):
            self._zero_or_duration(f"{path}.constant", think_time.constant)
        elif think_time.HasField("max"):
            self._zero_or_duration(f"{path}.min", think_time.min)
            self._zero_or_duration(f"{path}.max", think_time.max)
            if nanoseconds_of(think_time.min) > nanoseconds_of(think_time.max):
                self._faults.add(f"{path}.min", "must not be longer than max")
        elif think_time.HasField("min"):
            self._faults.add(path, "needs max beside min, or constant")

    def _zero_or_duration(self, path: str, duration: Duration) -> None:
        if nanoseconds_of(duration):
            self._duration(path, duration, MAX_THINK_SECONDS)

    def _max_duration(self, path: str, load: workflow_pb2.SharedIterations | workflow_pb2.PerVuIterations) -> None:
        if load.HasField("max_duration"):
            self._duration(f"{path}.max_duration", load.max_duration, DAY_SECONDS)

    def _required_duration(self, path: str, duration: Duration | None) -> bool:
        if duration is None:
            self._faults.add(path, "is required, such as '30s'")
            return False
        return self._duration(path, duration, DAY_SECONDS)

    def _duration(self, path: str, duration: Duration, longest_seconds: float) -> bool:
        """Whether it is one; notes it when not."""
        return check_duration(self._faults, path, duration, longest_seconds=longest_seconds)

    def _divided(self, path: str, number: int, highest: int) -> None:
        """A number that is divided over parts, of which some may get nothing."""
        self._in_range(path, number, 0 if self._is_divided else 1, highest)

    def _in_range(self, path: str, number: int, lowest: int, highest: int) -> None:
        if not lowest <= number <= highest:
            self._faults.add(path, f"must be {lowest} to {highest:,}, not {number:,}")
