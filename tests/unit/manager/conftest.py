from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hyperscale.runtime.coordination import MemoryStore
from tests.unit.manager.harness import ManagerInMemory, TurnedClock


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def lease_clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def store(lease_clock: TurnedClock) -> MemoryStore:
    return MemoryStore(lease_clock.wall)


@pytest.fixture
async def manager(store: MemoryStore, clock: TurnedClock) -> AsyncIterator[ManagerInMemory]:
    """A manager that leads and has no worker."""
    async with ManagerInMemory("manager-1", store, clock) as manager:
        await manager.lead()
        yield manager
