"""What is wrong with an input, and where: collected to the end, so that one answer shows everything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_FAULTS: Final = 100
"""Faults that are spelled out; the others are counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an input."""

    path: str
    """Where, for example ``workflows[0].steps[1].http.url``; empty: the input as a whole."""
    message: str
    """What is wrong, for people."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class FaultCollector:
    """Collects faults in the order of the input; remembers `MAX_FAULTS` of them and counts the rest."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._more = 0

    def add(self, path: str, message: str) -> None:
        """Note one fault."""
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(path, message))
        else:
            self._more += 1

    def extend(self, faults: Iterable[Fault]) -> None:
        """Note several faults."""
        for fault in faults:
            self.add(fault.path, fault.message)

    def faults(self) -> list[Fault]:
        """The faults; when there were too many, the last entry says how many are left out."""
        return [*self._faults, Fault("", f"and {self._more} more")] if self._more else list(self._faults)
