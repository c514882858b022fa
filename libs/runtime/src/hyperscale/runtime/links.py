"""A stream to a peer that is kept alive: connect, say hello, send what waits, take acknowledgements, again and again."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import grpc.aio
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.interceptors import error_from_rpc
from hyperscale.runtime.outbox import Outbox, Outgoing
from hyperscale.runtime.supervisor import RestartPolicy, Supervisor

ReportT = TypeVar("ReportT")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

_END_SECONDS = 1.0
"""How long a task gets to end: whoever closes a link has other links to look after."""


class LinkPeer(Protocol[ReportT, RequestT, ResponseT]):
    """The other side, as the link sees it."""

    async def connect(self) -> grpc.aio.StreamStreamCall[RequestT, ResponseT]:
        """Find the peer, register with it, open the stream and send its hello; called for every connection anew."""
        ...

    def encode(self, outgoing: Outgoing[ReportT]) -> RequestT:
        """The message that carries a report and its sequence."""
        ...

    async def handle(self, response: ResponseT) -> None:
        """Take what the peer answered; for an acknowledgement, call `Outbox.ack`."""
        ...


@dataclass(frozen=True, slots=True)
class LinkTimings:
    """How patient a link is.

    Attributes
    ----------
    connect_timeout_seconds
        For finding, registering and opening.
    ack_timeout_seconds
        A connection on which reports wait longer than this for any answer is given up.
    base_delay_seconds, max_delay_seconds
        Bounds of the jittered delay before connecting again; doubles until the peer answers.
    """

    connect_timeout_seconds: float = 5.0
    ack_timeout_seconds: float = 10.0
    base_delay_seconds: float = 0.1
    max_delay_seconds: float = 5.0


class StreamLink(Generic[ReportT, RequestT, ResponseT]):
    """Delivers an outbox to a peer at least once, across lost connections and moved leaders."""

    def __init__(
        self,
        name: str,
        peer: LinkPeer[ReportT, RequestT, ResponseT],
        outbox: Outbox[ReportT],
        *,
        supervisor: Supervisor,
        logger: FilteringBoundLogger,
        timings: LinkTimings,
    ) -> None:
        self._name = name
        self._peer = peer
        self._outbox = outbox
        self._supervisor = supervisor
        self._logger = logger.bind(link=name)
        self._timings = timings
        self._task: asyncio.Task[None] | None = None
        self._call: grpc.aio.StreamStreamCall[RequestT, ResponseT] | None = None
        self._heard_at = 0.0
        self._failed_attempts = 0
        self._told: set[ErrorReason] = set()
        """Why the peer has not been there since it answered last."""

    @property
    def connected(self) -> bool:
        """Whether a stream is open."""
        return self._call is not None

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._task = self._supervisor.start(self._keep_alive, name=self._name, restart=RestartPolicy.ON_FAILURE)

    def reconnect(self) -> None:
        """Drop the current stream, because the peer to talk to is another one now."""
        if self._call is not None:
            self._call.cancel()

    async def stop(self) -> None:
        """Close the stream; the outbox keeps what was not acknowledged."""
        if self._task is not None:
            await self._supervisor.end({self._task}, _END_SECONDS)

    async def _keep_alive(self) -> None:
        while True:
            try:
                await self._converse()
            except HyperscaleError as error:
                self._tell(error)
            delay_seconds = self._timings.base_delay_seconds * 2 ** min(self._failed_attempts, 16)
            self._failed_attempts += 1
            await asyncio.sleep(random.uniform(0, min(self._timings.max_delay_seconds, delay_seconds)))

    def _tell(self, error: HyperscaleError) -> None:
        """Say why the peer is not there: each reason once until it answers, since it may stay away for ever."""
        log = self._logger.debug if error.reason in self._told else self._logger.info
        log("link lost", error=str(error), failed_attempts=self._failed_attempts)
        self._told.add(error.reason)

    async def _converse(self) -> None:
        """Live through one connection; returns or raises when it ends."""
        try:
            async with asyncio.timeout(self._timings.connect_timeout_seconds):
                self._call = call = await self._peer.connect()
            self._outbox.rewind()
            await self._exchange(call)
        except asyncio.InvalidStateError as error:
            # What gRPC says of a hello on a stream that has ended before it.
            raise HyperscaleError(ErrorReason.PEER_UNREACHABLE) from error
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except TimeoutError as error:
            raise HyperscaleError(ErrorReason.DEADLINE_EXCEEDED) from error
        finally:
            self._call = None

    async def _exchange(self, call: grpc.aio.StreamStreamCall[RequestT, ResponseT]) -> None:
        self._heard_at = _now()
        sender = self._supervisor.start(self._send(call), name=f"{self._name}-sender")
        try:
            async for response in call:
                self._heard_at = _now()
                self._failed_attempts = 0
                self._told.clear()
                await self._peer.handle(response)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            # Only the call was cancelled: the sender lost patience, or somebody asked to reconnect.
            raise HyperscaleError(ErrorReason.PEER_UNREACHABLE) from None
        finally:
            call.cancel()
            await self._supervisor.end({sender}, _END_SECONDS)

    async def _send(self, call: grpc.aio.StreamStreamCall[RequestT, ResponseT]) -> None:
        try:
            while not self._is_out_of_patience():
                outgoing = await self._next()
                if outgoing is not None:
                    await self._write(call, outgoing)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            # The reader meets the same end with a status that says more.
            self._logger.debug("link cannot send", error=repr(error))
        finally:
            call.cancel()

    async def _next(self) -> Outgoing[ReportT] | None:
        """The next report; None from time to time, so that patience is checked while there is nothing to send."""
        try:
            async with asyncio.timeout(self._timings.ack_timeout_seconds / 4):
                return await self._outbox.next()
        except TimeoutError:
            return None

    async def _write(self, call: grpc.aio.StreamStreamCall[RequestT, ResponseT], outgoing: Outgoing[ReportT]) -> None:
        if self._outbox.sent_count == 1:
            # Nothing was waiting before, so the peer had no reason to be heard.
            self._heard_at = _now()
        async with asyncio.timeout(self._timings.ack_timeout_seconds):
            await call.write(self._peer.encode(outgoing))

    def _is_out_of_patience(self) -> bool:
        return self._outbox.sent_count > 0 and _now() - self._heard_at > self._timings.ack_timeout_seconds


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
