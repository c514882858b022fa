"""Why something received changed no state, and what had no room."""

from __future__ import annotations

from enum import StrEnum


class RefusalReason(StrEnum):
    """Why a datagram, a stream or one update of them was not accepted."""

    OVERSIZED = "oversized"
    UNDECRYPTABLE = "undecryptable"
    """Not encrypted, or with a key this node does not have, or changed on the way."""
    WRONG_GROUP = "wrong_group"
    """Encrypted for another cluster or environment: which one cannot be read."""
    REPLAYED = "replayed"
    """Received before, or sent by an earlier life of its sender."""
    MALFORMED = "malformed"
    """Not a message of this protocol, or cut short."""
    WRONG_PROTOCOL = "wrong_protocol"
    WRONG_CLUSTER = "wrong_cluster"
    WRONG_ENVIRONMENT = "wrong_environment"
    BAD_IDENTITY = "bad_identity"
    """Empty or overlong id, host or datacenter; no role; no port."""
    OWN_ID = "own_id"
    """The sender claims to be this node."""
    TWIN = "twin"
    """Two nodes with one id: the same incarnation at different addresses."""
    FUTURE_INCARNATION = "future_incarnation"
    """An incarnation that cannot be reached by counting."""
    BAD_UPDATE = "bad_update"
    """No such state, no id, or something missing."""
    OVERLONG_METADATA = "overlong_metadata"
    FALSE_LEAVE = "false_leave"
    """News that this node has left, which it has not."""
    WRONG_TARGET = "wrong_target"
    """Meant for another node: its address has a new owner."""
    FALSE_ACK = "false_ack"
    """An answer to a probe from somebody who was not asked."""
    BAD_COORDINATE = "bad_coordinate"
    REFUSED_BY_PEER = "refused_by_peer"
    """A peer did not accept what this node sent."""


class Overflow(StrEnum):
    """What was dropped because a bound of the configuration was reached."""

    MEMBERS = "members"
    UPDATES = "updates"
    RELAYS = "relays"
    EVENTS = "events"
