"""What a reporter is, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class JobReport:
    """A finished job."""

    job_id: str
    document: Mapping[str, Any]
    """The result in the shape of ``hyperscale result --json``."""


class Reporter(Protocol):
    """Takes results somewhere. A failure is shown to the user and never changes how the job ended."""

    async def connect(self) -> None:
        """Get ready; called once, after the job has ended."""
        ...

    async def send(self, report: JobReport) -> None:
        """Take one result over."""
        ...

    async def close(self) -> None:
        """Finish; called also when `connect` or `send` failed."""
        ...


ReporterFactory = Callable[[str], Reporter]
"""Makes a reporter for the destination of ``--out name=destination``; what entry points of the group name."""
