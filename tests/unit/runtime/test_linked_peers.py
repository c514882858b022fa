"""Links to configured peers, and to those that are found."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hyperscale.runtime.linked_peers import LinkedPeers
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
