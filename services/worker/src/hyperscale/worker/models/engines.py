"""What the control process knows about engine processes."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from hyperscale.v1.engine_pb2 import EngineReport


@dataclass(frozen=True, slots=True)
class EngineExit:
    """How an engine process ended; ``returncode`` as in `subprocess`: negative for a signal, None while it has none."""

    pid: int
    returncode: int | None

    @property
    def how(self) -> str:
        """What happened to it, for people."""
        if self.returncode is None:
            return "was killed, but has not ended yet"
        if self.returncode >= 0:
            return f"exited with code {self.returncode}"
        try:
            return f"was killed by {signal.Signals(-self.returncode).name}"
        except ValueError:
            return f"was killed by signal {-self.returncode}"


@dataclass(frozen=True, slots=True)
class EnginePatience:
    """How long engines may take.

    Attributes
    ----------
    start_seconds
        To be ready after their start.
    stall_seconds
        Without a sign of life.
    """

    start_seconds: float
    stall_seconds: float


class EngineListener(Protocol):
    """Whoever an engine works for at the moment."""

    def engine_reported(self, slot: int, report: EngineReport) -> None:
        """The engine in a slot has sent a report, possibly of an earlier run."""
        ...

    def engine_exited(self, slot: int, ended: EngineExit) -> None:
        """The engine in a slot is gone; nothing more comes from it."""
        ...


class StopStage(Enum):
    """How firmly a run is being ended, in rising order."""

    GRACEFUL = auto()
    """No new iterations; those under way may end."""
    INTERRUPT = auto()
    """Iterations under way are interrupted and counted as cancelled."""
    KILL = auto()
    """The engine process is killed; what it counted since its last report is lost."""


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """What is to be done to the engine in a slot to end its run."""

    slot: int
    stage: StopStage
