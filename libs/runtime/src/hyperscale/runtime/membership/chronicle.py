"""What happens in a group, in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from structlog.typing import FilteringBoundLogger

from hyperscale.swim.events import (
    AccusationRefuted,
    Event,
    InputRefused,
    MemberConfirmed,
    MemberDied,
    MemberLeft,
    MemberMoved,
    MemberRecovered,
    MemberSuspected,
)
from hyperscale.swim.federation import Reachability, ReachabilityChanged
from hyperscale.swim.models import Member

_MESSAGES: Final[Mapping[type, str]] = {
    MemberConfirmed: "member met",
    MemberRecovered: "member is back",
    MemberLeft: "member left",
    MemberMoved: "member moved",
}


class Chronicle:
    """Logs what people look for afterwards; refusals come seldom enough for a line each."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        self._logger = logger

    def member_changed(self, event: Event) -> None:
        """Log an event."""
        log = self._logger
        match event:
            case MemberDied(member, accuser_id):
                log.warning("member died", accuser_id=accuser_id, **_facts(member))
            case MemberSuspected(member, accuser_id):
                log.info("member suspected", accuser_id=accuser_id, **_facts(member))
            case AccusationRefuted(accuser_id, incarnation):
                log.warning("this node was taken for gone", accuser_id=accuser_id, incarnation=incarnation)
            case ReachabilityChanged(datacenter, previous, state):
                tell = log.info if state is Reachability.REACHABLE else log.warning
                tell("datacenter " + state.value, datacenter=datacenter, previous=previous.value)
            case InputRefused(reason, source, detail, count):
                log.warning(
                    "membership input refused", reason=reason.value, source=str(source), detail=detail, count=count
                )
            case MemberConfirmed(member) | MemberRecovered(member) | MemberLeft(member) | MemberMoved(member):
                log.info(_MESSAGES[type(event)], **_facts(member))
            case _:
                log.debug("membership changed", change=type(event).__name__)


def _facts(member: Member) -> dict[str, object]:
    return {
        "member_id": member.identity.node_id,
        "address": str(member.identity.address),
        "incarnation": member.incarnation,
    }
