"""Datagrams as bytes. What does not change between datagrams is encoded once: serialized messages may be put end to end."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from hyperscale.swim.coordinates import Coordinate
from hyperscale.swim.models import METADATA_MAX_BYTES, Identity, MemberState, NodeAddress, Role
from hyperscale.swim.refusals import RefusalReason
from hyperscale.v1 import node_pb2, swim_pb2

PROTOCOL: Final = 1
INCARNATION_MAX: Final = 1 << 53
"""Reached by nobody who counts, nor by who starts with the time in milliseconds."""
INCARNATION_JUMP_MAX: Final = 1 << 42
"""A node that starts with the time in milliseconds jumps over a century at most."""
ID_MAX_BYTES: Final = 128
HOST_MAX_BYTES: Final = 255

_STATES: Final = {
    MemberState.ALIVE: swim_pb2.SWIM_STATE_ALIVE,
    MemberState.SUSPECT: swim_pb2.SWIM_STATE_SUSPECT,
    MemberState.DEAD: swim_pb2.SWIM_STATE_DEAD,
    MemberState.LEFT: swim_pb2.SWIM_STATE_LEFT,
}
_ROLES: Final = {
    Role.GATE: node_pb2.NODE_ROLE_GATE,
    Role.MANAGER: node_pb2.NODE_ROLE_MANAGER,
    Role.WORKER: node_pb2.NODE_ROLE_WORKER,
}
REFUSALS: Final = {
    RefusalReason.WRONG_CLUSTER: swim_pb2.SWIM_REFUSAL_REASON_WRONG_CLUSTER,
    RefusalReason.WRONG_ENVIRONMENT: swim_pb2.SWIM_REFUSAL_REASON_WRONG_ENVIRONMENT,
    RefusalReason.WRONG_GROUP: swim_pb2.SWIM_REFUSAL_REASON_UNDECRYPTABLE,
    RefusalReason.UNDECRYPTABLE: swim_pb2.SWIM_REFUSAL_REASON_UNDECRYPTABLE,
    RefusalReason.WRONG_PROTOCOL: swim_pb2.SWIM_REFUSAL_REASON_WRONG_PROTOCOL,
}
"""Refusals that the refused is told of."""


def decode(data: bytes) -> swim_pb2.SwimEnvelope | None:
    """Return the message; none when the bytes are none."""
    try:
        return swim_pb2.SwimEnvelope.FromString(data)
    except DecodeError:
        return None


def envelope_fault(envelope: swim_pb2.SwimEnvelope, own: Identity) -> RefusalReason | None:
    """Return why nothing of the envelope can be used, if so."""
    if envelope.protocol != PROTOCOL:
        return RefusalReason.WRONG_PROTOCOL
    if envelope.cluster_id != own.cluster_id:
        return RefusalReason.WRONG_CLUSTER
    if envelope.environment_id != own.environment_id:
        return RefusalReason.WRONG_ENVIRONMENT
    return None


def read_identity(node_id: str, identity: swim_pb2.SwimIdentity, own: Identity) -> Identity | None:
    """Return who a node of our group says it is; none when that cannot be."""
    within = (
        0 < len(node_id.encode()) <= ID_MAX_BYTES
        and 0 < len(identity.host.encode()) <= HOST_MAX_BYTES
        and len(identity.datacenter.encode()) <= ID_MAX_BYTES
    )
    if not within or not 0 < identity.port <= 65_535 or identity.role not in _ROLES.values():
        return None
    address = NodeAddress(identity.host, identity.port)
    return Identity(node_id, Role(identity.role), address, own.cluster_id, own.environment_id, identity.datacenter)


def incarnation_fault(incarnation: int, known: int | None) -> RefusalReason | None:
    """Return whether an incarnation cannot be, given what is known of the member."""
    limit = INCARNATION_MAX if known is None else min(INCARNATION_MAX, known + INCARNATION_JUMP_MAX)
    return RefusalReason.FUTURE_INCARNATION if incarnation > limit else None


def _identity_message(identity: Identity) -> swim_pb2.SwimIdentity:
    return swim_pb2.SwimIdentity(
        role=_ROLES[identity.role],
        host=identity.address.host,
        port=identity.address.port,
        datacenter=identity.datacenter,
    )


def encode_envelope(identity: Identity) -> bytes:
    """Return the part of every envelope that says where it belongs."""
    return swim_pb2.SwimEnvelope(
        protocol=PROTOCOL, cluster_id=identity.cluster_id, environment_id=identity.environment_id
    ).SerializeToString()


def encode_sender(identity: Identity, incarnation: int, metadata_version: int, load: float) -> bytes:
    """Return the part of every envelope that says who sends."""
    sender = swim_pb2.SwimSender(
        node_id=identity.node_id,
        incarnation=incarnation,
        identity=_identity_message(identity),
        metadata_version=metadata_version,
        load_hundredths=round(load * 100),
    )
    return swim_pb2.SwimEnvelope(sender=sender).SerializeToString()


def encode_ping(sequence: int, target_id: str, metadata_version: int) -> bytes:
    """Return the body of a ping."""
    ping = swim_pb2.SwimPing(sequence=sequence, target_id=target_id, metadata_version=metadata_version)
    return swim_pb2.SwimEnvelope(ping=ping).SerializeToString()


def encode_ping_request(sequence: int, target_id: str, nack_after_seconds: float) -> bytes:
    """Return the body of a request to ping."""
    request = swim_pb2.SwimPingRequest(
        sequence=sequence, target_id=target_id, nack_after_ms=round(nack_after_seconds * 1000)
    )
    return swim_pb2.SwimEnvelope(ping_request=request).SerializeToString()


def encode_ack(sequence: int, target_id: str, coordinate: Coordinate | None) -> bytes:
    """Return the body of an ack; without a target it is for the sender itself."""
    position = None if coordinate is None else _coordinate_message(coordinate)
    ack = swim_pb2.SwimAck(sequence=sequence, target_id=target_id, coordinate=position)
    return swim_pb2.SwimEnvelope(ack=ack).SerializeToString()


def _coordinate_message(coordinate: Coordinate) -> swim_pb2.SwimCoordinate:
    return swim_pb2.SwimCoordinate(
        vector=coordinate.vector,
        height_seconds=coordinate.height_seconds,
        error=coordinate.error,
        adjustment_seconds=coordinate.adjustment_seconds,
    )


def read_coordinate(said: swim_pb2.SwimCoordinate) -> Coordinate:
    """Return where a node says it is, not yet checked."""
    return Coordinate(tuple(said.vector), said.height_seconds, said.error, said.adjustment_seconds)


def encode_nack(sequence: int) -> bytes:
    """Return the body of a nack."""
    return swim_pb2.SwimEnvelope(nack=swim_pb2.SwimNack(sequence=sequence)).SerializeToString()


def encode_push_pull() -> bytes:
    """Return the body before a whole table."""
    return swim_pb2.SwimEnvelope(push_pull=swim_pb2.SwimPushPull()).SerializeToString()


def encode_gossip() -> bytes:
    """Return the body that carries updates only."""
    return swim_pb2.SwimEnvelope(gossip=swim_pb2.SwimGossip()).SerializeToString()


def encode_refusal(reason: RefusalReason) -> bytes:
    """Return the body that says why something was not accepted."""
    return swim_pb2.SwimEnvelope(refusal=swim_pb2.SwimRefusal(reason=REFUSALS[reason])).SerializeToString()


def encode_member(
    identity: Identity, state: MemberState, incarnation: int, metadata: tuple[bytes, int], accuser_id: str = ""
) -> bytes:
    """Return one update with all that is known of the member, ready to be put behind a body.

    Parameters
    ----------
    metadata
        Content and version.
    """
    content, version = metadata
    update = swim_pb2.SwimUpdate(
        node_id=identity.node_id,
        incarnation=incarnation,
        state=_STATES[state],
        accuser_id=accuser_id,
        identity=_identity_message(identity),
        metadata=content,
        metadata_version=version,
    )
    return swim_pb2.SwimEnvelope(updates=[update]).SerializeToString()


def encode_belief(node_id: str, state: MemberState, incarnation: int, accuser_id: str) -> bytes:
    """Return one short update: the belief alone, for those who know the member."""
    update = swim_pb2.SwimUpdate(node_id=node_id, incarnation=incarnation, state=_STATES[state], accuser_id=accuser_id)
    return swim_pb2.SwimEnvelope(updates=[update]).SerializeToString()


def update_fault(update: swim_pb2.SwimUpdate) -> RefusalReason | None:
    """Return what is wrong with an update by itself."""
    if not 0 < len(update.node_id.encode()) <= ID_MAX_BYTES or len(update.accuser_id.encode()) > ID_MAX_BYTES:
        return RefusalReason.BAD_UPDATE
    if update.state not in _STATES.values():
        return RefusalReason.BAD_UPDATE
    if len(update.metadata) > METADATA_MAX_BYTES:
        return RefusalReason.OVERLONG_METADATA
    return None
