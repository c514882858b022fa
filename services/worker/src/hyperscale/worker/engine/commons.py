"""What the clients of all users of one run share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

SharedT = TypeVar("SharedT")


class Commons:
    """Things by their class, each made when the first user needs it."""

    def __init__(self) -> None:
        self._made: dict[type[Any], Any] = {}

    def get(self, kind: type[SharedT], make: Callable[[], SharedT]) -> SharedT:
        """The one thing of a class."""
        made: SharedT = self._made[kind] if kind in self._made else self._made.setdefault(kind, make())
        return made
