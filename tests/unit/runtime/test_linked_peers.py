"""Links to configured peers, and to those that are found."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from hyperscale.runtime.linked_peers import LinkedPeers
from hyperscale.runtime.links import LinkTimings, StreamLink
from hyperscale.runtime.outbox import Outbox, Outgoing
from hyperscale.runtime.supervisor import Supervisor
from tests.support.virtual_time import run_in_virtual_time
from tests.unit.runtime.conftest import Logs
from tests.unit.runtime.test_circuits import HandClock


@dataclass(slots=True)
class FakeLink:
    """A link to whoever listens at an address."""

    address: str
    listeners: dict[str, str]
    peer_id: str = ""
    is_settled: bool = True
    is_started: bool = False
    is_stopped: bool = False

    @property
    def is_connected(self) -> bool:
        if self.is_started and not self.is_stopped and self.address in self.listeners:
            self.peer_id = self.listeners[self.address]
            return True
        return False

    def start(self) -> None:
        self.is_started = True

    async def stop(self) -> None:
        self.is_stopped = True


@dataclass(slots=True)
class Node:
    """A node with links, and the peers that it could reach."""

    seeds: tuple[str, ...]
    listeners: dict[str, str]
    clock: HandClock = field(default_factory=HandClock)
    peers: LinkedPeers[FakeLink] = field(init=False)

    def __post_init__(self) -> None:
        self.peers = LinkedPeers(self.seeds, lambda address: FakeLink(address, self.listeners), self.clock)
        self.peers.start()

    async def follow(self, seconds: int = 1, **found: str) -> list[str]:
        """Beat for so long; the addresses linked to then."""
        for _ in range(seconds):
            await self.peers.follow(found)
            self.clock.now += 1.0
        return [link.address for link in self.peers.links]


async def test_who_is_found_is_linked_to_until_nobody_tells_of_it() -> None:
    node = Node(("a:1",), {"a:1": "one", "b:1": "two"})
    assert await node.follow(one="a:1", two="b:1") == ["a:1", "b:1"]
    link = node.peers.links[1]
    assert await node.follow(one="a:1") == ["a:1"]
    assert link.is_stopped


async def test_a_configured_peer_is_kept_and_linked_to_once_however_its_address_is_written() -> None:
    node = Node(("name:1",), {"name:1": "one", "a:1": "one"})
    assert await node.follow(one="a:1") == ["name:1"]
    assert await node.follow() == ["name:1"]


async def test_nobody_is_linked_to_while_a_configured_address_may_be_theirs() -> None:
    node = Node(("name:1",), {"a:1": "one"})
    assert await node.follow(4, one="a:1") == ["name:1"]
    assert await node.follow(4, one="a:1") == ["name:1", "a:1"]


async def test_a_configured_peer_that_comes_back_elsewhere_is_linked_to_there() -> None:
    node = Node(("a:1",), {"a:1": "one"})
    await node.follow(10, one="a:1")
    del node.listeners["a:1"]
    node.listeners["b:1"] = "one"
    assert await node.follow(3, one="b:1") == ["a:1"], "it may be back in a moment"
    assert await node.follow(5, one="b:1") == ["a:1", "b:1"]
    node.listeners["a:1"] = "one"
    del node.listeners["b:1"]
    assert await node.follow(2, one="a:1") == ["a:1"]


async def test_a_link_with_reports_that_would_be_lost_is_kept() -> None:
    node = Node((), {"b:1": "two"})
    await node.follow(two="b:1")
    (link,) = node.peers.links
    link.is_settled = False
    assert await node.follow() == ["b:1"]
    link.is_settled = True
    assert await node.follow() == []


@pytest.mark.parametrize("told", [64, 1000])
async def test_links_are_bounded(told: int) -> None:
    node = Node(("a:1",), {"a:1": "one"})
    found = {f"node-{number}": f"host-{number}:1" for number in range(told)}
    assert len(await node.follow(3, **found)) == 64


@dataclass(slots=True)
class DeafPeer:
    """A peer whose end of a connection does not end when it is told to."""

    released: asyncio.Event

    async def connect(self) -> Any:
        while not self.released.is_set():
            with suppress(asyncio.CancelledError):
                await self.released.wait()
        raise asyncio.CancelledError

    def encode(self, outgoing: Outgoing[str]) -> str:
        return outgoing.report

    async def handle(self, response: str) -> None:
        pass


@dataclass(slots=True)
class RealLink(FakeLink):
    """One that is kept by the code under test."""

    stream: StreamLink[str, str, str] = field(kw_only=True)

    def start(self) -> None:
        self.stream.start()

    async def stop(self) -> None:
        await self.stream.stop()


def test_links_that_do_not_end_are_told_of_and_hold_nothing_up() -> None:
    logs = Logs()

    async def follow() -> float:
        released, supervisor = asyncio.Event(), Supervisor("node", logs.logger)
        timings = LinkTimings(connect_timeout_seconds=1e6)

        def link(address: str) -> RealLink:
            stream = StreamLink(
                address, DeafPeer(released), Outbox(1), supervisor=supervisor, logger=logs.logger, timings=timings
            )
            return RealLink(address, {}, stream=stream)

        peers = LinkedPeers((), link, HandClock())
        await peers.follow({"one": "a:1", "two": "b:1", "three": "c:1"})
        await asyncio.sleep(0)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(3600):
                await peers.follow({})
            assert peers.links == []
            return clock() - began
        finally:
            released.set()
            await supervisor.stop(1)

    assert run_in_virtual_time(follow()) == pytest.approx(1.0)
    stuck = [line for line in logs.lines if line["event"] == "tasks ignored cancellation"]
    assert sorted(name for line in stuck for name in line["tasks"]) == ["a:1", "b:1", "c:1"]
    assert {line["level"] for line in stuck} == {"error"}
