"""Between seconds and protobuf's time messages. Seconds of an instant count from the Unix epoch."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(seconds: float) -> Timestamp:
    """The instant, exact to the microsecond."""
    microseconds = round(seconds * 1_000_000)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def timestamp_or_none(seconds: float | None) -> Timestamp | None:
    """The instant, or nothing when it has not come."""
    return None if seconds is None else timestamp(seconds)


def duration(seconds: float) -> Duration:
    """The length of time, exact to the microsecond; never negative."""
    microseconds = max(0, round(seconds * 1_000_000))
    return Duration(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def duration_or_none(seconds: float | None) -> Duration | None:
    """The length of time, or nothing when there is none."""
    return None if seconds is None else duration(seconds)


def seconds_of(message: Timestamp | Duration) -> float:
    """Seconds of an instant or of a length of time."""
    return message.seconds + message.nanos / 1e9


def nanoseconds_of(message: Timestamp | Duration) -> int:
    """Nanoseconds of an instant or of a length of time, exactly."""
    return message.seconds * 1_000_000_000 + message.nanos
