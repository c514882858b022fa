"""The way in: what arrives is measured, decrypted, decoded, and checked for where it belongs, before anything is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hyperscale.swim.models import Identity
from hyperscale.swim.refusals import RefusalReason
from hyperscale.swim.seal import Seal, SealRefusal
from hyperscale.swim.wire import REFUSALS, decode, encode_envelope, encode_refusal, envelope_fault
from hyperscale.v1.swim_pb2 import SwimEnvelope, SwimRefusalReason


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why something cannot be used."""

    reason: RefusalReason
    detail: str

    def answer(self) -> bytes:
        """Return the body that tells the sender; empty when it would not help it."""
        return encode_refusal(self.reason) if self.reason in REFUSALS else b""


_NOT_ENCRYPTED: Final = Unreadable(RefusalReason.UNDECRYPTABLE, "not encrypted, or cut short")
_REPLAYED: Final = Unreadable(RefusalReason.REPLAYED, "received before, or of an earlier life of its sender")
_UNOPENED: Final = {
    SealRefusal.TRUNCATED: _NOT_ENCRYPTED,
    SealRefusal.WRONG_VERSION: _NOT_ENCRYPTED,
    SealRefusal.WRONG_GROUP: Unreadable(RefusalReason.WRONG_GROUP, "encrypted for another cluster or environment"),
    SealRefusal.NO_KEY: Unreadable(RefusalReason.UNDECRYPTABLE, "encrypted with a key that this node does not have"),
    SealRefusal.MALFORMED: Unreadable(RefusalReason.MALFORMED, "no sender within"),
    SealRefusal.DUPLICATE: _REPLAYED,
    SealRefusal.TOO_OLD: _REPLAYED,
    SealRefusal.ENDED_SESSION: _REPLAYED,
}


class Reception:
    """Reads what arrives at one node."""

    def __init__(self, identity: Identity, seal: Seal | None) -> None:
        self._identity = identity
        self._seal = seal
        self._own_envelope = encode_envelope(identity)

    def read(self, data: bytes, most_bytes: int) -> SwimEnvelope | Unreadable:
        """Return the message of a node of this group, or why it is none."""
        if len(data) > most_bytes:
            return Unreadable(RefusalReason.OVERSIZED, f"{len(data)} bytes")
        plain = data if self._seal is None else self._seal.open(data)
        if isinstance(plain, SealRefusal):
            return _UNOPENED[plain]
        envelope = decode(plain)
        if envelope is None:
            return Unreadable(RefusalReason.MALFORMED, "no message of this protocol")
        # Nearly everything starts with the very bytes that everything this node sends starts with.
        if plain.startswith(self._own_envelope) and not envelope.HasField("refusal"):
            return envelope
        return self._examine(envelope)

    def _examine(self, envelope: SwimEnvelope) -> SwimEnvelope | Unreadable:
        place = f"cluster {envelope.cluster_id!r}, environment {envelope.environment_id!r}"
        if envelope.HasField("refusal"):
            return Unreadable(RefusalReason.REFUSED_BY_PEER, f"{_reason_name(envelope.refusal.reason)} says {place}")
        fault = envelope_fault(envelope, self._identity)
        if fault is None:
            return envelope
        return Unreadable(fault, f"{envelope.sender.node_id!r} is of {place}, protocol {envelope.protocol}")


def _reason_name(number: SwimRefusalReason.ValueType) -> str:
    known = {wire: reason for reason, wire in REFUSALS.items()}
    return str(known.get(number, "an unknown reason"))
