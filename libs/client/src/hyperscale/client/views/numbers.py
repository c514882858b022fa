"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_KIB: Final = 1024.0
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def duration_text(milliseconds: float) -> str:
    """``0s``, ``950µs``, ``12.34ms``, ``1.50s`` or ``2m03s``."""
    if not milliseconds:
        return "0s"
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f}µs"
    if milliseconds < 1000:
        return f"{milliseconds:.2f}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.2f}s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes}m{seconds:02d}s"


def clock_text(seconds: float) -> str:
    """``0:07`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bytes_text(count: float) -> str:
    """``512 B`` or ``1.50 MiB``."""
    for unit in _UNITS:
        if count < _KIB or unit == _UNITS[-1]:
            break
        count /= _KIB
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.2f} {unit}"


def count_text(count: float) -> str:
    """``12,345``."""
    return f"{count:,.0f}"


def share_text(share: float) -> str:
    """A share from 0 to 1 as ``1.25%``."""
    return f"{share * 100:.2f}%"


def value_of(metrics: Mapping[str, Mapping[str, float]], metric: str, key: str) -> float:
    """One value; 0 when the metric has no sample yet."""
    return metrics.get(metric, {}).get(key, 0.0)


def trend_text(durations_ms: Mapping[str, float], key: str) -> str:
    """One of the durations, or ``-`` when there is no sample."""
    value = durations_ms.get(key)
    return duration_text(value) if value is not None else "-"
