"""Probes for others: ping the target, pass its answer on, and say so when none comes in time."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.swim.members import MemberRecord, may_probe
from hyperscale.swim.models import NodeAddress
from hyperscale.swim.refusals import Overflow, RefusalReason
from hyperscale.swim.shared import Shared
from hyperscale.swim.timers import TimerKind
from hyperscale.swim.wire import encode_ack, encode_nack, encode_ping
from hyperscale.v1.swim_pb2 import SwimPingRequest

_NACK_AFTER_MAX_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Relay:
    asked_by: NodeAddress
    their_sequence: int
    target_id: str


class Relays:
    """The probes for others that are under way; bounded."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._relays: dict[int, _Relay] = {}

    def start(self, request: SwimPingRequest, sequence: int, source: NodeAddress, now: float) -> None:
        """Ping the target under a sequence of our own. Only members are pinged, so that nobody is made to flood strangers."""
        shared = self._shared
        target = shared.table.get(request.target_id)
        if target is None or not may_probe(shared.local.identity.role, target.identity.role):
            shared.journal.refuse(RefusalReason.WRONG_TARGET, source, now, f"asked to ping {request.target_id!r}")
            return
        if len(self._relays) >= shared.config.relays_max:
            shared.journal.overflow(Overflow.RELAYS)
            return
        self._relays[sequence] = _Relay(source, request.sequence, target.node_id)
        wait = min(_NACK_AFTER_MAX_SECONDS, request.nack_after_ms / 1000)
        if shared.config.nacks:
            shared.timers.schedule((TimerKind.RELAY_NACK, sequence), now + wait)
        shared.timers.schedule((TimerKind.RELAY_END, sequence), now + 2 * wait)
        shared.outbox.send(target.address, encode_ping(sequence, target.node_id, target.metadata_version))

    def acknowledge(self, sequence: int, prover: MemberRecord) -> None:
        """Pass the target's answer on."""
        relay = self._relays.get(sequence)
        if relay is None or prover.node_id != relay.target_id:
            return
        self.end(sequence)
        self._shared.outbox.send(relay.asked_by, encode_ack(relay.their_sequence, relay.target_id, None))

    def nack(self, sequence: int) -> None:
        """Say that no answer has come yet; one that comes later is still passed on."""
        relay = self._relays.get(sequence)
        if relay is not None:
            self._shared.outbox.send(relay.asked_by, encode_nack(relay.their_sequence))

    def end(self, sequence: int) -> None:
        """Forget the probe."""
        self._relays.pop(sequence, None)
        self._shared.timers.cancel((TimerKind.RELAY_NACK, sequence))
        self._shared.timers.cancel((TimerKind.RELAY_END, sequence))
