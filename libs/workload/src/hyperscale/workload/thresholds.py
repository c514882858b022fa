"""Conditions on merged metrics, for example ``http_req_duration: p(95) < 300ms``."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hyperscale.workload.metric_catalogue import (
    AGGREGATIONS,
    METRICS,
    Aggregation,
    MetricKind,
    MetricValueSource,
    Percentile,
    SimpleAggregation,
)

MAX_EXPRESSION_LENGTH: Final = 128

_EXPRESSION: Final = re.compile(
    r"\s*(?P<aggregation>[a-z]+)\s*(?:\(\s*(?P<percent>\d+(?:\.\d+)?)\s*\))?"
    r"\s*(?P<comparison><=|>=|==|!=|<|>)"
    r"\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Zµ%]*)\s*",
    re.ASCII,
)
_MILLISECONDS: Final[Mapping[str, float]] = {
    "": 1.0,
    "us": 0.001,
    "µs": 0.001,
    "ms": 1.0,
    "s": 1000.0,
    "m": 60_000.0,
    "h": 3_600_000.0,
}
_PLAIN: Final[Mapping[str, float]] = {"": 1.0}
_FACTORS: Final[Mapping[MetricKind, Mapping[str, float]]] = {
    MetricKind.TREND: _MILLISECONDS,
    MetricKind.SHARE: {"": 1.0, "%": 0.01},
    MetricKind.COUNTER: _PLAIN,
    MetricKind.GAUGE: _PLAIN,
}


class ThresholdSyntaxError(ValueError):
    """A threshold that cannot be read; the message says what would be valid."""


class UnknownMetricError(ThresholdSyntaxError):
    """A threshold on a metric that does not exist."""


class Comparison(Enum):
    """How the observed value must stand to the limit."""

    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    EQUAL = "=="
    NOT_EQUAL = "!="


_HOLDS: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    Comparison.LESS: operator.lt,
    Comparison.LESS_OR_EQUAL: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.GREATER_OR_EQUAL: operator.ge,
    Comparison.EQUAL: operator.eq,
    Comparison.NOT_EQUAL: operator.ne,
}


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """A threshold that was read: `aggregation` of `metric` stands in `comparison` to `limit`."""

    metric: str
    aggregation: Aggregation
    comparison: Comparison
    limit: float
    """In the unit of the metric: milliseconds, a share from 0 to 1, a number, or a number per second."""

    def evaluate(self, source: MetricValueSource) -> tuple[float, bool]:
        """Value observed, and whether the condition holds. Without any sample it does not, and 0 is returned."""
        observed = source.aggregate(self.metric, self.aggregation)
        if observed is None:
            return 0.0, False
        return observed, _HOLDS[self.comparison](observed, self.limit)


def parse_threshold(metric: str, expression: str) -> ThresholdRule:
    """Read a threshold.

    Durations without a unit are milliseconds; ``rate < 1%`` and ``rate < 0.01`` are the same. Raises UnknownMetricError
    or ThresholdSyntaxError.
    """
    known = METRICS.get(metric)
    if known is None:
        raise UnknownMetricError(_unknown_metric(metric))
    kind = known.kind
    parsed = _EXPRESSION.fullmatch(expression) if len(expression) <= MAX_EXPRESSION_LENGTH else None
    if parsed is None:
        raise ThresholdSyntaxError(
            f"must be an aggregation, a comparison and a limit, such as {_example(kind)!r}; "
            f"{metric} has {_valid_aggregations(kind)}"
        )
    return ThresholdRule(
        metric=metric,
        aggregation=_aggregation(metric, kind, parsed["aggregation"], parsed["percent"]),
        comparison=Comparison(parsed["comparison"]),
        limit=float(parsed["limit"]) * _factor(metric, kind, parsed["unit"]),
    )


def _aggregation(metric: str, kind: MetricKind, name: str, percent: str | None) -> Aggregation:
    if name == "p" and percent is not None and kind is MetricKind.TREND:
        if float(percent) > 100:
            raise ThresholdSyntaxError(f"a percentile is from p(0) to p(100), not p({percent})")
        return Percentile(float(percent))
    simple = {str(known): known for known in AGGREGATIONS[kind] if isinstance(known, SimpleAggregation)}
    if percent is not None or name not in simple:
        asked = name if percent is None else f"{name}({percent})"
        raise ThresholdSyntaxError(f"{metric} has no {asked!r}, only {_valid_aggregations(kind)}")
    return simple[name]


def _factor(metric: str, kind: MetricKind, unit: str) -> float:
    factors = _FACTORS[kind]
    if unit in factors:
        return factors[unit]
    units = ", ".join(repr(known) for known in factors if known)
    valid = f"its units are {units}" if units else "it takes a plain number"
    raise ThresholdSyntaxError(f"{metric} has no unit {unit!r}; {valid}")


def _valid_aggregations(kind: MetricKind) -> str:
    names = [str(known) for known in AGGREGATIONS[kind] if isinstance(known, SimpleAggregation)]
    return ", ".join([*names, "p(N)"] if kind is MetricKind.TREND else names)


def _example(kind: MetricKind) -> str:
    examples = {
        MetricKind.TREND: "p(95) < 300ms",
        MetricKind.SHARE: "rate < 1%",
        MetricKind.COUNTER: "count >= 1000",
        MetricKind.GAUGE: "value > 10",
    }
    return examples[kind]


def _unknown_metric(metric: str) -> str:
    close = difflib.get_close_matches(metric[:MAX_EXPRESSION_LENGTH], METRICS, n=1)
    suggestion = f" (did you mean {close[0]!r}?)" if close else ""
    return f"no metric {metric[:MAX_EXPRESSION_LENGTH]!r}{suggestion}; there are {', '.join(METRICS)}"
