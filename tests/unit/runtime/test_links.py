"""A link delivers every report at least once, through refused, broken, silent and moving peers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.links import LinkTimings, StreamLink
from hyperscale.runtime.outbox import Outbox, Outgoing
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import Supervisor
from tests.support.waiting import until
from tests.unit.runtime.conftest import EchoNode, Logs
from tests.unit.runtime.echo import SERVICE_NAME, EchoService, EchoStub, add_to_server, text

DEADLINE_SECONDS = 60.0
IMPATIENT = LinkTimings(
    connect_timeout_seconds=2.0, ack_timeout_seconds=0.2, base_delay_seconds=0.01, max_delay_seconds=0.02
)


@dataclass(slots=True)
class EchoPeer:
    """Sends reports as ``sequence:report`` and takes the echo of each as its acknowledgement."""

    outbox: Outbox[str]
    pool: ChannelPool
    address: str
    connections: int = 0
    delivered: list[str] = field(default_factory=list)
    before_handling: Callable[[], Awaitable[None]] | None = None
    refusal: Exception | None = None

    async def connect(self) -> grpc.aio.StreamStreamCall[StringValue, StringValue]:
        self.connections += 1
        if self.refusal is not None:
            raise self.refusal
        call = self.pool.stub(self.address, EchoStub).Chat()
        await call.write(text("hello"))
        return call

    def encode(self, outgoing: Outgoing[str]) -> StringValue:
        return text(f"{outgoing.sequence}:{outgoing.report}")

    async def handle(self, response: StringValue) -> None:
        if self.before_handling is not None:
            await self.before_handling()
        sequence, _, report = response.value.partition(":")
        if report:
            self.delivered.append(report)
            self.outbox.ack(int(sequence))


@dataclass(slots=True)
class Linked:
    link: StreamLink[str, StringValue, StringValue]
    peer: EchoPeer
    outbox: Outbox[str]


@pytest.fixture
async def linked(node: EchoNode, supervisor: Supervisor, logs: Logs) -> AsyncIterator[Linked]:
    outbox: Outbox[str] = Outbox(100)
    peer = EchoPeer(outbox, node.pool, node.endpoint.address)
    link = StreamLink("link", peer, outbox, supervisor=supervisor, logger=logs.logger, timings=IMPATIENT)
    link.start()
    yield Linked(link, peer, outbox)
    await link.stop()


async def test_reports_are_delivered_in_order_and_forgotten(node: EchoNode, linked: Linked) -> None:
    for number in range(50):
        linked.outbox.put(str(number))
    await until(lambda: len(linked.outbox) == 0)
    assert linked.peer.delivered == [str(number) for number in range(50)]
    assert linked.peer.connections == 1
    assert linked.link.connected
    assert node.service.received[0] == "hello"


async def test_an_idle_link_stays_and_then_still_delivers(linked: Linked) -> None:
    linked.outbox.put("first")
    await until(lambda: len(linked.outbox) == 0)
    await asyncio.sleep(3 * IMPATIENT.ack_timeout_seconds)
    linked.outbox.put("second")
    await until(lambda: len(linked.outbox) == 0)
    assert linked.peer.connections == 1


async def test_what_a_peer_refused_is_sent_again(node: EchoNode, linked: Linked) -> None:
    refusals = [ErrorReason.NOT_LEADER, ErrorReason.SYNCING, ErrorReason.NOT_OWNER]

    async def refuse(value: str) -> None:
        if refusals and value.endswith("report"):
            raise HyperscaleError(refusals.pop())

    node.service.before = refuse
    linked.outbox.put("report")
    await until(lambda: len(linked.outbox) == 0)
    assert linked.peer.delivered == ["report"]
    assert linked.peer.connections == 4


async def test_a_peer_that_goes_silent_is_left_and_everything_resent(node: EchoNode, linked: Linked) -> None:
    silent = True

    async def hang(value: str) -> None:
        if silent and value.endswith("b"):
            await asyncio.Event().wait()

    node.service.before = hang
    for report in "abc":
        linked.outbox.put(report)
    await until(lambda: linked.peer.connections == 3)
    silent = False
    await until(lambda: len(linked.outbox) == 0)
    assert linked.peer.delivered == ["a", "b", "c"]


async def test_a_draining_peer_is_left_for_its_successor(
    node: EchoNode, linked: Linked, logs: Logs, supervisor: Supervisor
) -> None:
    linked.outbox.put("to the old")
    await until(lambda: len(linked.outbox) == 0)
    successor, service = NodeServer(Endpoint("127.0.0.1", 0), logs.logger), EchoService()
    successor.add(add_to_server, service, SERVICE_NAME)
    linked.peer.address = (await successor.start()).address
    async with asyncio.timeout(DEADLINE_SECONDS):
        await node.server.drain(5)
    linked.outbox.put("to the new")
    await until(lambda: len(linked.outbox) == 0)
    assert service.received == ["hello", "2:to the new"]
    await linked.link.stop()
    await successor.drain(0)


async def test_reconnecting_on_request_loses_nothing(linked: Linked) -> None:
    for number in range(20):
        linked.outbox.put(str(number))
        if number % 5 == 0:
            await until(lambda: linked.link.connected)
            linked.link.reconnect()
    await until(lambda: len(linked.outbox) == 0)
    assert sorted(set(linked.peer.delivered), key=int) == [str(number) for number in range(20)]
    assert linked.peer.connections > 1


async def test_an_unreachable_peer_is_tried_until_it_is_there(
    logs: Logs, supervisor: Supervisor, pool: ChannelPool, node: EchoNode
) -> None:
    outbox: Outbox[str] = Outbox(100)
    peer = EchoPeer(outbox, pool, "127.0.0.1:1")
    link = StreamLink("link", peer, outbox, supervisor=supervisor, logger=logs.logger, timings=IMPATIENT)
    outbox.put("report")
    link.start()
    await until(lambda: peer.connections > 3 and not link.connected)
    peer.address = node.endpoint.address
    await until(lambda: len(outbox) == 0)
    assert peer.delivered == ["report"]
    await link.stop()


async def test_a_stream_that_ends_before_the_hello_is_tried_again_and_no_bug(
    linked: Linked, supervisor: Supervisor
) -> None:
    await until(lambda: linked.link.connected)
    linked.peer.refusal = asyncio.InvalidStateError("the call has ended")
    linked.link.reconnect()
    before = linked.peer.connections
    await until(lambda: linked.peer.connections > before + 2)
    linked.peer.refusal = None
    linked.outbox.put("report")
    await until(lambda: len(linked.outbox) == 0)
    assert not supervisor.failures


async def test_why_a_peer_is_not_there_is_told_once_until_it_was(linked: Linked, logs: Logs) -> None:
    def told(level: str) -> int:
        return sum(1 for line in logs.lines if line["event"] == "link lost" and line["level"] == level)

    async def lose() -> None:
        linked.peer.refusal = HyperscaleError(ErrorReason.PEER_UNREACHABLE)
        linked.link.reconnect()
        before = told("debug")
        await until(lambda: told("debug") > before + 2)

    await until(lambda: linked.link.connected)
    await lose()
    assert told("info") == 1
    linked.peer.refusal = None
    linked.outbox.put("report")
    await until(lambda: len(linked.outbox) == 0)
    await lose()
    assert told("info") == 2


async def test_a_bug_in_handling_is_reported_and_the_link_lives_on(linked: Linked, supervisor: Supervisor) -> None:
    bugs = [KeyError("bug")]

    async def stumble() -> None:
        if bugs:
            raise bugs.pop()

    linked.peer.before_handling = stumble
    linked.outbox.put("report")
    await until(lambda: len(linked.outbox) == 0)
    assert supervisor.failures == {"link": 1}


async def test_stopping_leaves_no_task_and_keeps_what_was_not_acknowledged(
    node: EchoNode, linked: Linked, supervisor: Supervisor
) -> None:
    async def hang(value: str) -> None:
        if value != "hello":
            await asyncio.Event().wait()

    node.service.before = hang
    linked.outbox.put("report")
    await until(lambda: linked.outbox.sent_count == 1)
    await linked.link.stop()
    assert supervisor.running == {}
    assert not linked.link.connected
    assert len(linked.outbox) == 1
