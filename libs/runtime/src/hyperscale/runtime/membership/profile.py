"""How far apart the nodes of a group are."""

from __future__ import annotations

from enum import StrEnum

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.federation import FederationConfig


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

    @property
    def federation(self) -> FederationConfig:
        """How a gate with this preset probes datacenters."""
        match self:
            case MembershipProfile.LAN:
                return FederationConfig.lan()
            case MembershipProfile.WAN:
                return FederationConfig.wan()
            case MembershipProfile.LOCAL:
                return FederationConfig.local()
