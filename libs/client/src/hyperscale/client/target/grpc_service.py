"""The gRPC service of the target, and how connections for it get there from the port of the HTTP routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc import aio
from grpc_reflection.v1alpha import reflection

from hyperscale.client.target.server import RequestCounter
from hyperscale.v1 import target_service_pb2 as pb
from hyperscale.v1 import target_service_pb2_grpc as rpc

_MOST_ITEMS: Final = 10_000
_SERVICE: Final = pb.DESCRIPTOR.services_by_name["TargetService"].full_name

_Context = aio.ServicerContext[Any, Any]


class TargetServicer(rpc.TargetServiceServicer):
    """A shop without memory; it counts its calls."""

    def __init__(self, counter: RequestCounter) -> None:
        self._counter = counter

    async def GetItem(self, request: pb.GetItemRequest, context: _Context) -> pb.GetItemResponse:
        """See the contract."""
        self._counter.requests += 1
        if not request.id:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no item 0")
        return pb.GetItemResponse(id=request.id, name=f"item {request.id}")

    async def ListItems(self, request: pb.ListItemsRequest, context: _Context) -> AsyncIterator[pb.ListItemsResponse]:
        """See the contract."""
        self._counter.requests += 1
        if request.count > _MOST_ITEMS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"at most {_MOST_ITEMS:,} items")
        for number in range(1, request.count + 1):
            yield pb.ListItemsResponse(id=number, name=f"item {number}")

    async def OrderItems(
        self, request_iterator: AsyncIterator[pb.OrderItemsRequest], context: _Context
    ) -> pb.OrderItemsResponse:
        """See the contract."""
        self._counter.requests += 1
        counts = [order.count async for order in request_iterator]
        return pb.OrderItemsResponse(positions=len(counts), count=sum(counts))

    async def Chat(
        self, request_iterator: AsyncIterator[pb.ChatRequest], context: _Context
    ) -> AsyncIterator[pb.ChatResponse]:
        """See the contract."""
        self._counter.requests += 1
        async for said in request_iterator:
            yield pb.ChatResponse(text=said.text)


async def start_grpc_server(counter: RequestCounter) -> tuple[aio.Server, int]:
    """Serve on a free port of the loopback interface; the server, and its port."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_TargetServiceServicer_to_server(TargetServicer(counter), server)
    reflection.enable_server_reflection([_SERVICE, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port
