"""How far apart the nodes of a group are."""

from __future__ import annotations

from enum import StrEnum

from hyperscale.swim.config import SwimConfig


class MembershipProfile(StrEnum):
    """Presets of the protocol."""

    LAN = "lan"
    WAN = "wan"
    LOCAL = "local"

    @property
    def numbers(self) -> SwimConfig:
        """What the preset stands for."""
        match self:
            case MembershipProfile.LAN:
                return SwimConfig.lan()
            case MembershipProfile.WAN:
                return SwimConfig.wan()
            case MembershipProfile.LOCAL:
                return SwimConfig.local()
