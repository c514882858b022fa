"""What may be said of a job besides its file; apart from the reading of job files, which needs much more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class JobOverrides:
    """What is said of a job outside of its file, and wins over it."""

    target: str | None = None
    """Base URL that replaces the file's, where given."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values of variables by name."""
