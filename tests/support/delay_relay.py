"""A way that is longer than it looks: what passes through arrives later, over TCP and UDP alike."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_CHUNK_BYTES = 65536
_WAITING_CHUNKS = 64


class DelayRelay:
    """Listens at a port of one loopback address and passes on to the same port of another one.

    Parameters
    ----------
    host
        Where to listen, at a port that is free there and at `target_host`.
    delay_seconds
        Each way.
    """

    def __init__(self, host: str, target_host: str, delay_seconds: float) -> None:
        self.host = host
        self.target_host = target_host
        self._delay_seconds = delay_seconds
        self._is_cut = False
        self._tcp, self._udp, self.port = _same_port(host, target_host)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._returns: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"relay-{host}", daemon=True)

    def start(self) -> None:
        """Begin to pass on."""
        self._thread.start()
        assert self._started.wait(5)

    def stop(self) -> None:
        """Break every connection; nothing listens any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def cut(self) -> None:
        """Break every TCP connection, and each new one, until `mend`; datagrams still pass."""
        self._call(self._cut)

    def mend(self) -> None:
        """Let connections through again."""
        self._call(lambda: setattr(self, "_is_cut", False))

    def _call(self, what: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            what()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(5)

    def _cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, sock=self._tcp))
        datagrams, _ = self._loop.run_until_complete(
            self._loop.create_datagram_endpoint(lambda: _Datagrams(self._send_on), sock=self._udp)
        )
        self._loop.call_soon(self._started.set)
        self._loop.run_forever()
        self._loop.run_until_complete(self._close(server, [datagrams, *self._returns.values()]))

    async def _close(self, server: asyncio.Server, transports: list[asyncio.DatagramTransport]) -> None:
        server.close()
        for transport in transports:
            transport.abort()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self.target_host, self.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = self._loop.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WAITING_CHUNKS)
        deliverer = self._loop.create_task(self._deliver(on_the_way, sink))
        chunk = b"begin"
        try:
            with suppress(ConnectionError):
                while chunk:
                    chunk = await source.read(_CHUNK_BYTES)
                    await on_the_way.put((self._loop.time() + self._delay_seconds, chunk))
            await deliverer
        finally:
            deliverer.cancel()
            self._writers.discard(sink)
            sink.close()

    async def _deliver(self, on_the_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                due, chunk = await on_the_way.get()
                await asyncio.sleep(due - self._loop.time())
                if not chunk:
                    return
                sink.write(chunk)
                await sink.drain()

    def _send_on(self, data: bytes, sender: tuple[str, int]) -> None:
        self._loop.call_later(self._delay_seconds, self._deliver_datagram, data, sender)

    def _deliver_datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        way = self._returns.get(sender)
        if way is None:
            task = self._loop.create_task(self._open_way(data, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            way.sendto(data)

    async def _open_way(self, data: bytes, sender: tuple[str, int]) -> None:
        """A socket whose answers go back to one sender, from where it has sent to."""

        def send_back(answer: bytes, _: tuple[str, int]) -> None:
            self._loop.call_later(self._delay_seconds, self._udp.sendto, answer, sender)

        way, _ = await self._loop.create_datagram_endpoint(
            lambda: _Datagrams(send_back), remote_addr=(self.target_host, self.port)
        )
        self._returns[sender] = way
        way.sendto(data)


class _Datagrams(asyncio.DatagramProtocol):
    """Gives what arrives to somebody."""

    def __init__(self, take: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr)


@contextmanager
def delay_relay(host: str, delay_seconds: float, target_host: str = "127.0.0.1") -> Iterator[DelayRelay]:
    """A relay for the length of the block."""
    relay = DelayRelay(host, target_host, delay_seconds)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()


def _same_port(host: str, target_host: str) -> tuple[socket.socket, socket.socket, int]:
    """Sockets of both kinds at one port of a host, which nobody has at the other one."""
    for _ in range(20):
        tcp = socket.create_server((host, 0))
        port: int = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind((host, port))
            socket.create_server((target_host, port)).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            tcp.close()
            udp.close()
        else:
            udp.setblocking(False)
            return tcp, udp, port
    raise AssertionError("no port is free at both addresses")
