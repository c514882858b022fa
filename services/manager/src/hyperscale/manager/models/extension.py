"""Time beyond deadlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hyperscale.v1.progress_pb2 import ExtensionOutcome


@dataclass(frozen=True, slots=True)
class GrantedTime:
    """What a shard was granted so far.

    Attributes
    ----------
    work_done
        Requests and iterations that had ended at the last grant.
    """

    grants: int = 0
    seconds: float = 0.0
    work_done: int = 0


NO_TIME_GRANTED: Final = GrantedTime()


@dataclass(frozen=True, slots=True)
class ExtensionWish:
    """A shard asks for more time.

    Attributes
    ----------
    work_done
        Requests and iterations that have ended.
    missing_seconds
        How much longer than its deadline it expects to take; None when it cannot tell.
    unknown_seconds
        How much later its deadline is than it knew when it asked.
    """

    work_done: int
    missing_seconds: float | None
    unknown_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ExtensionVerdict:
    """What a wish has come to, and what the shard has been granted in all since then."""

    outcome: ExtensionOutcome.ValueType
    granted: GrantedTime
