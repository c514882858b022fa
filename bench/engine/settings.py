"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The same for all rows."""

    rounds: int
    seconds: float
    """Of one run of one generator."""
    locust: Path | None
    """The command; None when it could not be installed."""
