"""Methods of gRPC services as descriptions of them say: messages from JSON, and JSON from messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from hyperscale.workload.json_values import with_whole_numbers

_SHOWN_NAMES: Final = 10
_ANY_JSON: Final = "google.protobuf."
"""Messages whose JSON may be something else than a mapping."""
WELL_KNOWN_PREFIX: Final = "google/protobuf/"
"""Files that need not be described: they are the same everywhere."""
_WELL_KNOWN: Final[Mapping[str, bytes]] = {
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2,
        api_pb2,
        descriptor_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        source_context_pb2,
        struct_pb2,
        timestamp_pb2,
        type_pb2,
        wrappers_pb2,
    )
}
"""Files that every compiler brings along, and that descriptions therefore often leave out."""


class GrpcRequestError(ValueError):
    """A call that cannot be made as it is written; the text says why."""


class GrpcResponseError(ValueError):
    """What came back is not the message of the method, or cannot be said in JSON; the text says why."""


@dataclass(frozen=True, slots=True)
class GrpcMethod:
    """One method."""

    path: str
    """As in the request line, for example ``/shop.v1.Orders/Place``."""
    client_streaming: bool
    server_streaming: bool
    _request: type[Message]
    _response: type[Message]
    _pool: DescriptorPool

    def encode(self, content: object) -> bytes:
        """One request from JSON content. Raises GrpcRequestError."""
        message = self._request()
        name = message.DESCRIPTOR.full_name
        if not isinstance(content, Mapping) and not name.startswith(_ANY_JSON):
            raise GrpcRequestError(f"must be a mapping of the fields of {name}")
        try:
            ParseDict(content, message, descriptor_pool=self._pool)  # type: ignore[arg-type]
            return message.SerializeToString()
        except (ParseError, AttributeError, TypeError, ValueError, RecursionError) as error:
            raise GrpcRequestError(f"is not a {name}: {' '.join(str(error).split())}") from error

    def encode_declared(self, request: struct_pb2.Value) -> tuple[bytes, ...]:
        """The requests of a declared call: of a list when the client streams, else one. Raises GrpcRequestError.

        An absent request is one message without fields, or none at all when the client streams.
        """
        is_given = request.WhichOneof("kind") is not None
        content = with_whole_numbers(MessageToDict(request)) if is_given else [] if self.client_streaming else {}
        if not self.client_streaming:
            return (self.encode(content),)
        if not isinstance(content, list):
            raise GrpcRequestError(f"must be a list of messages: the client of {self.path[1:]} streams")
        return tuple(map(self.encode, content))

    def decode(self, data: bytes) -> dict[str, Any]:
        """A response as JSON content, fields without value included. Raises GrpcResponseError."""
        message = self._response()
        try:
            message.ParseFromString(data)
            content: dict[str, Any] = MessageToDict(
                message, always_print_fields_with_no_presence=True, descriptor_pool=self._pool
            )
        except (DecodeError, JsonError, TypeError, ValueError, RecursionError) as error:
            raise GrpcResponseError(f"is not a {message.DESCRIPTOR.full_name} in JSON: {error}") from error
        return content


class GrpcDescriptions:
    """Files that describe services."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        """Raises GrpcRequestError when a file is missing or contradicts another one."""
        by_name = {file.name: file for file in files}
        self._pool = DescriptorPool()
        self._services = [
            f"{file.package}.{service.name}" if file.package else service.name
            for file in by_name.values()
            for service in file.service
        ]
        try:
            order = list(TopologicalSorter({file.name: file.dependency for file in by_name.values()}).static_order())
        except CycleError as error:
            raise GrpcRequestError(f"files import each other: {' -> '.join(error.args[1])}") from error
        for name in order:
            self._add(name, by_name)

    @staticmethod
    def of_set(data: bytes) -> GrpcDescriptions:
        """The files of a serialized FileDescriptorSet. Raises GrpcRequestError."""
        try:
            files = FileDescriptorSet.FromString(data).file
        except DecodeError as error:
            raise GrpcRequestError("is not a FileDescriptorSet") from error
        if not files:
            raise GrpcRequestError("has no file")
        return GrpcDescriptions(files)

    def method(self, name: str) -> GrpcMethod:
        """A method by its full name, ``package.Service/Method``. Raises GrpcRequestError."""
        service_name, _, method_name = name.rpartition("/")
        try:
            service = self._pool.FindServiceByName(service_name)
        except KeyError as error:
            raise GrpcRequestError(f"no service {service_name!r}{_there_are(self._services)}") from error
        method = service.methods_by_name.get(method_name)
        if method is None:
            known = _there_are(service.methods_by_name)
            raise GrpcRequestError(f"service {service_name!r} has no method {method_name!r}{known}")
        return GrpcMethod(
            path=f"/{name}",
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
            _request=GetMessageClass(method.input_type),
            _response=GetMessageClass(method.output_type),
            _pool=self._pool,
        )

    def _add(self, name: str, files: Mapping[str, FileDescriptorProto]) -> None:
        content = files[name].SerializeToString() if name in files else _WELL_KNOWN.get(name)
        if content is None:
            raise GrpcRequestError(f"lacks {name}, which a file of it imports: compile with --include_imports")
        try:
            self._pool.AddSerializedFile(content)
        except TypeError as error:
            raise GrpcRequestError(f"{name} cannot be used: {error}") from error


def _there_are(names: Iterable[str]) -> str:
    known = sorted(names)
    more = ", …" if len(known) > _SHOWN_NAMES else ""
    return f"; there are {', '.join(known[:_SHOWN_NAMES])}{more}" if known else ""
