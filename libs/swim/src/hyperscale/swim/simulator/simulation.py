"""Thousands of nodes on a virtual clock: the real core, driven through its verbs, with the real encoding."""

from __future__ import annotations

import heapq
import itertools
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hyperscale.swim.coordinates import CoordinateConfig, NetworkCoordinates
from hyperscale.swim.core import Swim
from hyperscale.swim.keyring import DatagramSeal, Keyring, SealIdentity
from hyperscale.swim.models import Datagram, Identity, NodeAddress, Role, StreamRequest
from hyperscale.swim.simulator.embedding import relative_errors
from hyperscale.swim.simulator.faults import FaultKind, NetworkFault
from hyperscale.swim.simulator.network import SimulatedNetwork
from hyperscale.swim.simulator.options import SimulationOptions, Start
from hyperscale.swim.simulator.recorder import GroupRecorder

_PORT = 7000
_SEEDS = 3
_KEY = bytes(range(32))
_WHEN = struct.Struct("!Id")


@dataclass(slots=True)
class SimulatedNode:
    """A node, and the process around it."""

    number: int
    identity: Identity
    swim: Swim
    coordinates: NetworkCoordinates | None
    is_running: bool = True
    pauses: int = 0
    """Under way at present: it goes on after the last of them."""
    blocks: int = 0
    wake_at: float | None = None
    backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    """What waits to be read."""
    unsent: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    """What waits to be sent."""

    @property
    def is_deaf(self) -> bool:
        """Whether what arrives has to wait."""
        return self.pauses > 0 or self.blocks > 0


class Simulation:
    """Runs until a time or a condition. Nothing happens between events, so that idle time costs nothing."""

    def __init__(self, options: SimulationOptions) -> None:
        self.options = options
        self.now = 0.0
        self.trace = 0
        """Checksum over every datagram delivered: who, when, what."""
        self.recorder = GroupRecorder(options.nodes)
        self.network = SimulatedNetwork(options, Random(f"{options.seed}/network"))
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._identities = [self._identify(number) for number in range(options.nodes)]
        self._numbers = {identity.address.host: number for number, identity in enumerate(self._identities)}
        self._lives = [0] * options.nodes
        self.nodes = [self._make(number) for number in range(options.nodes)]
        self._start()
        for fault in options.faults:
            self._schedule(fault)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        queue, pop = self._queue, heapq.heappop
        while queue and queue[0][0] <= end:
            self.now, _, action, arguments = pop(queue)
            action(*arguments)
        self.now = end

    def run_until(self, condition: Callable[[], bool], seconds: float, step: float = 1.0) -> bool:
        """Let time pass until the condition holds, looked at after each step; false when it never did."""
        end = self.now + seconds
        while not condition():
            if self.now >= end:
                return False
            self.run(min(step, end - self.now))
        return True

    def crash(self, number: int) -> None:
        """End a node's process."""
        node = self.nodes[number]
        if node.is_running:
            node.is_running = False
            self.recorder.crashed(number, self.now)

    def restart(self, number: int) -> None:
        """Start a crashed node again; it knows its seeds only."""
        if self.nodes[number].is_running:
            return
        self._lives[number] += 1
        node = self.nodes[number] = self._make(number)
        self.recorder.started(number, frozenset())
        self._join(node)

    def pause(self, number: int) -> None:
        """Let a process stand still."""
        self.nodes[number].pauses += 1

    def resume(self, number: int) -> None:
        """Let a process go on: it reads one datagram, sees to its timers, and reads the rest, as event loops do."""
        node = self.nodes[number]
        # One that was started again meanwhile never stood still.
        node.pauses = max(0, node.pauses - 1)
        if node.pauses:
            return
        backlog, node.backlog = node.backlog, []
        if not node.is_running:
            return
        for action, arguments in backlog[:1]:
            action(*arguments)
        self._wake(node, node.wake_at)
        for action, arguments in backlog[1:]:
            action(*arguments)

    def block(self, number: int) -> None:
        """Let what a process sends, and what it should read, wait; its timers go on."""
        self.nodes[number].blocks += 1

    def unblock(self, number: int) -> None:
        """Let everything that has waited pass: first what was to be sent."""
        node = self.nodes[number]
        node.blocks = max(0, node.blocks - 1)
        if node.blocks:
            return
        unsent, node.unsent = node.unsent, []
        backlog, node.backlog = node.backlog, []
        for action, arguments in unsent + backlog:
            action(*arguments)

    def leave(self, number: int) -> None:
        """Let a node leave; its process ends five seconds later."""
        node = self.nodes[number]
        node.swim.leave(self.now)
        self._flush(node)
        self.recorder.left(number, self.now)
        self._at(self.now + self.options.config.leave_timeout_seconds, self._end, node)

    def coordinate_errors(self) -> list[float]:
        """Of each two running nodes: |predicted − true round trip| / true."""
        if self.options.rtt is None:
            raise ValueError("the options say nothing of round trips")
        places = [
            (node.number, node.coordinates.coordinate)
            for node in self.nodes
            if node.is_running and node.coordinates is not None
        ]
        return relative_errors(places, self.options.rtt)

    def _end(self, node: SimulatedNode) -> None:
        node.is_running = False

    def _identify(self, number: int) -> Identity:
        options = self.options
        role = Role.GATE
        if options.managers:
            role = Role.MANAGER if number < options.managers else Role.WORKER
        return Identity(f"n{number}", role, NodeAddress(f"n{number}.sim", _PORT), "simulation", "test", "dc")

    def _make(self, number: int) -> SimulatedNode:
        options, identity, life = self.options, self._identities[number], self._lives[number]
        rng = Random(f"{options.seed}/{number}/{life}")
        coordinates = NetworkCoordinates(CoordinateConfig(), rng) if options.has_coordinates else None
        seal = None
        if options.is_encrypted:
            who = SealIdentity(identity.cluster_id, identity.environment_id, identity.node_id, life)
            seal = DatagramSeal(Keyring(_KEY), who, rng.randbytes)
        incarnation = 1 + round(self.now * 1000)
        swim = Swim(
            identity, options.config, rng, self.now, incarnation=incarnation, keyring=seal, coordinates=coordinates
        )
        return SimulatedNode(number, identity, swim, coordinates)

    def _start(self) -> None:
        everybody = frozenset(range(self.options.nodes))
        rng = Random(f"{self.options.seed}/start")
        for node in self.nodes:
            if self.options.start is Start.SEEDS:
                self.recorder.started(node.number, frozenset())
                self._at(rng.random(), self._join, node)
                continue
            self.recorder.started(node.number, everybody)
            for identity in self._identities:
                node.swim.assume(identity, 1, self.now)
            self._join(node)

    def _join(self, node: SimulatedNode) -> None:
        node.swim.join([identity.address for identity in self._identities[:_SEEDS]], self.now)
        self._flush(node)

    def _schedule(self, fault: NetworkFault) -> None:
        begin, end = self._changes()[fault.kind]
        self._at(fault.at, begin, fault)
        if fault.until != float("inf"):
            self._at(fault.until, end, fault)

    def _changes(self) -> dict[FaultKind, tuple[Callable[[NetworkFault], None], Callable[[NetworkFault], None]]]:
        network = self.network

        def each(change: Callable[[int], None]) -> Callable[[NetworkFault], None]:
            def apply(fault: NetworkFault) -> None:
                for number in sorted(fault.nodes):
                    change(number)

            return apply

        def each_by_amount(change: Callable[[int, float], None], sign: int = 1) -> Callable[[NetworkFault], None]:
            def apply(fault: NetworkFault) -> None:
                for number in fault.nodes:
                    change(number, sign * fault.amount)

            return apply

        return {
            FaultKind.CRASH: (each(self.crash), each(self.restart)),
            FaultKind.BLOCK: (each(self.block), each(self.unblock)),
            FaultKind.PAUSE: (each(self.pause), each(self.resume)),
            FaultKind.SLOW: (each_by_amount(network.slow_down), each_by_amount(network.slow_down, -1)),
            FaultKind.LOSS: (each_by_amount(network.lose), each_by_amount(network.spare)),
            FaultKind.CUT: (
                lambda fault: network.cut(fault.nodes, fault.others),
                lambda fault: network.mend(fault.nodes, fault.others),
            ),
        }

    def _at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._queue, (when, next(self._order), action, arguments))

    def _flush(self, node: SimulatedNode) -> None:
        swim, now = node.swim, self.now
        for datagram in swim.datagrams_to_send(now):
            self._send(node, self._transmit, datagram)
        for request in swim.streams_to_open(now):
            self._send(node, self._open, request)
        for event in swim.events():
            self.recorder.note(node.number, event, now)
        deadline = swim.next_deadline()
        if deadline is not None and (node.wake_at is None or deadline < node.wake_at):
            node.wake_at = deadline
            self._at(deadline, self._wake, node, deadline)

    def _wake(self, node: SimulatedNode, deadline: float | None) -> None:
        if node.wake_at != deadline or not node.is_running:
            return
        if node.pauses:
            return
        node.wake_at = None
        node.swim.handle_timer(self.now)
        self._flush(node)

    def _send(self, node: SimulatedNode, action: Callable[..., None], message: Datagram | StreamRequest) -> None:
        if node.blocks:
            node.unsent.append((action, (node, message)))
        else:
            action(node, message)

    def _transmit(self, node: SimulatedNode, datagram: Datagram) -> None:
        recorder, number = self.recorder, node.number
        recorder.datagrams_sent[number] += 1
        recorder.bytes_sent[number] += len(datagram.data)
        target = self._numbers.get(datagram.address.host)
        if target is None:
            return
        for delay in self.network.delays(number, target):
            self._at(self.now + delay, self._arrive, target, datagram.data, node.identity.address)

    def _arrive(self, target: int, data: bytes, source: NodeAddress) -> None:
        node = self.nodes[target]
        if not node.is_running:
            return
        if node.is_deaf:
            if len(node.backlog) < self.options.backlog_max:
                node.backlog.append((self._arrive, (target, data, source)))
            return
        self.trace = zlib.crc32(data, zlib.crc32(_WHEN.pack(target, self.now), self.trace))
        node.swim.receive_datagram(data, source, self.now)
        self._flush(node)

    def _open(self, node: SimulatedNode, request: StreamRequest) -> None:
        self.recorder.streams_opened += 1
        self.recorder.bytes_sent[node.number] += len(request.data)
        target = self._numbers.get(request.address.host)
        if target is None or self._is_cut(node.number, target):
            return
        there, back = self.network.latency(node.number, target), self.network.latency(target, node.number)
        self._at(self.now + 2 * there + back, self._request_arrives, node, target, request)

    def _request_arrives(self, node: SimulatedNode, target: int, request: StreamRequest) -> None:
        other = self.nodes[target]
        if not other.is_running:
            self._reply_arrives(node, request.stream_id, None)
            return
        if other.is_deaf:
            other.backlog.append((self._request_arrives, (node, target, request)))
            return
        answer = other.swim.receive_stream_request(request.data, node.identity.address, self.now)
        self.recorder.bytes_sent[target] += len(answer)
        self._flush(other)
        if not self._is_cut(node.number, target):
            delay = self.network.latency(target, node.number)
            self._at(self.now + delay, self._reply_arrives, node, request.stream_id, answer)

    def _reply_arrives(self, node: SimulatedNode, stream_id: int, answer: bytes | None) -> None:
        if not node.is_running:
            return
        if node.is_deaf:
            node.backlog.append((self._reply_arrives, (node, stream_id, answer)))
            return
        if answer is None:
            node.swim.stream_failed(stream_id, self.now)
        else:
            node.swim.receive_stream_reply(stream_id, answer, self.now)
        self._flush(node)

    def _is_cut(self, one: int, other: int) -> bool:
        return self.network.is_cut(one, other) or self.network.is_cut(other, one)
