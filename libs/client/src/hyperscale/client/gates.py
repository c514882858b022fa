"""The gates a client knows: which one is asked next, and the channels to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from hyperscale.v1.gate_service_pb2_grpc import GateServiceStub
from hyperscale.v1.protocol import MAX_MESSAGE_BYTES

_MAX_HINTED_GATES: Final = 16
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A gate that vanished without closing its connection is noticed within eight seconds.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.max_pings_without_data", 0),
    # Gates are part of the user's own infrastructure; a proxy for the web only gets in the way.
    ("grpc.enable_http_proxy", 0),
)


def open_channel(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """Open a lazy channel: nothing is dialled before the first call."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: its address, and the channel to it."""

    address: str
    channel: grpc.aio.Channel
    stub: GateServiceStub

    @property
    def connected(self) -> bool:
        """Whether the channel is up, so that a failed call is the gate's doing."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY


class GatePool:
    """The gates in the order in which they are asked; hints add gates nobody configured.

    Parameters
    ----------
    addresses
        ``host:port`` of one gate or more.
    credentials
        TLS for every gate, or None for plain text.
    """

    def __init__(self, addresses: Sequence[str], credentials: grpc.ChannelCredentials | None) -> None:
        if not addresses:
            raise ValueError("a client needs the address of at least one gate")
        self._credentials = credentials
        self._configured = tuple(dict.fromkeys(addresses))
        self._gates: dict[str, Gate] = {}
        self._order = list(self._configured)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The configured gates."""
        return self._configured

    @property
    def current(self) -> Gate:
        """The gate to ask."""
        return self.gate(self._order[0])

    def gate(self, address: str) -> Gate:
        """The gate at ``address``, with its channel opened on first use."""
        gate = self._gates.get(address)
        if gate is None:
            channel = open_channel(address, self._credentials)
            gate = self._gates[address] = Gate(address, channel, GateServiceStub(channel))
        return gate

    def __len__(self) -> int:
        return len(self._order)

    def pass_over(self, address: str) -> None:
        """Ask ``address`` last from now on; another gate may have taken its place already."""
        if self._order[0] == address:
            self._order.append(self._order.pop(0))

    def prefer(self, address: str) -> None:
        """Ask ``address`` first from now on. Hints beyond the bound are ignored: the known gates are asked again."""
        if address in self._order:
            self._order.remove(address)
        elif len(self._order) >= len(self._configured) + _MAX_HINTED_GATES:
            return
        self._order.insert(0, address)

    async def close(self) -> None:
        """Close every channel; calls under way end."""
        gates, self._gates = self._gates, {}
        async with asyncio.TaskGroup() as closing:
            for gate in gates.values():
                closing.create_task(gate.channel.close())
