"""What a node waits for."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

from hyperscale.swim.timing_wheel import TimingWheel


class TimerKind(IntEnum):
    """What is due; most are about a member or a probe, some about the node as a whole."""

    PROBE = 1
    """Time for the next probe."""
    PROBE_INDIRECT = 2
    """The direct answer to a probe did not come."""
    PROBE_END = 3
    """No answer came on any way."""
    RELAY_NACK = 4
    """The answer to somebody else's probe did not come in time for a nack."""
    RELAY_END = 5
    """Somebody else's probe is over."""
    SUSPICION = 6
    """A suspect did not refute."""
    CONFIRM = 7
    """Time to ask an unconfirmed member."""
    UNCONFIRMED_END = 8
    """Nothing was ever received from a member."""
    GOSSIP_TO_DEAD_END = 9
    """A dead member gets no more gossip."""
    FORGET = 10
    """A member has been gone for long."""
    TOMBSTONE = 11
    """Old news of somebody never heard from has died down."""
    GOSSIP = 12
    """Time for a round of gossip."""
    PUSH_PULL = 13
    """Time to exchange tables."""
    JOIN = 14
    """Time to try the seeds again."""
    DEAD_RETRY = 15
    """Time to try somebody dead again."""
    STREAM = 16
    """A stream was not answered."""
    LEAVE = 17
    """The last message had its time."""


Timer: TypeAlias = tuple[TimerKind, str | int]
Timers: TypeAlias = TimingWheel[Timer]
