"""What metrics are made of: counts, shares, levels and distributions that add up, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyperscale.workload.histogram import Histogram
from hyperscale.workload.metric_catalogue import Aggregation, MetricKind, Percentile, SimpleAggregation
from hyperscale.workload.totals import CounterTotals, GaugeTotals, RateTotals, Totals, TrendTotals


@dataclass(frozen=True, slots=True)
class Share:
    """How often something was the case."""

    part: int
    whole: int


Sample = int | Share | Histogram | GaugeTotals
"""A count or a number of things that are there, a share, a distribution, or a level. Samples of one metric add up."""


def sample_of(totals: Totals) -> Sample:
    """What a metric that is not known beforehand is made of."""
    match totals:
        case CounterTotals():
            return totals.count
        case RateTotals():
            return Share(totals.matching, totals.total)
        case TrendTotals():
            return totals.values
        case GaugeTotals():
            return totals


def kind_of(sample: Sample) -> MetricKind:
    """The kind of a metric that is not known beforehand."""
    match sample:
        case int():
            return MetricKind.COUNTER
        case Share():
            return MetricKind.SHARE
        case Histogram():
            return MetricKind.TREND
        case GaugeTotals():
            return MetricKind.GAUGE


def sum_of(samples: Sequence[Sample]) -> Sample | None:
    """The sum; None when there is none. What is of another kind than the first one is left out."""
    match samples:
        case []:
            return None
        case [only]:
            return only
        case [Histogram(), *_]:
            return _merged_histogram([sample for sample in samples if isinstance(sample, Histogram)])
        case [GaugeTotals(), *_]:
            return _merged_gauge([sample for sample in samples if isinstance(sample, GaugeTotals)])
        case [Share(), *_]:
            shares = [sample for sample in samples if isinstance(sample, Share)]
            return Share(sum(share.part for share in shares), sum(share.whole for share in shares))
        case _:
            return sum(sample for sample in samples if isinstance(sample, int))


def value_of(sample: Sample, kind: MetricKind, aggregation: Aggregation, elapsed_seconds: float) -> float | None:
    """One aggregation of a sample; None for a share of nothing and for a distribution without any value.

    Raises ValueError for an aggregation that the kind does not have.
    """
    match sample:
        case Histogram():
            return _trend_value(sample, aggregation) if sample.count else None
        case Share():
            return _share_value(sample, aggregation) if sample.whole else None
        case GaugeTotals():
            return _gauge_value(sample.value, aggregation)
        case int() if kind is MetricKind.GAUGE:
            return _gauge_value(sample, aggregation)
        case int():
            return _counter_value(sample, aggregation, elapsed_seconds)


def _merged_histogram(histograms: Sequence[Histogram]) -> Histogram:
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    return merged


def _merged_gauge(gauges: Sequence[GaugeTotals]) -> GaugeTotals:
    merged = GaugeTotals()
    for gauge in gauges:
        merged.merge(gauge)
    return merged


def _counter_value(count: int, aggregation: Aggregation, elapsed_seconds: float) -> float:
    match aggregation:
        case SimpleAggregation.COUNT:
            return float(count)
        case SimpleAggregation.RATE:
            return count / elapsed_seconds if elapsed_seconds > 0 else 0.0
        case _:
            raise ValueError(f"a counter has no {aggregation}")


def _share_value(share: Share, aggregation: Aggregation) -> float:
    match aggregation:
        case SimpleAggregation.COUNT:
            return float(share.part)
        case SimpleAggregation.RATE:
            return share.part / share.whole
        case _:
            raise ValueError(f"a share has no {aggregation}")


def _gauge_value(level: float, aggregation: Aggregation) -> float:
    if aggregation is not SimpleAggregation.VALUE:
        raise ValueError(f"a gauge has no {aggregation}")
    return float(level)


def _trend_value(histogram: Histogram, aggregation: Aggregation) -> float:
    match aggregation:
        case Percentile(percent):
            return histogram.percentile(percent)
        case SimpleAggregation.AVERAGE:
            return histogram.mean
        case SimpleAggregation.MIN:
            return histogram.min
        case SimpleAggregation.MEDIAN:
            return histogram.percentile(50)
        case SimpleAggregation.MAX:
            return histogram.max
        case _:
            raise ValueError(f"a trend has no {aggregation}")
