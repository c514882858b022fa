"""Which metrics there are and what can be asked of them.

Apart from the metrics' values, so that a job file is checked without loading numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class MetricKind(Enum):
    """What a metric is made of, and so which aggregations it has."""

    COUNTER = "counter"
    """Something that is counted: ``count``, and ``rate`` per second."""
    TREND = "trend"
    """Durations in milliseconds: ``avg``, ``min``, ``med``, ``max``, ``p(N)``."""
    SHARE = "share"
    """How often something was the case: ``rate`` from 0 to 1, and ``count``."""
    ONCE = "once"
    """What is counted, but done once and so at no rate: ``count``."""
    GAUGE = "gauge"
    """A level: ``value``."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """The aggregation ``p(percent)`` of a trend."""

    percent: float
    """From 0 to 100."""

    def __str__(self) -> str:
        return f"p({self.percent:g})"


class SimpleAggregation(Enum):
    """An aggregation without a parameter; the value is its name."""

    COUNT = "count"
    RATE = "rate"
    AVERAGE = "avg"
    MIN = "min"
    MEDIAN = "med"
    MAX = "max"
    VALUE = "value"

    def __str__(self) -> str:
        return self.value


Aggregation = SimpleAggregation | Percentile


class MetricLevel(Enum):
    """The smallest thing a metric is measured of."""

    STEP = "step"
    WORKFLOW = "workflow"


class MetricSection(Enum):
    """Part of the summary a metric is shown in; they are shown in this order."""

    CHECKS = "checks"
    CUSTOM = "custom"
    HTTP = "http"
    PROTOCOLS = "other protocols"
    EXECUTION = "execution"
    NETWORK = "network"


class MetricUnit(Enum):
    """What the values of a metric count."""

    NUMBER = "number"
    MILLISECONDS = "milliseconds"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """What is known of a metric without any measurement."""

    kind: MetricKind
    level: MetricLevel
    section: MetricSection
    unit: MetricUnit = MetricUnit.NUMBER


_HTTP_PHASE: Final = MetricEntry(MetricKind.TREND, MetricLevel.STEP, MetricSection.HTTP, MetricUnit.MILLISECONDS)

METRICS: Final[Mapping[str, MetricEntry]] = {
    "checks": MetricEntry(MetricKind.SHARE, MetricLevel.STEP, MetricSection.CHECKS),
    "http_reqs": MetricEntry(MetricKind.COUNTER, MetricLevel.STEP, MetricSection.HTTP),
    "http_req_duration": MetricEntry(MetricKind.TREND, MetricLevel.STEP, MetricSection.HTTP, MetricUnit.MILLISECONDS),
    "http_req_failed": MetricEntry(MetricKind.SHARE, MetricLevel.STEP, MetricSection.HTTP),
    "http_req_blocked": _HTTP_PHASE,
    "http_req_connecting": _HTTP_PHASE,
    "http_req_tls_handshaking": _HTTP_PHASE,
    "http_req_sending": _HTTP_PHASE,
    "http_req_waiting": _HTTP_PHASE,
    "http_req_receiving": _HTTP_PHASE,
    "iterations": MetricEntry(MetricKind.COUNTER, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
    "iteration_duration": MetricEntry(
        MetricKind.TREND, MetricLevel.WORKFLOW, MetricSection.EXECUTION, MetricUnit.MILLISECONDS
    ),
    "exceptions": MetricEntry(MetricKind.COUNTER, MetricLevel.STEP, MetricSection.EXECUTION),
    "dropped_iterations": MetricEntry(MetricKind.COUNTER, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
    "warm_up_requests": MetricEntry(MetricKind.COUNTER, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
    "setup_requests": MetricEntry(MetricKind.ONCE, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
    "teardown_requests": MetricEntry(MetricKind.ONCE, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
    "engine_lag_ms": MetricEntry(
        MetricKind.TREND, MetricLevel.WORKFLOW, MetricSection.EXECUTION, MetricUnit.MILLISECONDS
    ),
    "start_lag_ms": MetricEntry(
        MetricKind.TREND, MetricLevel.WORKFLOW, MetricSection.EXECUTION, MetricUnit.MILLISECONDS
    ),
    "generator_saturated": MetricEntry(MetricKind.SHARE, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
    "data_sent": MetricEntry(MetricKind.COUNTER, MetricLevel.STEP, MetricSection.NETWORK, MetricUnit.BYTES),
    "data_received": MetricEntry(MetricKind.COUNTER, MetricLevel.STEP, MetricSection.NETWORK, MetricUnit.BYTES),
    "vus": MetricEntry(MetricKind.GAUGE, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
    "vus_max": MetricEntry(MetricKind.GAUGE, MetricLevel.WORKFLOW, MetricSection.EXECUTION),
}
"""Every metric that any job may have, in the order in which they are shown. Where its values come from: `hyperscale.workload.metrics`."""

CALL_METRICS: Final[Mapping[str, MetricKind]] = {
    "reqs": MetricKind.COUNTER,
    "req_duration": MetricKind.TREND,
    "req_failed": MetricKind.SHARE,
}
"""What is measured of the calls of every protocol but HTTP, without the beginning of the names: the protocol."""


def _of_protocol(name: str, **measured: MetricKind) -> dict[str, MetricKind]:
    return {f"{name}_{metric}": kind for metric, kind in {**CALL_METRICS, **measured}.items()}


PROTOCOL_METRICS: Final[Mapping[str, Mapping[str, MetricKind]]] = {
    "grpc": _of_protocol(
        "grpc",
        connecting=MetricKind.TREND,
        streams=MetricKind.COUNTER,
        streams_msgs_sent=MetricKind.COUNTER,
        streams_msgs_received=MetricKind.COUNTER,
    ),
    "tcp": _of_protocol(
        "tcp",
        sockets=MetricKind.COUNTER,
        socket_connecting=MetricKind.TREND,
        reads=MetricKind.COUNTER,
        writes=MetricKind.COUNTER,
    ),
    "udp": _of_protocol("udp", datagrams_sent=MetricKind.COUNTER, datagrams_received=MetricKind.COUNTER),
    "ws": _of_protocol(
        "ws",
        connecting=MetricKind.TREND,
        msgs_sent=MetricKind.COUNTER,
        msgs_received=MetricKind.COUNTER,
        session_duration=MetricKind.TREND,
        sessions=MetricKind.COUNTER,
    ),
}
"""Metrics of the jobs that speak a protocol other than HTTP, by protocol; all of `MetricLevel.STEP`."""

_TREND_AGGREGATIONS: Final = (
    SimpleAggregation.AVERAGE,
    SimpleAggregation.MIN,
    SimpleAggregation.MEDIAN,
    SimpleAggregation.MAX,
)
AGGREGATIONS: Final[Mapping[MetricKind, tuple[Aggregation, ...]]] = {
    MetricKind.COUNTER: (SimpleAggregation.COUNT, SimpleAggregation.RATE),
    MetricKind.TREND: (*_TREND_AGGREGATIONS, Percentile(90), Percentile(95), Percentile(99)),
    MetricKind.SHARE: (SimpleAggregation.RATE, SimpleAggregation.COUNT),
    MetricKind.ONCE: (SimpleAggregation.COUNT,),
    MetricKind.GAUGE: (SimpleAggregation.VALUE,),
}
"""What is shown of a metric; a trend has any other percentile as well."""
