"""What does not fit into datagrams goes over gRPC, since the node's TCP port is gRPC's."""

from __future__ import annotations

from collections.abc import Callable

import grpc.aio

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.swim.models import NodeAddress
from hyperscale.v1.membership_service_pb2 import MembershipExchange
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub

Answer = Callable[[bytes, NodeAddress], bytes]


class GrpcStreams:
    """Carries a node's requests to others, and theirs to it: the `StreamTransport` of the library's shell."""

    def __init__(self, channels: ChannelPool) -> None:
        self._channels = channels
        self._answer: Answer | None = None

    async def start(self, answer: Answer) -> None:
        """Answer who asks from now on."""
        self._answer = answer

    async def stop(self) -> None:
        """Answer nobody any more."""
        self._answer = None

    async def request(self, address: NodeAddress, data: bytes, timeout_seconds: float) -> bytes:
        """Send a message to a node and return its answer, empty if it gives none.

        Raises OSError when the node cannot be reached, or does not answer in time.
        """
        stub = self._channels.stub(Endpoint(address.host, address.port).address, MembershipServiceStub)
        try:
            reply = await stub.Exchange(MembershipExchange(envelope=data), timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise ConnectionError(f"{address}: {error.code().name}: {error.details()}") from error
        return reply.envelope

    def answer(self, data: bytes, peer: str) -> bytes:
        """Answer a request of whom gRPC calls `peer`; raises DRAINING when the node is in no group yet, or no longer."""
        if self._answer is None:
            raise HyperscaleError(ErrorReason.DRAINING)
        return self._answer(data, _source(peer))


def _source(peer: str) -> NodeAddress:
    """The address behind gRPC's name of a peer, ``ipv4:127.0.0.1:4711`` or ``ipv6:%5B::1%5D:4711``."""
    host, _, port = peer.partition(":")[2].rpartition(":")
    host = host.removeprefix("%5B").removesuffix("%5D").removeprefix("[").removesuffix("]")
    return NodeAddress(host or peer, int(port) if port.isdigit() else 0)
