"""Every implementation of the coordination store, opened the way a node opens it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hyperscale.runtime.coordination import Coordinator, MemoryStore, memory_coordinator, sqlite_coordinator


@dataclass(slots=True)
class ManualClock:
    """Wall clock that moves when the test says so."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(slots=True)
class Backend:
    """One durable store, which any number of nodes may open, close and open again."""

    opener: Callable[[int], Coordinator]
    clock: ManualClock
    opened: list[Coordinator] = field(default_factory=list)

    def open(self, history_changes: int = 1000) -> Coordinator:
        coordinator = self.opener(history_changes)
        self.opened.append(coordinator)
        return coordinator


def _memory(path: Path, clock: ManualClock) -> Callable[[int], Coordinator]:
    stores: list[MemoryStore] = []

    def opener(history_changes: int) -> Coordinator:
        if not stores:
            stores.append(MemoryStore(clock, history_changes))
        return memory_coordinator(stores[0])

    return opener


def _sqlite(path: Path, clock: ManualClock) -> Callable[[int], Coordinator]:
    return lambda history_changes: sqlite_coordinator(path / "coordination.db", clock, history_changes)


@pytest.fixture(params=[_memory, _sqlite], ids=["memory", "sqlite"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    clock = ManualClock()
    backend = Backend(request.param(tmp_path, clock), clock)
    yield backend
    for coordinator in backend.opened:
        await coordinator.close()


@pytest.fixture
def store(backend: Backend) -> Coordinator:
    return backend.open()
