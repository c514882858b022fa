"""Asks servers what their services look like: the reflection service of gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2

from hyperscale.worker.engine.clients.grpc_lines import Metadata
from hyperscale.worker.engine.clients.grpc_network import MAX_MESSAGE_BYTES
from hyperscale.workload.grpc_methods import WELL_KNOWN_PREFIX, GrpcDescriptions, GrpcRequestError

_PATHS: Final = tuple(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")
)
"""The two versions have the same messages."""
_MOST_FILES: Final = 1000


async def describe_service(channel: aio.Channel, service: str, metadata: Metadata) -> GrpcDescriptions:
    """The files that describe a service, and what they import.

    Raises GrpcRequestError when the server does not tell, AioRpcError when it cannot be reached.
    """
    for path in _PATHS:
        try:
            return await _describe(_Reflection(channel.unary_stream(path), metadata), service)
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
    raise GrpcRequestError(f"no description of {service!r}: the server has no reflection, give a descriptor_set")


async def _describe(reflection: _Reflection, service: str) -> GrpcDescriptions:
    files = await reflection.ask(reflection_pb2.ServerReflectionRequest(file_containing_symbol=service))
    missing = _missing(files)
    while missing:
        if len(files) + len(missing) > _MOST_FILES:
            raise GrpcRequestError(f"the description of {service!r} has more than {_MOST_FILES:,} files")
        for name in missing:
            files |= await reflection.ask(reflection_pb2.ServerReflectionRequest(file_by_filename=name))
        missing = _missing(files)
    return GrpcDescriptions(files.values())


@dataclass(frozen=True, slots=True)
class _Reflection:
    """The service of one server. It streams both ways, and takes calls with one request alike."""

    rpc: aio.UnaryStreamMultiCallable[bytes, bytes]
    metadata: Metadata

    async def ask(self, request: reflection_pb2.ServerReflectionRequest) -> dict[str, FileDescriptorProto]:
        """The files of one answer, by name; the one that was asked for is among them."""
        data = bytearray()
        async for piece in self.rpc(request.SerializeToString(), metadata=self.metadata or None):
            data += piece
            if len(data) > MAX_MESSAGE_BYTES:
                raise GrpcRequestError("the reflection of the server answers without end")
        try:
            answer = reflection_pb2.ServerReflectionResponse.FromString(bytes(data))
            if not answer.HasField("file_descriptor_response"):
                raise GrpcRequestError(f"the server does not describe it: {_complaint(answer, request)}")
            found = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
            files = {file.name: file for file in found}
        except DecodeError as error:
            raise GrpcRequestError("the reflection of the server answered with something else") from error
        if request.file_by_filename and request.file_by_filename not in files:
            raise GrpcRequestError(f"the server does not have {request.file_by_filename}, which its own files import")
        return files


def _complaint(answer: reflection_pb2.ServerReflectionResponse, request: reflection_pb2.ServerReflectionRequest) -> str:
    asked = request.file_containing_symbol or request.file_by_filename
    return f"{asked}: {answer.error_response.error_message or 'no reason given'}"


def _missing(files: dict[str, FileDescriptorProto]) -> list[str]:
    imported = {name for file in files.values() for name in file.dependency}
    return sorted(name for name in imported - files.keys() if not name.startswith(WELL_KNOWN_PREFIX))
