"""Between seconds since the Unix epoch and protobuf's time messages."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_NANOSECONDS = 1_000_000_000


def timestamp(seconds: float) -> Timestamp:
    """The instant, exact to the microsecond."""
    microseconds = round(seconds * 1_000_000)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def seconds_of(message: Timestamp | Duration) -> float:
    """Seconds since the Unix epoch, or of the duration."""
    return message.seconds + message.nanos / _NANOSECONDS


def duration(seconds: float) -> Duration:
    """The length of time, exact to the microsecond; never negative."""
    microseconds = max(0, round(seconds * 1_000_000))
    return Duration(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)
