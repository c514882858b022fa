"""A few membership nodes on a virtual clock: fixed latency, and links that can be cut."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from hyperscale.swim import (
    Event,
    Identity,
    MemberState,
    NodeAddress,
    Role,
    Swim,
    SwimConfig,
)

LATENCY_SECONDS = 0.001

EventT = TypeVar("EventT")


def identity(name: str, role: Role = Role.GATE, *, cluster: str = "c", environment: str = "e") -> Identity:
    return Identity(name, role, NodeAddress(f"{name}.test", 7000), cluster, environment, "dc")


class Network:
    """Nodes by name; each has the address `NAME.test:7000`."""

    def __init__(self, config: SwimConfig | None = None, seed: int = 1) -> None:
        self.now = 1000.0
        self.rng = random.Random(seed)
        self.config = config or SwimConfig.lan()
        self.nodes: dict[str, Swim] = {}
        self.events: dict[str, list[Event]] = {}
        self.sent: Counter[str] = Counter()
        self.delivers: Callable[[str, str], bool] = lambda sender, receiver: True
        self.delivers_datagrams: Callable[[str, str], bool] = lambda sender, receiver: True
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._wakes: dict[str, float] = {}

    def add(self, name: str, role: Role = Role.GATE, *, seeds: Iterable[str] = (), incarnation: int = 1) -> Swim:
        return self.put(identity(name, role), seeds=seeds, incarnation=incarnation)

    def put(self, who: Identity, *, seeds: Iterable[str] = (), incarnation: int = 1) -> Swim:
        node = Swim(who, self.config, random.Random(self.rng.random()), self.now, incarnation=incarnation)
        name = who.address.host.removesuffix(".test")
        self.nodes[name] = node
        self.events.setdefault(name, [])
        self._wakes.pop(name, None)
        node.join([NodeAddress(f"{seed}.test", 7000) for seed in seeds], self.now)
        self._flush(name, node)
        return node

    def group(self, count: int, role: Role = Role.GATE, prefix: str = "n") -> list[str]:
        """Make nodes that know each other."""
        names = [f"{prefix}{number}" for number in range(count)]
        for name in names:
            self.add(name, role, seeds=names[:1])
        self.run_until(lambda: all(self.sees(name, names) for name in names), 60)
        return names

    def crash(self, name: str) -> None:
        del self.nodes[name]

    def cut(self, *sides: Iterable[str]) -> None:
        side_of = {name: number for number, side in enumerate(sides) for name in side}
        self.delivers = lambda sender, receiver: side_of.get(sender) == side_of.get(receiver)

    def heal(self) -> None:
        self.delivers = lambda sender, receiver: True

    def sees(self, name: str, others: Iterable[str], state: MemberState = MemberState.ALIVE) -> bool:
        return all(self.state(name, other) is state for other in others)

    def state(self, name: str, other: str) -> MemberState | None:
        member = self.nodes[name].member(other)
        return None if member is None else member.state

    def of(self, name: str, kind: type[EventT]) -> list[EventT]:
        return [event for event in self.events[name] if isinstance(event, kind)]

    def run(self, seconds: float) -> None:
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            if condition():
                return True
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = end
        return condition()

    def touched(self, name: str) -> None:
        """Send what a test made a node say."""
        self._flush(name, self.nodes[name])

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), action))

    def _flush(self, name: str, node: Swim) -> None:
        self.events[name] += node.events()
        for datagram in node.datagrams_to_send(self.now):
            self.sent[name] += 1
            self._send(name, datagram.address, datagram.data)
        for request in node.streams_to_open(self.now):
            self._open(name, node, request.stream_id, request.address, request.data)
        deadline = node.next_deadline()
        if deadline is not None and self._wakes.get(name) != deadline:
            self._wakes[name] = deadline
            self._at(deadline, lambda: self._wake(name, node, deadline))

    def _wake(self, name: str, node: Swim, deadline: float) -> None:
        if self.nodes.get(name) is node and self._wakes.get(name) == deadline:
            del self._wakes[name]
            node.handle_timer(self.now)
            self._flush(name, node)

    def _send(self, sender: str, address: NodeAddress, data: bytes) -> None:
        receiver = address.host.removesuffix(".test")
        source = NodeAddress(f"{sender}.test", 7000)
        if self.delivers(sender, receiver) and self.delivers_datagrams(sender, receiver):
            self._at(self.now + LATENCY_SECONDS, lambda: self._deliver(receiver, data, source))

    def _deliver(self, receiver: str, data: bytes, source: NodeAddress) -> None:
        node = self.nodes.get(receiver)
        if node is not None:
            node.receive_datagram(data, source, self.now)
            self._flush(receiver, node)

    def _open(self, sender: str, node: Swim, stream_id: int, address: NodeAddress, data: bytes) -> None:
        receiver = address.host.removesuffix(".test")
        source = NodeAddress(f"{sender}.test", 50_000)

        def reply(answer: bytes) -> None:
            if self.nodes.get(sender) is node:
                node.receive_stream_reply(stream_id, answer, self.now)
                self._flush(sender, node)

        def arrive() -> None:
            other = self.nodes.get(receiver)
            if other is None or not self.delivers(sender, receiver):
                node.stream_failed(stream_id, self.now)
                return
            answer = other.receive_stream_request(data, source, self.now)
            self._flush(receiver, other)
            if self.delivers(receiver, sender):
                self._at(self.now + LATENCY_SECONDS, lambda: reply(answer))

        self._at(self.now + LATENCY_SECONDS, arrive)
