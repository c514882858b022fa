"""Replay window: what was received before is not received again (RFC 4303, section 3.4.3, per sender and session)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_SEQUENCE_MAX = 2**63 - 1


class ReplayVerdict(StrEnum):
    """What a number says of the datagram that carries it."""

    FRESH = "fresh"
    DUPLICATE = "duplicate"
    TOO_OLD = "too_old"
    """Before the window: it may have been received or not."""
    ENDED_SESSION = "ended_session"
    """From before the sender's latest start."""


@dataclass(slots=True)
class _Window:
    session: int
    highest: int
    received: int
    """Bit n is set when highest − n was received."""


class ReplayWindow:
    """Remembers, for each sender, the latest session and which of its last sequence numbers were received.

    A sender that restarts begins a session with a higher number, and its old window is dropped: sessions are numbered by the
    time they began. Numbers must be authentic: check them only after decryption.

    Parameters
    ----------
    size
        Sequence numbers a datagram may be late by. Larger tolerates more reordering; one bit per sender each.
    senders_max
        Senders remembered. When there are more, the one silent for longest is forgotten, and could be replayed from then on.
    """

    def __init__(self, size: int = 1024, senders_max: int = 10_000) -> None:
        if size < 1 or senders_max < 1:
            raise ValueError("a replay window needs room for at least one number of one sender")
        self._size = size
        self._mask = (1 << size) - 1
        self._senders_max = senders_max
        self._windows: dict[bytes, _Window] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def check(self, sender: bytes, session: int, sequence: int) -> ReplayVerdict:
        """Judge a datagram's number, and remember it if it is fresh."""
        if not 0 <= sequence <= _SEQUENCE_MAX:
            return ReplayVerdict.TOO_OLD
        window = self._windows.pop(sender, None)
        if window is None or session > window.session:
            self._begin(sender, _Window(session, sequence, 1))
            return ReplayVerdict.FRESH
        self._windows[sender] = window
        return self._judge(window, session, sequence)

    def _begin(self, sender: bytes, window: _Window) -> None:
        if len(self._windows) >= self._senders_max:
            del self._windows[next(iter(self._windows))]
        self._windows[sender] = window

    def _judge(self, window: _Window, session: int, sequence: int) -> ReplayVerdict:
        if session < window.session:
            return ReplayVerdict.ENDED_SESSION
        ahead = sequence - window.highest
        if ahead > 0:
            window.received = ((window.received << ahead) | 1) & self._mask if ahead < self._size else 1
            window.highest = sequence
            return ReplayVerdict.FRESH
        if -ahead >= self._size:
            return ReplayVerdict.TOO_OLD
        bit = 1 << -ahead
        if window.received & bit:
            return ReplayVerdict.DUPLICATE
        window.received |= bit
        return ReplayVerdict.FRESH
