"""Metrics that are not known beforehand, in a form that adds up: those of protocols, and those that workflows measure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.histogram import Histogram

MAX_ERROR_SAMPLES: Final = 10
MAX_ERROR_TEXT_LENGTH: Final = 1000
MAX_ADDRESS_LENGTH: Final = 300

KeyT = TypeVar("KeyT", tuple[str, str], tuple[str, pb.ErrorClass.ValueType])


@dataclass(slots=True)
class CounterTotals:
    """How many."""

    count: int = 0

    def merge(self, other: CounterTotals) -> None:
        """Add another count."""
        self.count += other.count

    def fill(self, message: pb.MetricTotals) -> None:
        """Write the totals into a message."""
        message.counter = self.count


@dataclass(slots=True)
class RateTotals:
    """How often something was the case."""

    matching: int = 0
    total: int = 0

    def merge(self, other: RateTotals) -> None:
        """Add what was seen elsewhere."""
        self.matching += other.matching
        self.total += other.total

    def fill(self, message: pb.MetricTotals) -> None:
        """Write the totals into a message."""
        message.rate.CopyFrom(pb.RateTotals(matching=self.matching, total=self.total))


@dataclass(slots=True)
class TrendTotals:
    """A distribution of values."""

    values: Histogram = field(default_factory=Histogram)

    def merge(self, other: TrendTotals) -> None:
        """Add other values."""
        self.values.merge(other.values)

    def fill(self, message: pb.MetricTotals) -> None:
        """Write the totals into a message."""
        message.trend.CopyFrom(self.values.to_proto())


@dataclass(slots=True)
class GaugeTotals:
    """A level that is noted from time to time."""

    value: float = 0.0
    at_seconds: float = -math.inf
    """Wall clock of the value; before every time when there is none."""
    min: float = math.inf
    max: float = -math.inf

    def merge(self, other: GaugeTotals) -> None:
        """The later level stays; at the same time the higher one."""
        self.at_seconds, self.value = max((self.at_seconds, self.value), (other.at_seconds, other.value))
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)

    def fill(self, message: pb.MetricTotals) -> None:
        """Write the totals into a message."""
        message.gauge.CopyFrom(pb.GaugeTotals(value=self.value, at_seconds=self.at_seconds, min=self.min, max=self.max))


Totals = CounterTotals | RateTotals | TrendTotals | GaugeTotals


@dataclass(slots=True)
class TotalsByName:
    """Any number of metrics; the first use of a name decides its kind."""

    metrics: dict[str, Totals] = field(default_factory=dict)

    def count(self, name: str, amount: int) -> None:
        """Add to a counter."""
        self._merge_one(name, CounterTotals(amount))

    def see(self, name: str, *, matching: int, total: int) -> None:
        """Add to a rate."""
        self._merge_one(name, RateTotals(matching, total))

    def record(self, name: str, value: float) -> None:
        """Add a value to a trend. Raises ValueError for one that is not a number from 0."""
        totals = TrendTotals()
        totals.values.record(value)
        self._merge_one(name, totals)

    def record_many(self, name: str, values: list[float]) -> None:
        """Add values to a trend. Raises ValueError for one that is not a number from 0."""
        totals = TrendTotals()
        totals.values.record_many(np.array(values, dtype=np.float64))
        self._merge_one(name, totals)

    def note(self, name: str, value: float, at_seconds: float) -> None:
        """Take over the level of a gauge."""
        self.note_many(name, [value], at_seconds)

    def note_many(self, name: str, values: Sequence[float], at_seconds: float) -> None:
        """Take over levels of a gauge, at least one, of which the last one counts from then on."""
        self._merge_one(name, GaugeTotals(values[-1], at_seconds, min(values), max(values)))

    def merge(self, other: TotalsByName) -> None:
        """Add what was measured elsewhere. Raises ValueError when a metric has another kind there."""
        for name, totals in other.metrics.items():
            self._merge_one(name, totals)

    def to_proto(self) -> list[pb.MetricTotals]:
        """The messages, by name."""
        messages = []
        for name in sorted(self.metrics):
            message = pb.MetricTotals(name=name)
            self.metrics[name].fill(message)
            messages.append(message)
        return messages

    @staticmethod
    def from_proto(messages: list[pb.MetricTotals]) -> TotalsByName:
        """The metrics of messages. Raises ValueError when they contradict one another."""
        merged = TotalsByName()
        for message in messages:
            merged._merge_one(message.name, _totals_of(message))
        return merged

    def _merge_one(self, name: str, totals: Totals) -> None:
        mine = self.metrics.get(name)
        if mine is None:
            mine = self.metrics[name] = type(totals)()
        match mine, totals:
            case CounterTotals(), CounterTotals():
                mine.merge(totals)
            case RateTotals(), RateTotals():
                mine.merge(totals)
            case TrendTotals(), TrendTotals():
                mine.merge(totals)
            case GaugeTotals(), GaugeTotals():
                mine.merge(totals)
            case _:
                raise ValueError(f"metric {name!r} is of two kinds")


def _totals_of(message: pb.MetricTotals) -> Totals:
    match message.WhichOneof("totals"):
        case "counter":
            return CounterTotals(message.counter)
        case "rate":
            return RateTotals(message.rate.matching, message.rate.total)
        case "trend":
            return TrendTotals(Histogram.from_proto(message.trend))
        case "gauge":
            gauge = message.gauge
            return GaugeTotals(gauge.value, gauge.at_seconds, gauge.min, gauge.max)
        case None:
            raise ValueError(f"metric {message.name!r} has no totals")


@dataclass(slots=True)
class ProtocolStatistics:
    """Calls of one step over one protocol that is not HTTP."""

    total_count: int = 0
    """Calls made or tried, failed ones included."""
    failures: Counter[pb.ErrorClass.ValueType] = field(default_factory=Counter)
    duration_ms: Histogram = field(default_factory=Histogram)
    """Of calls that did not fail."""
    metrics: TotalsByName = field(default_factory=TotalsByName)

    @property
    def failed_count(self) -> int:
        """Failed calls of every class."""
        return self.failures.total()

    def merge(self, other: ProtocolStatistics) -> None:
        """Add what was measured elsewhere."""
        self.total_count += other.total_count
        self.failures.update(other.failures)
        self.duration_ms.merge(other.duration_ms)
        self.metrics.merge(other.metrics)

    def to_proto(self, protocol: str) -> pb.ProtocolStats:
        """The message."""
        return pb.ProtocolStats(
            protocol=protocol,
            total_count=self.total_count,
            failures=[
                pb.ErrorCount(error_class=error_class, count=count)
                for error_class, count in sorted(self.failures.items())
                if count
            ],
            duration_ms=self.duration_ms.to_proto(),
            metrics=self.metrics.to_proto(),
        )

    @staticmethod
    def from_proto(message: pb.ProtocolStats) -> ProtocolStatistics:
        """The measurement of a message. Raises ValueError when it is not one."""
        failures: Counter[pb.ErrorClass.ValueType] = Counter()
        for entry in message.failures:
            failures[entry.error_class] += entry.count
        return ProtocolStatistics(
            total_count=message.total_count,
            failures=failures,
            duration_ms=Histogram.from_proto(message.duration_ms),
            metrics=TotalsByName.from_proto(list(message.metrics)),
        )


@dataclass(slots=True)
class ErrorSamples:
    """What went wrong in code, and how often: the first few by step and text, so that merging is exact in any order."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By step and text."""

    def note(self, step_name: str, text: str) -> None:
        """Something went wrong."""
        self.counts[step_name, text[:MAX_ERROR_TEXT_LENGTH]] += 1
        _keep_first(self.counts)

    def merge(self, other: ErrorSamples) -> None:
        """Add what went wrong elsewhere."""
        self.counts.update(other.counts)
        _keep_first(self.counts)

    def to_proto(self) -> list[pb.ErrorSample]:
        """The messages, by step and text."""
        return [
            pb.ErrorSample(step_name=step_name, text=text, count=self.counts[step_name, text])
            for step_name, text in sorted(self.counts)
        ]

    @staticmethod
    def from_proto(messages: list[pb.ErrorSample]) -> ErrorSamples:
        """The samples of messages."""
        samples = ErrorSamples()
        for message in messages:
            samples.counts[message.step_name, message.text[:MAX_ERROR_TEXT_LENGTH]] += message.count
        _keep_first(samples.counts)
        return samples


@dataclass(slots=True)
class UnreachableAddresses:
    """To where requests found no connection, and how many: the first few by address and class, exact like `ErrorSamples`."""

    counts: Counter[tuple[str, pb.ErrorClass.ValueType]] = field(default_factory=Counter)
    """By address and class."""

    def note(self, address: str, error_class: pb.ErrorClass.ValueType) -> None:
        """A request found no connection."""
        self.counts[address[:MAX_ADDRESS_LENGTH], error_class] += 1
        _keep_first(self.counts)

    def merge(self, other: UnreachableAddresses) -> None:
        """Add what happened elsewhere."""
        self.counts.update(other.counts)
        _keep_first(self.counts)

    def to_proto(self) -> list[pb.UnreachableAddress]:
        """The messages, by address and class."""
        return [
            pb.UnreachableAddress(address=address, error_class=error_class, count=self.counts[address, error_class])
            for address, error_class in sorted(self.counts)
        ]

    @staticmethod
    def from_proto(messages: list[pb.UnreachableAddress]) -> UnreachableAddresses:
        """The addresses of messages."""
        found = UnreachableAddresses()
        for message in messages:
            found.counts[message.address[:MAX_ADDRESS_LENGTH], message.error_class] += message.count
        _keep_first(found.counts)
        return found


def _keep_first(counts: Counter[KeyT]) -> None:
    for key in sorted(counts)[MAX_ERROR_SAMPLES:]:
        del counts[key]
