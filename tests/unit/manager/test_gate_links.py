"""Gates that cannot be reached are tried again: often where they were configured, rarely where they were told of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

from structlog import get_logger

from hyperscale.manager.gate_link import GateLinkSurroundings
from hyperscale.manager.gate_links import GateLinks
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.gate_ingest_service_pb2 import ManagerRegistration, ManagerRegistrationResponse
from hyperscale.v1.node_pb2 import Endpoint, NodeInfo
from hyperscale.v1.progress_pb2 import KnownGates, ManagerReport, ReportAck
from tests.support.virtual_time import run_in_virtual_time
from tests.unit.manager.harness import ManagerInMemory, TurnedClock

UP, DOWN, TOLD_OF = "up:1", "down:1", "far:1"


@dataclass(slots=True)
class StreamOfGate:
    """The stream to the one gate that is there, which tells of another."""

    async def write(self, report: ManagerReport) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[ReportAck]:
        far = NodeInfo(node_id="gate-far", endpoint=Endpoint(host="far", port=1))
        yield ReportAck(known_gates=KnownGates(gates=[far]))
        await asyncio.Event().wait()

    def cancel(self) -> None:
        pass


@dataclass(slots=True)
class Network:
    """Where one gate can be reached, and how often each address was tried."""

    tried: Counter[str] = field(default_factory=Counter)
    address: str = ""

    def stub(self, address: str, _: object) -> Network:
        return Network(self.tried, address)

    def forget(self, address: str) -> None:
        pass

    async def RegisterManager(self, request: ManagerRegistration) -> ManagerRegistrationResponse:
        self.tried[self.address] += 1
        if self.address != UP:
            raise HyperscaleError(ErrorReason.PEER_UNREACHABLE)
        return ManagerRegistrationResponse(gate=NodeInfo(node_id="gate-up"))

    def StreamReports(self) -> StreamOfGate:
        return StreamOfGate()


async def followed(seconds: int) -> Counter[str]:
    """How often each address has been tried after so long."""
    network, clock = Network(), TurnedClock()
    manager = ManagerInMemory("manager-1", MemoryStore(clock.wall), clock)
    around = GateLinkSurroundings(
        cast("ChannelPool", cast("Any", network)), manager.health, manager.reports, manager.supervisor, get_logger()
    )
    links = GateLinks([UP, DOWN], around, clock)
    links.start()
    for _ in range(seconds):
        await links.follow()
        clock.now += 1
        await asyncio.sleep(1)
    await links.stop()
    await manager.supervisor.stop(1)
    return network.tried


def test_a_gate_that_was_only_told_of_is_tried_less_often_than_a_configured_one() -> None:
    tried = run_in_virtual_time(followed(600))
    assert tried[UP] == 1
    assert 0 < tried[TOLD_OF] < tried[DOWN] / 3
