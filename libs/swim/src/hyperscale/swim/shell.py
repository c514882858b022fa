"""Runs a node on asyncio: a UDP endpoint, streams, one timer, and events handed to a callback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from hyperscale.swim.core import Swim
from hyperscale.swim.events import Event
from hyperscale.swim.hosts import Hosts
from hyperscale.swim.models import Datagram, NodeAddress, StreamRequest

_REQUESTS_MAX = 64
_LATEST_LEAVE_SECONDS = 60.0


class TaskStarter(Protocol):
    """Starts background work and accounts for its end; a supervisor does."""

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> object:
        """Run the work in the background."""
        ...


class GroupTasks:
    """Background work in a task group of the caller's."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> object:
        """Run the work in the group."""
        return self._group.create_task(work, name=name)


class StreamTransport(Protocol):
    """Carries requests that are too large for a datagram, or must not get lost; `TcpStreams` is one."""

    async def start(self, answer: Callable[[bytes, NodeAddress], bytes]) -> None:
        """Answer who asks, with what `answer` returns; empty for no answer."""

    async def stop(self) -> None:
        """Stop answering, and end what is under way; also called without `start`."""

    async def request(self, address: NodeAddress, data: bytes, timeout_seconds: float) -> bytes:
        """Send a message to a node and return its answer, empty if it gives none; raises OSError when there is no way."""
        ...


class Speaker(Protocol):
    """Somebody who speaks in datagrams, without IO; the node is one."""

    def receive_datagram(self, data: bytes, source: NodeAddress, now: float) -> None:
        """Take in a datagram."""

    def datagrams_to_send(self, now: float, /) -> Sequence[Datagram]:
        """Return what is to be sent, and forget it."""
        ...

    def events(self) -> Sequence[Event]:
        """Return what has happened since the last call."""
        ...

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` is to be called."""
        ...

    def handle_timer(self, now: float) -> None:
        """Do what is due; it may be that nothing is."""


class PortTenant(Speaker, Protocol):
    """Somebody else who speaks over the node's port; a `Border` is one."""

    def claims(self, data: bytes) -> bool:
        """Whether a datagram is meant for it; the node gets all that nobody claims."""
        ...


@dataclass(slots=True)
class Dropped:
    """What could not be sent, and what the network said."""

    datagrams: int = 0
    """The send buffer was full."""
    streams: int = 0
    """Too many under way."""
    errors: int = 0
    """Told by the network: nobody listens there, there is no way, or no such address."""


class SwimShell(asyncio.DatagramProtocol):
    """Drives one node between `start` and `stop`.

    The node's times must be those of `now`.

    Parameters
    ----------
    datagrams
        Bound to the node's address; closed by `stop`.
    streams
        The way for what goes over TCP; its owner gives it the port of the node's address.
    tasks
        Runs requests over TCP and lookups of names.
    on_event
        Called for each event, in order, from the loop. What it raises goes to `report`.
    report
        Called with an exception of `on_event`.
    """

    def __init__(
        self,
        swim: Swim,
        datagrams: socket.socket,
        streams: StreamTransport,
        *,
        tasks: TaskStarter,
        on_event: Callable[[Event], None],
        report: Callable[[Exception], None],
    ) -> None:
        self._swim = swim
        self._datagrams = datagrams
        self._streams = streams
        self._tasks = tasks
        self._on_event = on_event
        self._report = report
        self._hosts = Hosts(datagrams.family)
        self._tenants: list[PortTenant] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None
        self._is_flush_due = False
        self._is_full = False
        self._requests = 0
        self._left = asyncio.Event()
        self.dropped = Dropped()

    @property
    def swim(self) -> Swim:
        """The node; after changing it call `changed`."""
        return self._swim

    def share(self, tenant: PortTenant) -> None:
        """Let somebody else use the port as well; before `start`."""
        self._tenants.append(tenant)

    async def start(self) -> None:
        """Begin to receive and to send."""
        loop = asyncio.get_running_loop()
        await self._streams.start(self._answer)
        await loop.create_datagram_endpoint(lambda: self, sock=self._datagrams)
        self.changed()

    async def stop(self, *, leave: bool = True) -> None:
        """Say goodbye to the group, if wanted and if there is one, and give the port back."""
        if leave and self._transport is not None:
            self._swim.leave(self.now())
            self.changed()
            async with asyncio.timeout(_LATEST_LEAVE_SECONDS):
                await self._left.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        await self._streams.stop()
        self._datagrams.close()

    def changed(self) -> None:
        """Send, arm and tell what follows from a change, once for all changes of one turn of the loop."""
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to send."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def pause_writing(self) -> None:
        """Drop datagrams while the buffer is full: old ones are worth nothing."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Send again."""
        self._is_full = False

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Hand a datagram to whom it is meant for."""
        receiver: Speaker = next((tenant for tenant in self._tenants if tenant.claims(data)), self._swim)
        receiver.receive_datagram(data, NodeAddress(addr[0], addr[1]), self.now())
        self.changed()

    def error_received(self, exc: Exception) -> None:
        """Count what the network says: that nobody listens is noticed by the probes."""
        self.dropped.errors += 1

    @staticmethod
    def now() -> float:
        """The clock of the node: finer than those of loops, some of which count milliseconds and would lose round trips."""
        return time.monotonic()

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._transport is None:
            return
        now = self.now()
        for speaker in self._speakers():
            for datagram in speaker.datagrams_to_send(now):
                self._send(datagram.address, datagram.data, now)
            for event in speaker.events():
                self._tell(event)
        for request in self._swim.streams_to_open(now):
            self._open(request)
        self._arm()
        if self._swim.has_left:
            self._left.set()

    def _send(self, address: NodeAddress, data: bytes, now: float) -> None:
        host = self._hosts.address_of(address.host)
        if self._hosts.needs_lookup(address.host, now):
            self._tasks.start(self._look_up(address.host), name="swim.lookup")
        if host is None:
            self._hosts.hold(address.host, data, address.port)
            return
        self._send_to(host, address.port, data)

    def _send_to(self, host: str, port: int, data: bytes) -> None:
        if self._transport is None or self._is_full:
            self.dropped.datagrams += 1
            return
        try:
            self._transport.sendto(data, (host, port))
        except (OSError, ValueError):
            self.dropped.errors += 1

    async def _look_up(self, name: str) -> None:
        for data, port in await self._hosts.look_up(name, self.now()):
            self._send_to(self._hosts.address_of(name) or name, port, data)

    def _open(self, request: StreamRequest) -> None:
        if self._requests >= _REQUESTS_MAX:
            self.dropped.streams += 1
            self._swim.stream_failed(request.stream_id, self.now())
            return
        self._requests += 1
        self._tasks.start(self._request(request), name="swim.stream")

    async def _request(self, request: StreamRequest) -> None:
        try:
            reply = await self._streams.request(request.address, request.data, request.timeout_seconds)
            self._swim.receive_stream_reply(request.stream_id, reply, self.now())
        except (OSError, ValueError):
            # ValueError: a host name that cannot be one.
            self._swim.stream_failed(request.stream_id, self.now())
        finally:
            self._requests -= 1
        self.changed()

    def _answer(self, data: bytes, source: NodeAddress) -> bytes:
        answer = self._swim.receive_stream_request(data, source, self.now())
        self.changed()
        return answer

    def _tell(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            self._report(error)

    def _speakers(self) -> Sequence[Speaker]:
        return (self._swim, *self._tenants)

    def _arm(self) -> None:
        deadlines = (speaker.next_deadline() for speaker in self._speakers())
        deadline = min((at for at in deadlines if at is not None), default=None)
        if self._timer is not None:
            if deadline == self._armed_for:
                return
            self._timer.cancel()
            self._timer = None
        self._armed_for = deadline
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - self.now()), self._due)

    def _due(self) -> None:
        self._timer = None
        # The loop may be early by the resolution of its clock.
        now = max(self.now(), self._armed_for or 0.0)
        for speaker in self._speakers():
            speaker.handle_timer(now)
        self.changed()
