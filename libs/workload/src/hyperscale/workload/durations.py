"""Durations as people write them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from google.protobuf.duration_pb2 import Duration

MAX_DURATION_LENGTH: Final = 64
"""Characters of the longest text that is read as a duration."""
MAX_SECONDS: Final = 315_576_000_000
"""Limit of the message: 10,000 years."""

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?P<sign>-?)(?P<parts>(?:{_PART.pattern})+)", re.ASCII)
_UNIT_SECONDS: Final = {
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
    "us": Fraction(1, 1_000_000),
    "ns": Fraction(1, 1_000_000_000),
}


class DurationSyntaxError(ValueError):
    """A text that is no duration; the message shows what one looks like."""


def parse_duration(text: object, duration: Duration) -> None:
    """Set a duration from a text such as ``30s``, ``500ms``, ``1.5s``, ``1m30s`` or ``2h``; exact to the nanosecond."""
    if not isinstance(text, str):
        unit = f": write '{text:g}s'" if isinstance(text, int | float) and not isinstance(text, bool) else ""
        raise DurationSyntaxError(f"must be a duration with a unit, such as '30s'{unit}")
    whole = _WHOLE.fullmatch(text) if len(text) <= MAX_DURATION_LENGTH else None
    if whole is None:
        raise DurationSyntaxError(
            f"must be a duration such as '30s', '500ms', '1m30s' or '2h', not {text[:MAX_DURATION_LENGTH]!r}"
        )
    seconds = sum(
        (Fraction(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(whole["parts"])), Fraction()
    )
    if whole["sign"] and seconds:
        raise DurationSyntaxError("must not be negative")
    if seconds > MAX_SECONDS:
        raise DurationSyntaxError("is longer than 10,000 years")
    duration.seconds, duration.nanos = divmod(int(seconds * 1_000_000_000), 1_000_000_000)
