"""Peers that have failed lately are left alone for a while, so that nobody waits for them.

Laws: a circuit opens after so many failures within a window; once it has been open for long enough a single call tries the
peer, and what becomes of it decides; what is remembered of peers is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError

PEER_FAILURES: Final = frozenset({ErrorReason.PEER_UNREACHABLE, ErrorReason.DEADLINE_EXCEEDED, ErrorReason.INTERNAL})
"""What speaks against a peer; every other refusal is the answer of a peer that works."""

_MAX_PEERS: Final = 10_000


class CircuitState(Enum):
    """Whether calls go to a peer."""

    CLOSED = "closed"
    OPEN = "open"
    """No call goes there."""
    HALF_OPEN = "half-open"
    """The next call tries whether it is back; until that is known, no other goes there."""


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When circuits open and close.

    Attributes
    ----------
    failures
        So many of them open a circuit, at least 1.
    window_seconds
        Older failures do not count.
    half_open_after_seconds
        From the failure that opened a circuit, or the last vain try, until the next try.
    """

    failures: int = 3
    window_seconds: float = 30.0
    half_open_after_seconds: float = 10.0


@dataclass(slots=True)
class _Circuit:
    """Times by the monotonic clock; `is_tried` while the one call of a half-open circuit is under way."""

    failed_at: deque[float] = field(default_factory=deque)
    last_failure: str = ""
    opened_at: float | None = None
    is_tried: bool = False


class Circuits:
    """One circuit per peer, by whatever names it for its callers; one that nothing is held against costs nothing."""

    def __init__(self, policy: CircuitPolicy, clock: Clock, peers_max: int = _MAX_PEERS) -> None:
        self._policy = policy
        self._clock = clock
        self._peers_max = peers_max
        self._circuits: dict[str, _Circuit] = {}

    def __len__(self) -> int:
        return len(self._circuits)

    def state(self, peer: str) -> CircuitState:
        """Whether calls go to a peer now."""
        circuit = self._circuits.get(peer)
        if circuit is None or circuit.opened_at is None:
            return CircuitState.CLOSED
        open_seconds = self._clock.monotonic() - circuit.opened_at
        return CircuitState.OPEN if open_seconds < self._policy.half_open_after_seconds else CircuitState.HALF_OPEN

    def admits(self, peer: str) -> bool:
        """Whether a call may go to a peer now."""
        state = self.state(peer)
        return state is CircuitState.CLOSED or (state is CircuitState.HALF_OPEN and not self._circuits[peer].is_tried)

    def last_failure(self, peer: str) -> str:
        """What the last call that failed said of a peer, for people; empty when nothing is held against it."""
        circuit = self._circuits.get(peer)
        return "" if circuit is None else circuit.last_failure

    @contextmanager
    def call(self, peer: str) -> Iterator[None]:
        """Around a call that `admits` allowed: learns from what becomes of it; a call that is cancelled tells nothing."""
        is_trial = self.state(peer) is CircuitState.HALF_OPEN
        if is_trial:
            self._circuits[peer].is_tried = True
        try:
            yield
        except HyperscaleError as error:
            if error.reason in PEER_FAILURES:
                self._failed(peer, error)
            else:
                self._answered(peer)
            raise
        except BaseException:
            if is_trial and peer in self._circuits:
                self._circuits[peer].is_tried = False
            raise
        else:
            self._answered(peer)

    def forget(self, peer: str) -> None:
        """The peer has begun a new life: what was held against it counts no more."""
        self._circuits.pop(peer, None)

    def _answered(self, peer: str) -> None:
        """An answer closes an open circuit; while it is closed, failures count whatever comes between them."""
        if self.state(peer) is not CircuitState.CLOSED:
            self.forget(peer)

    def _failed(self, peer: str, error: HyperscaleError) -> None:
        now = self._clock.monotonic()
        # The last to have failed stands last, so that the first is the next to be forgotten.
        circuit = self._circuits.pop(peer, None) or _Circuit()
        self._circuits[peer] = circuit
        if len(self._circuits) > self._peers_max:
            del self._circuits[next(iter(self._circuits))]
        circuit.is_tried = False
        circuit.last_failure = error.message
        circuit.failed_at.append(now)
        while now - circuit.failed_at[0] > self._policy.window_seconds:
            circuit.failed_at.popleft()
        if circuit.opened_at is not None or len(circuit.failed_at) >= self._policy.failures:
            circuit.opened_at = now
            circuit.failed_at.clear()
