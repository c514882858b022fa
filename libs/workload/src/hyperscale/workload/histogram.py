"""Distribution of measured values: OpenTelemetry's exponential histogram at scale 6.

Bucket i holds values in (2^(i/64), 2^((i+1)/64)]. A value's bucket is found in its bits alone, without a logarithm, so
that a value on a boundary always falls on the same side. A percentile within the span, answered by the geometric middle
of its bucket, is off by at most 2^(1/128) - 1, which is 0.543 %. Counts and sums are whole numbers: merging is exact in
any order.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hyperscale.v1 import statistics_pb2 as pb

SCALE: Final = 6
BUCKETS_PER_OCTAVE: Final = 2**SCALE

MIN_EXPONENT: Final = -20
MAX_EXPONENT: Final = 40
MIN_INDEX: Final = MIN_EXPONENT * BUCKETS_PER_OCTAVE
"""Lowest bucket; it also takes every smaller value above 0."""
MAX_INDEX: Final = MAX_EXPONENT * BUCKETS_PER_OCTAVE - 1
"""Highest bucket."""
MAX_VALUE: Final = 2.0**MAX_EXPONENT
"""Larger values are recorded as this one: in milliseconds, 35 years."""
MAX_COUNT: Final = 2**53
"""Most values per bucket that a received histogram may claim."""

_SUM_UNITS: Final = 2.0**20
"""Sums are kept in units of 2^-20: the spacing at which sums up to 2^33 travel in a double without loss."""
_EXACT_DOUBLE: Final = 2.0**53
_CELL_SHIFT: Final = 52 - 7
"""Cells are the top 7 bits of the mantissa: 1/128 of an octave's start is less than a bucket, so a cell is cut at most once."""

Counts = NDArray[np.int64]


class HistogramError(ValueError):
    """A value or a message that no histogram can hold."""


def _bits(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bit patterns; those of positive doubles are ordered as the doubles are."""
    return values.view(np.int64)


def _cells() -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """First cell number; per cell, the bucket below its boundary and the bits of that boundary."""
    octaves = np.arange(MIN_EXPONENT, MAX_EXPONENT)
    mantissas = np.array([2.0 ** (step / BUCKETS_PER_OCTAVE) for step in range(BUCKETS_PER_OCTAVE)])
    boundaries = _bits((mantissas[np.newaxis, :] * np.exp2(octaves)[:, np.newaxis]).ravel())
    first = int(boundaries[0] >> _CELL_SHIFT)
    last = int(_bits(np.array([MAX_VALUE]))[0] >> _CELL_SHIFT)
    starts = np.arange(first, last + 1, dtype=np.int64) << _CELL_SHIFT
    below = np.searchsorted(boundaries, starts, side="left")
    cut = np.append(boundaries, np.iinfo(np.int64).max)[below]
    return first, below.astype(np.int64) + MIN_INDEX - 1, cut


_FIRST_CELL, _BELOW, _CUT = _cells()


def bucket_indexes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bucket of each value; values must be above 0 and at most `MAX_VALUE`."""
    bits = _bits(values)
    cells = (bits >> _CELL_SHIFT) - _FIRST_CELL
    np.maximum(cells, 0, out=cells)
    indexes: NDArray[np.int64] = _BELOW[cells] + (bits > _CUT[cells])
    np.maximum(indexes, MIN_INDEX, out=indexes)
    return indexes


class Histogram:
    """Values counted in exponential buckets. Memory follows the range of the values, at most 3840 buckets."""

    __slots__ = ("_count", "_counts", "_max", "_min", "_offset", "_sum_units", "_zero_count")

    def __init__(self) -> None:
        self._zero_count = 0
        self._count = 0
        self._offset = 0
        self._counts: Counts = np.zeros(0, dtype=np.int64)
        self._sum_units = 0
        self._min = math.inf
        self._max = -math.inf

    @property
    def count(self) -> int:
        """Number of values."""
        return self._count

    @property
    def sum(self) -> float:
        """Sum of all values, each rounded to 2^-20."""
        return self._sum_units / _SUM_UNITS

    @property
    def min(self) -> float:
        """Smallest value; 0 when there is none."""
        return self._min if self._count else 0.0

    @property
    def max(self) -> float:
        """Largest value; 0 when there is none."""
        return self._max if self._count else 0.0

    @property
    def mean(self) -> float:
        """Arithmetic mean; 0 when there is no value."""
        return self.sum / self._count if self._count else 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.to_proto() == other.to_proto()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Histogram(count={self._count}, min={self.min}, mean={self.mean}, max={self.max})"

    def record(self, value: float) -> None:
        """Count one value. Raises HistogramError for a negative or not finite one."""
        self.record_many(np.array([value], dtype=np.float64))

    def record_zeros(self, count: int) -> None:
        """Count so many values of exactly zero."""
        if count > 0:
            self._zero_count += count
            self._count += count
            self._min = 0.0
            self._max = max(self._max, 0.0)

    def record_many(self, values: NDArray[np.float64]) -> None:
        """Count all values, or none of them: raises HistogramError when one is negative or not finite."""
        if not values.size:
            return
        smallest, largest = float(values.min()), float(values.max())
        if not (smallest >= 0.0 and largest < math.inf):
            raise HistogramError("values must be finite and not negative")
        bounded = np.minimum(values, MAX_VALUE) if largest > MAX_VALUE else values
        largest = min(largest, MAX_VALUE)
        positive = np.ascontiguousarray(bounded if smallest > 0.0 else bounded[bounded > 0.0], dtype=np.float64)
        if positive.size:
            indexes = bucket_indexes(positive)
            offset = int(indexes.min())
            self._add_counts(offset, np.bincount(indexes - offset))
            self._sum_units += _sum_units(positive, largest)
        self._zero_count += values.size - positive.size
        self._count += values.size
        self._min = min(self._min, smallest, MAX_VALUE)
        self._max = max(self._max, largest)

    def merge(self, other: Histogram) -> None:
        """Add the values of another histogram to this one."""
        if not other._count:
            return
        self._add_counts(other._offset, other._counts)
        self._zero_count += other._zero_count
        self._count += other._count
        self._sum_units += other._sum_units
        self._min = min(self._min, other._min)
        self._max = max(self._max, other._max)

    def copy(self) -> Histogram:
        """A histogram with the same values that changes by itself."""
        copied = Histogram()
        copied.merge(self)
        return copied

    def percentile(self, percent: float) -> float:
        """Value that `percent` of the values do not exceed, by nearest rank; 0 when there is none.

        Parameters
        ----------
        percent
            From 0 to 100: 99.9 asks for p(99.9). 0 and 100 are the exact minimum and maximum.
        """
        if not 0.0 <= percent <= 100.0:
            raise ValueError(f"percent must be from 0 to 100, not {percent}")
        if not self._count or percent == 0.0:
            return self.min
        rank = math.ceil(Fraction(repr(float(percent))) * self._count / 100)
        if rank >= self._count:
            return self._max
        if rank <= self._zero_count:
            return 0.0
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank - self._zero_count, side="left"))
        middle: float = 2.0 ** ((self._offset + bucket + 0.5) / BUCKETS_PER_OCTAVE)
        return min(max(middle, self._min), self._max)

    def to_proto(self) -> pb.Histogram:
        """The message; without leading and trailing empty buckets."""
        message = pb.Histogram(zero_count=self._zero_count, sum=self.sum, min=self.min, max=self.max)
        used = np.flatnonzero(self._counts)
        if used.size:
            message.offset = self._offset + int(used[0])
            message.counts.extend(self._counts[used[0] : used[-1] + 1].tolist())
        return message

    @staticmethod
    def from_proto(message: pb.Histogram) -> Histogram:
        """The histogram of a message. Raises HistogramError for one that `to_proto` cannot have made."""
        buckets = message.counts
        if buckets and not MIN_INDEX <= message.offset <= message.offset + len(buckets) - 1 <= MAX_INDEX:
            raise HistogramError(f"buckets must be within {MIN_INDEX} to {MAX_INDEX}")
        if max(message.zero_count, max(buckets, default=0)) > MAX_COUNT:
            raise HistogramError(f"a bucket counts more than {MAX_COUNT} values")
        histogram = Histogram()
        histogram._zero_count = message.zero_count
        histogram._offset = message.offset if buckets else 0
        histogram._counts = np.array(buckets, dtype=np.int64)
        histogram._count = message.zero_count + int(histogram._counts.sum())
        if not histogram._count:
            return Histogram()
        if not (0.0 <= message.min <= message.max <= MAX_VALUE and 0.0 <= message.sum < math.inf):
            raise HistogramError("min, max and sum must be finite, not negative, and in order")
        histogram._sum_units = round(message.sum * _SUM_UNITS)
        histogram._min, histogram._max = message.min, message.max
        return histogram

    def _add_counts(self, offset: int, counts: Counts) -> None:
        """Add counts that start at bucket `offset`; they are never kept, only copied."""
        if not counts.size:
            return
        if not self._counts.size:
            self._offset, self._counts = offset, counts.astype(np.int64)
            return
        start = min(self._offset, offset)
        end = max(self._offset + self._counts.size, offset + counts.size)
        if end - start > self._counts.size:
            grown = np.zeros(end - start, dtype=np.int64)
            grown[self._offset - start : self._offset - start + self._counts.size] = self._counts
            self._offset, self._counts = start, grown
        self._counts[offset - start : offset - start + counts.size] += counts


def _sum_units(values: NDArray[np.float64], largest: float) -> int:
    """Exact sum of the values, each rounded to a whole number of units."""
    units = np.rint(values * _SUM_UNITS)
    if largest * _SUM_UNITS * values.size < _EXACT_DOUBLE:
        return int(units.sum())
    return sum(int(unit) for unit in units.tolist())
