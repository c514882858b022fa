"""What every live view offers."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from hyperscale.v1.gate_service_pb2 import JobEvent
from hyperscale.v1.job_pb2 import GlobalJobResult


class JobView(Protocol):
    """Shows one job from its submission to its end; a context manager around the time in which it is on screen."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def submitted(self, job_id: str) -> None:
        """The job has been accepted."""
        ...

    def happened(self, event: JobEvent) -> None:
        """Something happened to the job."""
        ...

    def noted(self, message: str) -> None:
        """Something that is not part of the job's events, for example that it is being cancelled."""
        ...

    def ended(self, job_id: str, result: GlobalJobResult) -> None:
        """The job has ended; called after the view left the screen."""
        ...
