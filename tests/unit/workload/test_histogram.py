"""The histogram: bounded error, exact merging, faithful transport."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.histogram import (
    BUCKETS_PER_OCTAVE,
    MAX_COUNT,
    MAX_INDEX,
    MAX_VALUE,
    MIN_INDEX,
    Histogram,
    HistogramError,
    bucket_indexes,
)

MILLISECONDS = st.floats(min_value=1e-4, max_value=1e7, allow_nan=False)
SAMPLES = st.lists(st.one_of(st.just(0.0), MILLISECONDS), max_size=60)
PERCENTS = st.floats(min_value=0, max_value=100)


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.record_many(np.array(values, dtype=np.float64))
    return histogram


def merged(*histograms: Histogram) -> Histogram:
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


def nearest_rank(values: list[float], percent: float) -> float:
    rank = max(1, math.ceil(Fraction(repr(float(percent))) * len(values) / 100))
    return sorted(values)[rank - 1]


@pytest.mark.requirement("WORK.7")
@given(SAMPLES.filter(bool), PERCENTS)
def test_a_percentile_is_within_the_error_bound_of_the_true_one(values: list[float], percent: float) -> None:
    observed = histogram_of(values).percentile(percent)
    assert observed == pytest.approx(nearest_rank(values, percent), rel=0.0055, abs=0)


@pytest.mark.requirement("WORK.7")
def test_percentiles_of_a_large_known_distribution() -> None:
    values = np.random.default_rng(7).lognormal(3.0, 1.2, 200_000)
    histogram = Histogram()
    for part in np.array_split(values, 13):
        histogram.record_many(part)
    for percent in (1, 25, 50, 75, 90, 95, 99, 99.9, 99.99):
        exact = float(np.percentile(values, percent, method="inverted_cdf"))
        assert histogram.percentile(percent) == pytest.approx(exact, rel=0.0055)
    assert histogram.mean == pytest.approx(float(values.mean()), rel=1e-6)
    assert (histogram.percentile(0), histogram.percentile(100)) == (values.min(), values.max())


@pytest.mark.requirement("WORK.7", "AD-14.1")
@given(st.lists(SAMPLES, min_size=1, max_size=5))
def test_merging_parts_equals_one_big_histogram(parts: list[list[float]]) -> None:
    whole = histogram_of([value for part in parts for value in part])
    assert merged(*map(histogram_of, parts)) == whole


@pytest.mark.requirement("WORK.7", "AD-14.1")
@given(SAMPLES, SAMPLES, SAMPLES)
def test_merging_is_commutative_and_associative(first: list[float], second: list[float], third: list[float]) -> None:
    a, b, c = histogram_of(first), histogram_of(second), histogram_of(third)
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))


@given(SAMPLES)
def test_recording_one_by_one_equals_recording_at_once(values: list[float]) -> None:
    single = Histogram()
    for value in values:
        single.record(value)
    assert single == histogram_of(values)


@given(SAMPLES, SAMPLES)
def test_a_copy_changes_by_itself(values: list[float], more: list[float]) -> None:
    original = histogram_of(values)
    copied = original.copy()
    copied.record_many(np.array(more, dtype=np.float64))
    assert original == histogram_of(values)
    assert copied == histogram_of(values + more)


@given(SAMPLES)
def test_a_message_carries_everything(values: list[float]) -> None:
    histogram = histogram_of(values)
    message = pb.Histogram.FromString(histogram.to_proto().SerializeToString())
    received = Histogram.from_proto(message)
    assert received == histogram
    assert (received.count, received.sum, received.min, received.max) == (
        len(values),
        histogram.sum,
        min(values, default=0.0),
        max(values, default=0.0),
    )
    if message.counts:
        assert message.counts[0]
        assert message.counts[-1]


@pytest.mark.parametrize("exponent", range(-19, 40))
def test_boundaries_belong_to_the_bucket_below(exponent: int) -> None:
    boundary = 2.0**exponent
    values = np.array([np.nextafter(boundary, 0), boundary, np.nextafter(boundary, math.inf)])
    index = exponent * BUCKETS_PER_OCTAVE
    assert bucket_indexes(values).tolist() == [index - 1, index - 1, index]


@given(st.floats(min_value=2.0**-20, max_value=2.0**40, exclude_min=True))
def test_a_value_lies_within_its_bucket(value: float) -> None:
    index = int(bucket_indexes(np.array([value]))[0])
    # The boundary itself is a rounded power: one unit in the last place is its uncertainty.
    assert 2.0 ** (index / 64) * (1 - 2**-51) < value <= 2.0 ** ((index + 1) / 64) * (1 + 2**-51)


def test_values_outside_the_span_are_counted_at_its_ends() -> None:
    histogram = histogram_of([5e-324, 2.0**-30, 2.0**41, 1e308])
    message = histogram.to_proto()
    assert message.offset == MIN_INDEX
    assert message.offset + len(message.counts) - 1 == MAX_INDEX
    assert (message.counts[0], message.counts[-1]) == (2, 2)
    assert (histogram.count, histogram.min, histogram.max) == (4, 5e-324, MAX_VALUE)
    assert Histogram.from_proto(message) == histogram


@pytest.mark.parametrize("bad", [-1.0, -5e-324, math.nan, math.inf, -math.inf])
def test_a_bad_value_is_refused_and_nothing_of_its_batch_is_counted(bad: float) -> None:
    histogram = histogram_of([1.0, 2.0])
    with pytest.raises(HistogramError):
        histogram.record_many(np.array([3.0, bad, 4.0]))
    with pytest.raises(HistogramError):
        histogram.record(bad)
    assert histogram == histogram_of([1.0, 2.0])


def test_an_empty_histogram_is_all_zero() -> None:
    histogram = histogram_of([])
    assert (histogram.count, histogram.sum, histogram.mean, histogram.min, histogram.max) == (0, 0.0, 0.0, 0.0, 0.0)
    assert histogram.percentile(50) == 0.0
    assert Histogram.from_proto(pb.Histogram()) == histogram


def test_zeros_are_the_lowest_values() -> None:
    histogram = histogram_of([0.0] * 9 + [100.0])
    assert histogram.percentile(90) == 0.0
    assert histogram.percentile(91) == 100.0


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_a_percentile_outside_0_to_100_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        histogram_of([1.0]).percentile(percent)


def test_a_fractional_percentile_takes_the_exact_rank() -> None:
    values = [float(value) for value in range(1, 1001)]
    assert histogram_of(values).percentile(99.9) == pytest.approx(999.0, rel=0.0055)


def test_sums_beyond_the_exact_range_of_doubles_stay_exact_per_value() -> None:
    values = [2.0**39 + 1.0] * 1000
    assert histogram_of(values) == merged(*(histogram_of([value]) for value in values))


@pytest.mark.parametrize(
    "message",
    [
        pb.Histogram(offset=MIN_INDEX - 1, counts=[1], min=1, max=1, sum=1),
        pb.Histogram(offset=MAX_INDEX, counts=[1, 1], min=1, max=1, sum=1),
        pb.Histogram(zero_count=MAX_COUNT + 1),
        pb.Histogram(counts=[2**64 - 1], min=1, max=1, sum=1),
        pb.Histogram(counts=[1], min=2, max=1, sum=1),
        pb.Histogram(counts=[1], min=1, max=1, sum=math.nan),
        pb.Histogram(counts=[1], min=1, max=1, sum=math.inf),
        pb.Histogram(counts=[1], min=-1, max=1, sum=1),
        pb.Histogram(counts=[1], min=1, max=math.inf, sum=1),
    ],
)
def test_a_message_that_no_histogram_makes_is_refused(message: pb.Histogram) -> None:
    with pytest.raises(HistogramError):
        Histogram.from_proto(message)
