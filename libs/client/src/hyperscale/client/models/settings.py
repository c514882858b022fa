"""How patient a client is, and how it secures its connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpc import ChannelCredentials


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Deadlines and retries of a client; the defaults suit a person at a terminal.

    Parameters
    ----------
    call_timeout_seconds
        Longest time one call takes, retries included. Longer survives longer outages.
    attempt_timeout_seconds
        Longest wait for one gate before another one is asked.
    connect_timeout_seconds
        The same for a gate there is no connection to yet.
    reach_timeout_seconds
        Gives up after this long, and not before each gate was asked, when no gate has ever answered.
    watch_patience_seconds
        Longest outage a watch survives.
    watch_idle_seconds
        A watch that hears nothing for this long reopens its stream, so that a dead connection is noticed.
    backoff_initial_seconds, backoff_max_seconds
        Bounds of the random delay between attempts (full jitter).
    credentials
        TLS for every gate; None: plain text, for loopback.
    """

    call_timeout_seconds: float = 30.0
    attempt_timeout_seconds: float = 10.0
    connect_timeout_seconds: float = 2.0
    reach_timeout_seconds: float = 3.0
    watch_patience_seconds: float = 60.0
    watch_idle_seconds: float = 60.0
    backoff_initial_seconds: float = 0.1
    backoff_max_seconds: float = 2.0
    credentials: ChannelCredentials | None = None
