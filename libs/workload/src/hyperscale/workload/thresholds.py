"""Conditions on merged metrics, for example ``http_req_duration{step:login}: p(95) < 300ms``.

Limits are read exactly and rounded once, as the observed values are: a share of exactly 7 % is not below 7 %.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Final, Protocol

from hyperscale.workload.metric_catalogue import (
    AGGREGATIONS,
    METRICS,
    Aggregation,
    MetricKind,
    Percentile,
    SimpleAggregation,
)
from hyperscale.workload.metric_selector import MetricSelector, parse_selector

MAX_EXPRESSION_LENGTH: Final = 128

_EXPRESSION: Final = re.compile(
    r"\s*(?P<aggregation>[a-z]+)\s*(?:\(\s*(?P<percent>\d+(?:\.\d+)?)\s*\))?"
    r"\s*(?P<comparison><=|>=|==|!=|<|>)"
    r"\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Zµ%]*)\s*",
    re.ASCII,
)
_MILLISECONDS: Final[Mapping[str, Fraction]] = {
    "": Fraction(1),
    "us": Fraction(1, 1000),
    "µs": Fraction(1, 1000),
    "ms": Fraction(1),
    "s": Fraction(1000),
    "m": Fraction(60_000),
    "h": Fraction(3_600_000),
}
_PLAIN: Final[Mapping[str, Fraction]] = {"": Fraction(1)}
_FACTORS: Final[Mapping[MetricKind, Mapping[str, Fraction]]] = {
    MetricKind.TREND: _MILLISECONDS,
    MetricKind.SHARE: {"": Fraction(1), "%": Fraction(1, 100)},
    MetricKind.COUNTER: _PLAIN,
    MetricKind.ONCE: _PLAIN,
    MetricKind.GAUGE: _PLAIN,
}
_NO_METRICS: Final[Mapping[str, MetricKind | None]] = {}
_KINDS: Final[Mapping[str, MetricKind]] = {
    "count": MetricKind.COUNTER,
    "rate": MetricKind.SHARE,
    "value": MetricKind.GAUGE,
}
"""What a metric of an unknown kind is taken for: a kind that has the aggregation."""


class ThresholdSyntaxError(ValueError):
    """A threshold that cannot be read; the message says what would be valid."""


class MetricValueSource(Protocol):
    """Where an aggregation of a metric is asked."""

    def aggregate(self, selector: MetricSelector, aggregation: Aggregation) -> float | None:
        """One value of a metric; None when the metric has no sample."""
        ...


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
    """A threshold that was read: `aggregation` of the metric stands in `comparison` to `limit`."""

    selector: MetricSelector
    aggregation: Aggregation
    comparison: Comparison
    limit: float
    """In the unit of the metric: milliseconds, a share from 0 to 1, a number, or a number per second."""

    def evaluate(self, source: MetricValueSource) -> tuple[float | None, bool]:
        """Value observed, and whether the condition holds. Without any sample there is no value, and it does not hold."""
        observed = source.aggregate(self.selector, self.aggregation)
        if observed is None:
            return None, False
        return observed, _HOLDS[self.comparison](observed, self.limit)


def parse_threshold(metric: str, expression: str, own: Mapping[str, MetricKind | None] = _NO_METRICS) -> ThresholdRule:
    """Read a threshold.

    Durations without a unit are milliseconds; ``rate < 1%`` and ``rate < 0.01`` are the same. Raises MetricSelectorError
    for the metric, ThresholdSyntaxError for the expression.

    Parameters
    ----------
    own
        Kinds of metrics that not every job has, as far as they are known: these are held to what their kind has.
    """
    selector = parse_selector(metric)
    parsed = _EXPRESSION.fullmatch(expression) if len(expression) <= MAX_EXPRESSION_LENGTH else None
    name = selector.metric
    known = METRICS[name].kind if name in METRICS else own.get(name)
    kind = known or _KINDS.get(parsed["aggregation"] if parsed else "", MetricKind.TREND)
    if parsed is None:
        raise ThresholdSyntaxError(
            f"must be an aggregation, a comparison and a limit, such as {_example(kind)!r}; "
            f"{name} has {_valid_aggregations(kind)}"
        )
    aggregation = _aggregation(name, kind, parsed["aggregation"], parsed["percent"])
    limit = float(Fraction(parsed["limit"]) * _factor(name, kind, parsed["unit"]))
    if known is MetricKind.SHARE and aggregation is SimpleAggregation.RATE and limit > 1:
        raise ThresholdSyntaxError(_beyond_all(name, parsed["limit"], parsed["unit"]))
    return ThresholdRule(selector, aggregation, Comparison(parsed["comparison"]), limit)


def _beyond_all(metric: str, limit: str, unit: str) -> str:
    """A share that is compared with more than everything is always below it: a percent sign is missing, most likely."""
    advice = f"; did you mean {limit}%?" if not unit and float(limit) <= 100 else ""
    return f"rates of {metric} are between 0 and 1 (0% and 100%), not {limit}{unit}{advice}"


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


def _factor(metric: str, kind: MetricKind, unit: str) -> Fraction:
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
        MetricKind.ONCE: "count == 1",
        MetricKind.GAUGE: "value > 10",
    }
    return examples[kind]
