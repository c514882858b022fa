"""A gRPC shop in the event loop of the test: one method of each kind, counted; its messages are made without a compiler."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP
from grpc import aio
from grpc_reflection.v1alpha import reflection

SERVICE = "test.shop.v1.Shop"


def _field(
    name: str, number: int, kind: int, *, repeated: bool = False, type_name: str | None = None
) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    return FieldDescriptorProto(name=name, number=number, type=kind, label=label, type_name=type_name)  # type: ignore[arg-type]


def _message(name: str, *fields: FieldDescriptorProto) -> DescriptorProto:
    return DescriptorProto(name=name, field=fields)


def _file() -> FileDescriptorProto:
    text, number = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_INT32
    file = FileDescriptorProto(name="test/shop.proto", package="test.shop.v1", syntax="proto3")
    file.dependency.append(TIMESTAMP.name)
    file.message_type.extend(
        [
            _message(
                "Order",
                _field("item", 1, text),
                _field("count", 2, number),
                _field("at", 3, FieldDescriptorProto.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp"),
            ),
            _message("Receipt", _field("total_count", 1, number), _field("items", 2, text, repeated=True)),
        ]
    )
    service = file.service.add(name="Shop")
    for name, client, server in (
        ("Place", False, False),
        ("Watch", False, True),
        ("Upload", True, False),
        ("Talk", True, True),
    ):
        service.method.add(
            name=name,
            input_type=".test.shop.v1.Order",
            output_type=".test.shop.v1.Receipt",
            client_streaming=client,
            server_streaming=server,
        )
    return file


def _timestamp_file() -> FileDescriptorProto:
    file = FileDescriptorProto()
    TIMESTAMP.CopyToProto(file)
    return file


FILES = FileDescriptorSet(file=[_timestamp_file(), _file()])
"""What describes the shop."""


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in FILES.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _pool()
Order: Any = GetMessageClass(POOL.FindMessageTypeByName("test.shop.v1.Order"))
Receipt: Any = GetMessageClass(POOL.FindMessageTypeByName("test.shop.v1.Receipt"))


@dataclass(slots=True)
class GrpcShop:
    """What came in. The item of an order decides: ``nothing`` NOT_FOUND, ``busy`` UNAVAILABLE, ``slow`` no answer."""

    port: int = 0
    calls: int = 0
    orders: list[str] = field(default_factory=list)
    sent: int = 0
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    peers: set[str] = field(default_factory=set)
    server: aio.Server | None = None

    def handler(self) -> grpc.GenericRpcHandler:
        codec = {"request_deserializer": Order.FromString, "response_serializer": Receipt.SerializeToString}
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Place": grpc.unary_unary_rpc_method_handler(self.place, **codec),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch, **codec),
                "Upload": grpc.stream_unary_rpc_method_handler(self.upload, **codec),
                "Talk": grpc.stream_stream_rpc_method_handler(self.talk, **codec),
            },
        )

    async def place(self, order: Any, context: Any) -> Any:
        self._note(context)
        await self._take(order, context)
        context.set_trailing_metadata((("x-shop", "open"), ("x-stamp-bin", b"\x00\x01")))
        return self._receipt(order.count, order.item)

    async def watch(self, order: Any, context: Any) -> AsyncIterator[Any]:
        self._note(context)
        for number in range(order.count):
            yield self._receipt(number, order.item)
        await self._take(order, context)

    async def upload(self, orders: AsyncIterator[Any], context: Any) -> Any:
        self._note(context)
        items = []
        async for order in orders:
            await self._take(order, context)
            items.append(order.item)
        return self._receipt(len(items), *items)

    async def talk(self, orders: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self._note(context)
        async for order in orders:
            await self._take(order, context)
            yield self._receipt(order.count, order.item)

    def _note(self, context: Any) -> None:
        self.calls += 1
        self.metadata.append(dict(context.invocation_metadata()))
        self.peers.add(context.peer())

    async def _take(self, order: Any, context: Any) -> None:
        self.orders.append(order.item)
        match order.item:
            case "nothing":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such item")
            case "busy":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "come back later")
            case "slow":
                await asyncio.sleep(60)

    def _receipt(self, total_count: int, *items: str) -> Any:
        self.sent += 1
        return Receipt(total_count=total_count, items=items)


@asynccontextmanager
async def grpc_shop(
    credentials: grpc.ServerCredentials | None = None, *, reflects: bool = True
) -> AsyncIterator[GrpcShop]:
    """A shop for the length of the block."""
    shop = GrpcShop()
    server = shop.server = aio.server()
    server.add_generic_rpc_handlers((shop.handler(),))
    if reflects:
        reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server, pool=POOL)
    if credentials is None:
        shop.port = server.add_insecure_port("127.0.0.1:0")
    else:
        shop.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield shop
    finally:
        await server.stop(None)
