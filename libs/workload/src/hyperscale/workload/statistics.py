"""What was measured of steps and workflows, in a form that adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.check_outcomes import CheckOutcomes
from hyperscale.workload.generator import GeneratorStatistics
from hyperscale.workload.histogram import Histogram
from hyperscale.workload.totals import ErrorSamples, ProtocolStatistics, TotalsByName, UnreachableAddresses


@dataclass(slots=True)
class HttpPhases:
    """Where the time of HTTP requests went, in milliseconds."""

    blocked_ms: Histogram = field(default_factory=Histogram)
    """Until there was a connection, the phases of opening it included; one value per request."""
    connecting_ms: Histogram = field(default_factory=Histogram)
    tls_handshaking_ms: Histogram = field(default_factory=Histogram)
    sending_ms: Histogram = field(default_factory=Histogram)
    """As `waiting_ms` and `receiving_ms`, of requests that got a whole response."""
    waiting_ms: Histogram = field(default_factory=Histogram)
    """From the end of sending to the first byte of the response."""
    receiving_ms: Histogram = field(default_factory=Histogram)

    def merge(self, other: HttpPhases) -> None:
        """Add the phases of other requests."""
        for name in _PHASES:
            getattr(self, name).merge(getattr(other, name))

    def to_proto(self, message: pb.StepStats) -> None:
        """Fill the phases of a message; one without any value stays absent."""
        for name in _PHASES:
            histogram: Histogram = getattr(self, name)
            if histogram.count:
                getattr(message, name).CopyFrom(histogram.to_proto())

    @staticmethod
    def from_proto(message: pb.StepStats) -> HttpPhases:
        """The phases of a message. Raises HistogramError when one is not a histogram."""
        return HttpPhases(**{name: Histogram.from_proto(getattr(message, name)) for name in _PHASES})


_PHASES: Final = tuple(field.name for field in fields(HttpPhases))


@dataclass(slots=True)
class StepStatistics:
    """What was measured of one step."""

    total_count: int = 0
    """Requests sent or tried, failed ones included."""
    failures: Counter[pb.ErrorClass.ValueType] = field(default_factory=Counter)
    """Failed requests by class."""
    bytes_sent: int = 0
    bytes_received: int = 0
    duration_ms: Histogram = field(default_factory=Histogram)
    """From the first byte sent to the last byte received, of requests that got a whole response."""
    phases: HttpPhases = field(default_factory=HttpPhases)
    checks: CheckOutcomes = field(default_factory=CheckOutcomes)
    protocols: dict[str, ProtocolStatistics] = field(default_factory=dict)
    """Calls that are not HTTP requests, by protocol; only their bytes are counted above too."""

    @property
    def failed_count(self) -> int:
        """Failed requests of every class."""
        return self.failures.total()

    def protocol(self, name: str) -> ProtocolStatistics:
        """The calls over a protocol, begun when there are none."""
        return self.protocols.setdefault(name, ProtocolStatistics())

    def merge(self, other: StepStatistics) -> None:
        """Add another measurement of the step to this one."""
        self.total_count += other.total_count
        self.failures.update(other.failures)
        self.bytes_sent += other.bytes_sent
        self.bytes_received += other.bytes_received
        self.duration_ms.merge(other.duration_ms)
        self.phases.merge(other.phases)
        self.checks.merge(other.checks)
        for name, protocol in other.protocols.items():
            self.protocol(name).merge(protocol)

    def copy(self) -> StepStatistics:
        """The same measurement, changing by itself."""
        copied = StepStatistics()
        copied.merge(self)
        return copied

    def to_proto(self, step_name: str) -> pb.StepStats:
        """The message."""
        message = pb.StepStats(
            step_name=step_name,
            total_count=self.total_count,
            failures=[
                pb.ErrorCount(error_class=error_class, count=count)
                for error_class, count in sorted(self.failures.items())
                if count
            ],
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            duration_ms=self.duration_ms.to_proto(),
            checks=self.checks.to_proto(),
        )
        self.phases.to_proto(message)
        message.protocols.extend(protocol.to_proto(name) for name, protocol in sorted(self.protocols.items()))
        return message

    @staticmethod
    def from_proto(message: pb.StepStats) -> StepStatistics:
        """The measurement of a message. Raises HistogramError when its histogram is not one."""
        failures: Counter[pb.ErrorClass.ValueType] = Counter()
        for entry in message.failures:
            failures[entry.error_class] += entry.count
        return StepStatistics(
            total_count=message.total_count,
            failures=failures,
            bytes_sent=message.bytes_sent,
            bytes_received=message.bytes_received,
            duration_ms=Histogram.from_proto(message.duration_ms),
            phases=HttpPhases.from_proto(message),
            checks=CheckOutcomes.from_proto(message.checks),
            protocols={entry.protocol: ProtocolStatistics.from_proto(entry) for entry in message.protocols},
        )


@dataclass(slots=True)
class WorkflowStatistics:
    """What was measured of one workflow, since its start or within one window."""

    workflow_name: str
    steps: dict[str, StepStatistics] = field(default_factory=dict)
    """By step name, in the order of the workflow."""
    iterations: int = 0
    """Iterations that ran to their end."""
    iteration_duration_ms: Histogram = field(default_factory=Histogram)
    vus: int = 0
    """Users running at the time of sending; merging adds those of different places."""
    vus_max: int = 0
    """Most users running at once; merging adds, since the places run at the same time."""
    generator: GeneratorStatistics = field(default_factory=GeneratorStatistics)
    custom_metrics: TotalsByName = field(default_factory=TotalsByName)
    """What the workflow's code has measured."""
    error_samples: ErrorSamples = field(default_factory=ErrorSamples)
    """What went wrong in the workflow's code."""
    unreachable: UnreachableAddresses = field(default_factory=UnreachableAddresses)
    """To where HTTP requests found no connection."""

    def step(self, name: str) -> StepStatistics:
        """The statistics of a step, begun when there are none."""
        return self.steps.setdefault(name, StepStatistics())

    def merge(self, other: WorkflowStatistics) -> None:
        """Add what another place measured of the same workflow. Raises ValueError for another workflow."""
        if other.workflow_name != self.workflow_name:
            raise ValueError(f"workflow {other.workflow_name!r} cannot be merged into {self.workflow_name!r}")
        for name, step in other.steps.items():
            self.step(name).merge(step)
        self.iterations += other.iterations
        self.iteration_duration_ms.merge(other.iteration_duration_ms)
        self.vus += other.vus
        self.vus_max += other.vus_max
        self.generator.merge(other.generator)
        self.custom_metrics.merge(other.custom_metrics)
        self.error_samples.merge(other.error_samples)
        self.unreachable.merge(other.unreachable)

    def copy(self) -> WorkflowStatistics:
        """The same measurement, changing by itself."""
        copied = WorkflowStatistics(self.workflow_name)
        copied.merge(self)
        return copied

    def to_proto(self) -> pb.WorkflowStats:
        """The message."""
        message = pb.WorkflowStats(
            workflow_name=self.workflow_name,
            steps=[step.to_proto(name) for name, step in self.steps.items()],
            iterations=self.iterations,
            iteration_duration_ms=self.iteration_duration_ms.to_proto(),
            vus=self.vus,
            vus_max=self.vus_max,
            custom_metrics=self.custom_metrics.to_proto(),
            error_samples=self.error_samples.to_proto(),
            unreachable=self.unreachable.to_proto(),
        )
        self.generator.fill(message)
        return message

    @staticmethod
    def from_proto(message: pb.WorkflowStats) -> WorkflowStatistics:
        """The measurement of a message. Raises HistogramError when a histogram is not one."""
        statistics = WorkflowStatistics(
            workflow_name=message.workflow_name,
            iterations=message.iterations,
            iteration_duration_ms=Histogram.from_proto(message.iteration_duration_ms),
            vus=message.vus,
            vus_max=message.vus_max,
            generator=GeneratorStatistics.from_proto(message),
            custom_metrics=TotalsByName.from_proto(list(message.custom_metrics)),
            error_samples=ErrorSamples.from_proto(list(message.error_samples)),
            unreachable=UnreachableAddresses.from_proto(list(message.unreachable)),
        )
        for step in message.steps:
            statistics.step(step.step_name).merge(StepStatistics.from_proto(step))
        return statistics


def merge_into(merged: dict[str, WorkflowStatistics], statistics: Iterable[WorkflowStatistics]) -> None:
    """Add statistics to `merged`, which is keyed by workflow name and shares nothing with them."""
    for entry in statistics:
        merged.setdefault(entry.workflow_name, WorkflowStatistics(entry.workflow_name)).merge(entry)


def merge_by_workflow(lists: Iterable[Iterable[pb.WorkflowStats]]) -> dict[str, WorkflowStatistics]:
    """Sum of what several places sent, by workflow name. Raises HistogramError when a histogram is not one."""
    merged: dict[str, WorkflowStatistics] = {}
    for messages in lists:
        merge_into(merged, map(WorkflowStatistics.from_proto, messages))
    return merged
