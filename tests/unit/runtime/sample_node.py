"""A node that serves the echo service, and misbehaves when told to; run as a process by the tests."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum

from pydantic import Field

from hyperscale.runtime.config import NodeConfig
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.process import NodeContext, run_node
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import RestartPolicy
from tests.unit.runtime.echo import SERVICE_NAME, EchoService, add_to_server


class Behaviour(StrEnum):
    """What the node does."""

    SERVE = "serve"
    FAIL = "fail"
    HANG = "hang"
    ABANDON = "abandon"
    RETURN = "return"


class SampleConfig(NodeConfig):
    """A node for tests."""

    behaviour: Behaviour = Field(default=Behaviour.SERVE, description="What the node does.")


async def break_down() -> None:
    raise ConnectionError("out of luck")


async def main(context: NodeContext[SampleConfig]) -> None:
    config = context.config
    if config.behaviour is Behaviour.FAIL:
        raise ValueError("cannot start")
    server = NodeServer(Endpoint(config.host, config.port), context.logger, insecure=config.insecure)
    server.add(add_to_server, EchoService(), SERVICE_NAME)
    endpoint = await server.start()
    await server.set_serving(True)
    context.announce_ready(endpoint)
    if config.behaviour is Behaviour.ABANDON:
        _ = context.supervisor.start(break_down, name="unlucky", restart=RestartPolicy.ON_FAILURE)
    if config.behaviour is not Behaviour.RETURN:
        await context.drain_requested.wait()
    if config.behaviour is Behaviour.HANG:
        await asyncio.Event().wait()
    await server.drain(context.drain_seconds_left)


if __name__ == "__main__":
    sys.exit(run_node(main, SampleConfig, role="sample"))
