"""What the tests of the runtime share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import Supervisor
from tests.unit.runtime.echo import SERVICE_NAME, EchoService, EchoStub, add_to_server


@dataclass(slots=True)
class Logs:
    """A logger, and the lines it was given."""

    capturing: CapturingLogger = field(default_factory=CapturingLogger)

    @property
    def logger(self) -> FilteringBoundLogger:
        bound: FilteringBoundLogger = structlog.wrap_logger(
            self.capturing, processors=[], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        return bound

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [{"level": call.method_name, **call.kwargs} for call in self.capturing.calls]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@pytest.fixture
def logs() -> Logs:
    return Logs()


@pytest.fixture
async def supervisor(logs: Logs) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor("test", logs.logger)
    yield supervisor
    await supervisor.stop(5)


@dataclass(slots=True)
class EchoNode:
    """A running server with the echo service, and a pool of channels to call it."""

    service: EchoService
    server: NodeServer
    endpoint: Endpoint
    pool: ChannelPool

    @property
    def stub(self) -> EchoStub:
        return self.pool.stub(self.endpoint.address, EchoStub)


@pytest.fixture
async def pool(supervisor: Supervisor) -> AsyncIterator[ChannelPool]:
    pool = ChannelPool(supervisor)
    yield pool
    await pool.close()


@pytest.fixture
async def node(logs: Logs, pool: ChannelPool) -> AsyncIterator[EchoNode]:
    server = NodeServer(Endpoint("127.0.0.1", 0), logs.logger)
    service = EchoService()
    server.add(add_to_server, service, SERVICE_NAME)
    endpoint = await server.start()
    await server.set_serving(True)
    yield EchoNode(service, server, endpoint, pool)
    await server.drain(0)
