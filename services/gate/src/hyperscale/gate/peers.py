"""Whom the gate asks what every manager of a datacenter can tell.

Laws: who is asked stays the same while it is healthy; of those the nearer ones are asked more often; what is remembered of a
manager goes when the manager does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from hyperscale.gate.capacity import FRESH_SECONDS
from hyperscale.gate.datacenter_calls import ASK_ANOTHER, DatacenterCaller
from hyperscale.gate.models.managers import ConnectedManager
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.routing.models.peers import PeerCandidate, PeerSet
from hyperscale.routing.observed_latency import ObservedLatency, learn
from hyperscale.routing.peer_selection import Dice, pick, refreshed
from hyperscale.runtime.circuits import Circuits
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import HyperscaleError
from hyperscale.v1 import node_pb2

AnswerT = TypeVar("AnswerT")

ASKED_MAX: Final = 3
"""Managers of a datacenter that one question goes to at most."""
_FAILURE_MS: Final = 5000.0
"""What a call that failed counts as having taken."""
_MEMORY_SECONDS: Final = 300.0
_MS_PER_SECOND: Final = 1000.0


@dataclass(slots=True)
class _Acquaintances:
    """The managers of one datacenter, as far as they have been asked."""

    peers: PeerSet = field(default_factory=PeerSet)
    latencies: dict[str, ObservedLatency] = field(default_factory=dict)

    def forget(self, others_than: Container[str], before_seconds: float) -> None:
        """Forget how long managers took that are gone, or that have not been asked since."""
        self.latencies = {
            name: latency
            for name, latency in self.latencies.items()
            if name in others_than and latency.at_seconds >= before_seconds
        }

    def latency_ms(self, name: str) -> float:
        """How long a manager takes; one that is not known counts as near, and so becomes known."""
        known = self.latencies.get(name)
        return 0.0 if known is None else known.mean_ms


class ManagerPeers:
    """Asks one manager of a datacenter, whichever routing picks, and another one when it does not answer.

    Parameters
    ----------
    gate_id
        Node id of this gate: gates meet different managers, so that they share the questions.
    """

    def __init__(
        self,
        *,
        gate_id: str,
        registry: ManagerRegistry,
        caller: DatacenterCaller,
        circuits: Circuits,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._gate_id = gate_id
        self._registry = registry
        self._caller = caller
        self._circuits = circuits
        self._clock = clock
        self._dice = dice
        self._known: dict[str, _Acquaintances] = {}

    async def ask(self, datacenter: str, call: Callable[[str], Awaitable[AnswerT]]) -> AnswerT:
        """Call one manager after the other until one answers; raises the last error, or the first that is final.

        Raises DATACENTER_UNAVAILABLE when no manager can be called.
        """
        failed: dict[str, HyperscaleError] = {}
        while len(failed) < ASKED_MAX:
            manager = self._next(datacenter, failed)
            if manager is None:
                break
            try:
                with self._measured(datacenter, manager):
                    return await call(manager.address)
            except HyperscaleError as error:
                if error.reason not in ASK_ANOTHER:
                    raise
                failed[_node_id(manager)] = error
        if not failed:
            # Nobody is fit to be asked: whoever is there at all is asked, or the reason told.
            return await self._caller.ask(datacenter, call)
        raise list(failed.values())[-1]

    def _next(self, datacenter: str, failed: dict[str, HyperscaleError]) -> ConnectedManager | None:
        managers = {_node_id(manager): manager for manager in self._registry.connected(datacenter)}
        known = self._known.setdefault(datacenter, _Acquaintances())
        known.forget(managers, self._clock.monotonic() - _MEMORY_SECONDS)
        candidates = [
            PeerCandidate(
                name,
                is_healthy=name not in failed and self._is_fit(manager),
                latency_ms=known.latency_ms(name),
            )
            for name, manager in managers.items()
        ]
        known.peers = refreshed(f"{self._gate_id}/{datacenter}", candidates, known.peers)
        picked = pick(known.peers, self._dice)
        return None if picked is None else managers[picked.node_id]

    def _is_fit(self, manager: ConnectedManager) -> bool:
        is_active = manager.heartbeat.node.state == node_pb2.NODE_STATE_ACTIVE
        is_fresh = self._clock.monotonic() - manager.heard_at_seconds <= FRESH_SECONDS
        return is_active and is_fresh and self._circuits.admits(manager.address)

    @contextmanager
    def _measured(self, datacenter: str, manager: ConnectedManager) -> Iterator[None]:
        """Around a call: learns how long the manager takes to answer."""
        started_at = self._clock.monotonic()
        try:
            with self._circuits.call(manager.address):
                yield
        except HyperscaleError:
            self._learn(datacenter, manager, _FAILURE_MS)
            raise
        self._learn(datacenter, manager, (self._clock.monotonic() - started_at) * _MS_PER_SECOND)

    def _learn(self, datacenter: str, manager: ConnectedManager, sample_ms: float) -> None:
        latencies, name = self._known[datacenter].latencies, _node_id(manager)
        latencies[name] = learn(latencies.get(name), sample_ms, self._clock.monotonic())


def _node_id(manager: ConnectedManager) -> str:
    return manager.heartbeat.node.node_id
