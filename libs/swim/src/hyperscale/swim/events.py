"""What a node tells its owner. Whether it was found out here or learnt by gossip makes no difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hyperscale.swim.federation import ReachabilityChanged
from hyperscale.swim.models import Member, MemberState, NodeAddress
from hyperscale.swim.refusals import RefusalReason


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """A member was heard of for the first time, or again after it was forgotten."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberConfirmed:
    """The first message from a member itself arrived."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberSuspected:
    """Somebody got no answer from the member."""

    member: Member
    accuser_id: str


@dataclass(frozen=True, slots=True)
class MemberRecovered:
    """A suspect, a dead member or one that had left is there again, with a higher incarnation."""

    member: Member
    previous: MemberState


@dataclass(frozen=True, slots=True)
class MemberDied:
    """A member did not refute a suspicion in time."""

    member: Member
    accuser_id: str


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """A member said that it goes."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberMoved:
    """A member is back at another address, or as something else."""

    member: Member
    previous: NodeAddress


@dataclass(frozen=True, slots=True)
class MetadataChanged:
    """A member says something new of itself."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberForgotten:
    """A member is no longer in the table: never heard from, or gone for long."""

    member: Member


@dataclass(frozen=True, slots=True)
class AccusationRefuted:
    """Others took this node for suspect, dead or gone; it has raised its incarnation."""

    accuser_id: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class InputRefused:
    """Something received was not accepted. At most one event a minute for a reason and host; all are counted."""

    reason: RefusalReason
    source: NodeAddress
    detail: str
    count: int
    """How often this reason has been counted so far, whoever the source was."""


Event: TypeAlias = (
    MemberJoined
    | MemberConfirmed
    | MemberSuspected
    | MemberRecovered
    | MemberDied
    | MemberLeft
    | MemberMoved
    | MetadataChanged
    | MemberForgotten
    | AccusationRefuted
    | InputRefused
    | ReachabilityChanged
)
