"""Membership: who is in the group, who is alive, and how far away they are. Pure: the asyncio shell is imported separately."""

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.models import Datagram, Identity, Member, MemberState, NodeAddress, Role

__all__ = [
    "Datagram",
    "Identity",
    "Member",
    "MemberState",
    "NodeAddress",
    "Role",
    "SwimConfig",
]
