"""Membership: who is in the group, who is alive, and how far away they are. Pure: the asyncio shell is imported separately."""

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.core import Swim
from hyperscale.swim.events import (
    AccusationRefuted,
    Event,
    InputRefused,
    MemberConfirmed,
    MemberDied,
    MemberForgotten,
    MemberJoined,
    MemberLeft,
    MemberMoved,
    MemberRecovered,
    MemberSuspected,
    MetadataChanged,
)
from hyperscale.swim.journal import Counters
from hyperscale.swim.models import Datagram, Identity, Member, MemberState, NodeAddress, Role, StreamRequest
from hyperscale.swim.refusals import Overflow, RefusalReason

__all__ = [
    "AccusationRefuted",
    "Counters",
    "Datagram",
    "Event",
    "Identity",
    "InputRefused",
    "Member",
    "MemberConfirmed",
    "MemberDied",
    "MemberForgotten",
    "MemberJoined",
    "MemberLeft",
    "MemberMoved",
    "MemberRecovered",
    "MemberState",
    "MemberSuspected",
    "MetadataChanged",
    "NodeAddress",
    "Overflow",
    "RefusalReason",
    "Role",
    "StreamRequest",
    "Swim",
    "SwimConfig",
]
