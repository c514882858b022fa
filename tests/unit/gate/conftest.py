"""Gates in memory for every test of the gate."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from hyperscale.runtime.coordination import MemoryStore
from tests.unit.gate.harness import GateInMemory, make_gate, start

StartGate: TypeAlias = Callable[..., Awaitable[GateInMemory]]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(time.time)


@pytest.fixture
async def start_gate(store: MemoryStore) -> AsyncIterator[StartGate]:
    """Starts gates on the store of the test, with connected datacenters."""
    gates: list[GateInMemory] = []

    async def begin(*datacenters: str, node_id: str = "g1", **options: Any) -> GateInMemory:
        gate = make_gate(store, node_id, **options)
        gates.append(gate)
        return await start(gate, *datacenters)

    yield begin
    for gate in gates:
        await gate.supervisor.stop(5)


@pytest.fixture
async def gate(start_gate: StartGate) -> GateInMemory:
    """A gate before the datacenters east and west."""
    return await start_gate("east", "west")
