"""gRPC as workflows use it: `self.grpc`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any, Protocol, TypedDict, Unpack


class EncodedMessage(Protocol):
    """A message of generated code."""

    def SerializeToString(self) -> bytes:
        """The message as it goes over the wire."""
        ...


GrpcMessage = Mapping[str, Any] | EncodedMessage
"""A message in protobuf's JSON mapping, or of generated code."""


class GrpcEnd(Protocol):
    """What an engine has of the end of a call."""

    @property
    def status(self) -> int:
        """Status code."""
        ...

    @property
    def details(self) -> str:
        """What the server says about it."""
        ...

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """What came before and after the messages."""
        ...

    @property
    def last(self) -> bytes | None:
        """The last message; None when there was none."""
        ...


class GrpcResponse:
    """How a call ended. A status other than OK is a response too; it is counted as failed unless it was expected."""

    def __init__(
        self, end: GrpcEnd, decode: Callable[[bytes], dict[str, Any]], elapsed_seconds: float, *, expected: bool
    ) -> None:
        self.status = end.status
        """Status code: 0 is OK."""
        self.details = end.details
        """What the server says about the status."""
        self.content = end.last or b""
        """The message as it came, for generated code: ``Reply.FromString(response.content)``; empty without one."""
        self.elapsed_seconds = elapsed_seconds
        """From sending the request to the status."""
        self.expected = expected
        """Whether the status is one that counts as success."""
        self._end = end
        self._decode = decode

    @cached_property
    def metadata(self) -> Mapping[str, str | bytes]:
        """What came before and after the message; of several values of a name the last one."""
        return dict(self._end.metadata)

    @cached_property
    def message(self) -> dict[str, Any]:
        """The message in protobuf's JSON mapping, with the fields that have no value. Raises ValueError when it is none."""
        return self._decode(self.content)

    def __repr__(self) -> str:
        return f"<GrpcResponse {self.status}, {len(self.content)} bytes>"


class GrpcOptions(TypedDict, total=False):
    """What can be said of a call beside its method and request.

    Attributes
    ----------
    target
        grpc://host:port or grpcs://host:port; default: host and port of the job's target.
    metadata
        Metadata to send; names in lower case, values of names that end in "-bin" are bytes.
    timeout_seconds
        Deadline of the whole call, a stream's too; default 60.
    expected_statuses
        Status codes that count as success; default: 0, OK.
    """

    target: str
    metadata: Mapping[str, str | bytes]
    timeout_seconds: float
    expected_statuses: Sequence[int]


class GrpcStream(Protocol):
    """A streaming call under way. Every method raises `RequestError` when the connection is broken, or the time is up.

    The call has failed then, whatever the code makes of the error.
    """

    @property
    def status(self) -> int | None:
        """Status code; None until the server has ended the call."""
        ...

    async def send(self, message: GrpcMessage) -> bool:
        """Send a message; whether the server still takes any: it may have ended the call."""
        ...

    async def done(self) -> None:
        """Say that no message follows."""
        ...

    async def receive(self) -> dict[str, Any] | None:
        """The next message in protobuf's JSON mapping; None after the last."""
        ...

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """The messages up to the last."""
        ...


class GrpcClient(Protocol):
    """Calls of one user, over a connection of its own to each server.

    A method is named ``package.Service/Method``. Its messages are known from the workflow's `descriptor_set`, or else the
    server is asked (reflection), once. Every call raises `RequestError` when the server did not end it, or when it could not
    be made (``request``).
    """

    def unary(
        self, method: str, message: GrpcMessage | None = None, **options: Unpack[GrpcOptions]
    ) -> Awaitable[GrpcResponse]:
        """Send a message and wait for the one that answers it; None: one without fields."""
        ...

    def server_stream(
        self, method: str, message: GrpcMessage | None = None, **options: Unpack[GrpcOptions]
    ) -> AbstractAsyncContextManager[GrpcStream]:
        """Send a message and receive any number, within an ``async with`` block.

        A block that is left before the last message ends the call, which has not failed then.

        Examples
        --------
        ::

            async with self.grpc.server_stream("shop.v1.Orders/Watch", {"id": 7}) as orders:
                async for order in orders:
                    self.check("has a state", order["state"])
        """
        ...

    def client_stream(self, method: str, **options: Unpack[GrpcOptions]) -> AbstractAsyncContextManager[GrpcStream]:
        """Send any number of messages, and receive one, within an ``async with`` block.

        Examples
        --------
        ::

            async with self.grpc.client_stream("shop.v1.Orders/Upload") as upload:
                for number in range(10):
                    await upload.send({"number": number})
                await upload.done()
                self.check("all are there", (await upload.receive() or {})["count"] == 10)
        """
        ...

    def bidi_stream(self, method: str, **options: Unpack[GrpcOptions]) -> AbstractAsyncContextManager[GrpcStream]:
        """Send and receive any number of messages, in any order, within an ``async with`` block.

        At its end no message follows any more, and what the server still sends is received and dropped.
        """
        ...
