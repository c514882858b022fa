"""MembershipService: what nodes of a group, and people, ask of a member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc.aio

from hyperscale.runtime.membership.exchange import GrpcStreams
from hyperscale.v1.membership_service_pb2 import DESCRIPTOR, MembershipExchange, NodeListRequest, NodeListResponse
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceServicer

SERVICE_NAME: Final = DESCRIPTOR.services_by_name["MembershipService"].full_name


class MembershipServiceHandler(MembershipServiceServicer):
    """Translates and delegates."""

    def __init__(self, streams: GrpcStreams, nodes: Callable[[], NodeListResponse]) -> None:
        self._streams = streams
        self._nodes = nodes

    async def Exchange(
        self, request: MembershipExchange, context: grpc.aio.ServicerContext[Any, Any]
    ) -> MembershipExchange:
        """Answer another node."""
        return MembershipExchange(envelope=self._streams.answer(request.envelope, context.peer()))

    async def ListNodes(
        self, request: NodeListRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> NodeListResponse:
        """The members of the group."""
        return self._nodes()
