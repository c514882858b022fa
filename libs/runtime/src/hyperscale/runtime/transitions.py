"""Statuses that change only along a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

StatusT = TypeVar("StatusT", bound=int)


class IllegalTransitionError(Exception):
    """A change that the table does not have: a defect of the program, never of its input."""

    def __init__(self, subject: str, current: str, wanted: str) -> None:
        super().__init__(f"{subject} cannot go from {current} to {wanted}")


class TransitionTable(Generic[StatusT]):
    """Every allowed change of a status.

    Parameters
    ----------
    following
        What may come next, for every status; nothing after a terminal one.
    name
        Name of a status, for people.
    """

    def __init__(self, following: Mapping[StatusT, Collection[StatusT]], name: Callable[[StatusT], str]) -> None:
        self._following = {status: frozenset(allowed) for status, allowed in following.items()}
        self._name = name

    @property
    def statuses(self) -> frozenset[StatusT]:
        """Every status the table knows."""
        return frozenset(self._following)

    @property
    def terminal(self) -> frozenset[StatusT]:
        """Statuses that never change."""
        return frozenset(status for status, allowed in self._following.items() if not allowed)

    def following(self, status: StatusT) -> frozenset[StatusT]:
        """What may come next."""
        return self._following[status]

    def check(self, subject: str, current: StatusT, wanted: StatusT) -> None:
        """Raise `IllegalTransitionError` unless the change is allowed."""
        if wanted not in self._following[current]:
            raise IllegalTransitionError(subject, self._name(current), self._name(wanted))


class Lifecycle(Generic[StatusT]):
    """The status of one thing."""

    __slots__ = ("_status", "_subject", "_table")

    def __init__(self, table: TransitionTable[StatusT], subject: str, status: StatusT) -> None:
        self._table = table
        self._subject = subject
        self._status = status

    @property
    def status(self) -> StatusT:
        """The status now."""
        return self._status

    @property
    def is_terminal(self) -> bool:
        """Whether it never changes again."""
        return not self._table.following(self._status)

    def allows(self, status: StatusT) -> bool:
        """Whether the status may come next."""
        return status in self._table.following(self._status)

    def move(self, status: StatusT) -> None:
        """Change the status; raises `IllegalTransitionError`."""
        self._table.check(self._subject, self._status, status)
        self._status = status
