"""Members known by hearsay: each role is asked so often, and forgotten if nothing comes from it (a message from it confirms it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hyperscale.swim.members import MemberRecord
from hyperscale.swim.models import MemberState, Role
from hyperscale.swim.shared import Shared
from hyperscale.swim.timers import TimerKind
from hyperscale.swim.wire import encode_ping

UNTRACKED: Final = 0
"""Sequence of pings whose answer matters only because it comes from the member itself."""
_FIRST_ATTEMPTS_PER_SECOND: Final = 20.0


@dataclass(frozen=True, slots=True)
class ConfirmationStrategy:
    """How an unconfirmed member of a role is treated."""

    timeout_seconds: float
    """After this time without a message from it, it is forgotten."""
    attempts: int
    """Pings sent to it in that time; 0: never asked, it has to speak first."""


STRATEGIES: Final = {
    Role.GATE: ConfirmationStrategy(120.0, 5),
    Role.MANAGER: ConfirmationStrategy(90.0, 3),
    Role.WORKER: ConfirmationStrategy(180.0, 0),
}


class Confirmations:
    """Asks unconfirmed members whether they are there."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._attempts_left: dict[str, int] = {}

    def watch(self, record: MemberRecord, now: float) -> None:
        """Begin with a member just heard of. The first attempts spread out when there are many members."""
        strategy = STRATEGIES[record.identity.role]
        timers = self._shared.timers
        timers.schedule((TimerKind.UNCONFIRMED_END, record.node_id), now + strategy.timeout_seconds)
        if not strategy.attempts:
            return
        self._attempts_left[record.node_id] = strategy.attempts
        window = min(_spacing_seconds(strategy), len(self._shared.table) / _FIRST_ATTEMPTS_PER_SECOND)
        timers.schedule((TimerKind.CONFIRM, record.node_id), now + self._shared.rng.random() * window)

    def settle(self, node_id: str) -> None:
        """End: the member is confirmed, gone or forgotten."""
        if self._attempts_left.pop(node_id, None) is not None:
            self._shared.timers.cancel((TimerKind.CONFIRM, node_id))
        self._shared.timers.cancel((TimerKind.UNCONFIRMED_END, node_id))

    def attempt(self, node_id: str, now: float) -> None:
        """Ask once more."""
        record = self._shared.table.get(node_id)
        if record is None or record.state is not MemberState.UNCONFIRMED:
            return
        self._shared.outbox.send(record.address, encode_ping(UNTRACKED, node_id, record.metadata_version))
        self._attempts_left[node_id] -= 1
        if self._attempts_left[node_id]:
            spacing = _spacing_seconds(STRATEGIES[record.identity.role])
            self._shared.timers.schedule((TimerKind.CONFIRM, node_id), now + spacing)


def _spacing_seconds(strategy: ConfirmationStrategy) -> float:
    return strategy.timeout_seconds / (strategy.attempts + 1)
