"""Between seconds since the Unix epoch and protobuf's timestamps."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(seconds: float) -> Timestamp:
    """The instant, exact to the microsecond."""
    microseconds = round(seconds * 1_000_000)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def timestamp_or_none(seconds: float | None) -> Timestamp | None:
    """The instant, or nothing when it has not come."""
    return None if seconds is None else timestamp(seconds)


def seconds_of(message: Timestamp) -> float:
    """Seconds since the Unix epoch."""
    return message.seconds + message.nanos / 1e9
