"""Connections to peers: one per address, bounded in number, closed at the end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import grpc.aio

from hyperscale.runtime.interceptors import client_interceptors
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.protocol import MAX_MESSAGE_BYTES

StubT = TypeVar("StubT")

_CLOSE_GRACE_SECONDS = 30.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted peer is found again within seconds rather than minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Traffic between nodes never goes through the proxy that the environment sets for web access.
    ("grpc.enable_http_proxy", 0),
)


class ChannelPool:
    """One channel per address.

    Parameters
    ----------
    supervisor
        Runs the closing of channels that were pushed out.
    max_channels
        Beyond it, the channel used longest ago is closed once its calls have ended, at most 30 s later.
    default_deadline_seconds
        For calls with one answer that name no timeout.
    """

    def __init__(
        self, supervisor: Supervisor, *, max_channels: int = 1024, default_deadline_seconds: float = 10.0
    ) -> None:
        self._supervisor = supervisor
        self._max_channels = max_channels
        self._interceptors = client_interceptors(default_deadline_seconds)
        self._channels: OrderedDict[str, grpc.aio.Channel] = OrderedDict()

    def __len__(self) -> int:
        return len(self._channels)

    def stub(self, address: str, stub_class: Callable[[grpc.aio.Channel], StubT]) -> StubT:
        """A stub that talks to ``host:port``."""
        return stub_class(self._channel(address))

    def forget(self, address: str) -> None:
        """Close the channel to a peer that is gone, once its calls have ended."""
        channel = self._channels.pop(address, None)
        if channel is not None:
            _ = self._supervisor.start(channel.close(_CLOSE_GRACE_SECONDS), name="channel-close")

    async def close(self) -> None:
        """Close every channel at once; calls in flight are cancelled."""
        while self._channels:
            _, channel = self._channels.popitem()
            await channel.close()

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = grpc.aio.insecure_channel(address, _OPTIONS, interceptors=self._interceptors)
            self._channels[address] = channel
        self._channels.move_to_end(address)
        if len(self._channels) > self._max_channels:
            self.forget(next(iter(self._channels)))
        return channel
