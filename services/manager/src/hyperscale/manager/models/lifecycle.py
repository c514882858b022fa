"""Changes of status, and what is said when one is not allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

StatusT = TypeVar("StatusT", bound=int)


@dataclass(frozen=True, slots=True)
class StatusChange(Generic[StatusT]):
    """One accepted change.

    Attributes
    ----------
    at_seconds
        Seconds since the Unix epoch.
    reason
        For people; may be empty.
    """

    status: StatusT
    at_seconds: float
    reason: str


class IllegalTransitionError(Exception):
    """A status was to change in a way that its table does not have: a fault of the program, never of a caller."""

    def __init__(self, subject: str, current: str, wanted: str) -> None:
        super().__init__(f"{subject} cannot go from {current} to {wanted}")
