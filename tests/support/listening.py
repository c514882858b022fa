"""A stream server in the event loop of the test, of which nothing is left when its block ends."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CLOSING_SECONDS = 5.0


@asynccontextmanager
async def listening(
    serve: Serve, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve each connection until `serve` returns; at the end of the block, close those that are open. Yields the port."""
    handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers[task] = writer
        try:
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            # Also after an error of the test's own, which is not to appear in a later test as well.
            writer.transport.abort()
            del handlers[task]

    server = await asyncio.start_server(accept, host, port, ssl=tls, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        left = dict(handlers)
        for task, writer in left.items():
            writer.transport.abort()
            task.cancel()
        async with asyncio.timeout(CLOSING_SECONDS):
            # A task that was cancelled while it waited for its connection to close has cancelled that waiter with it.
            closings = (writer.wait_closed() for writer in left.values())
            await asyncio.gather(*left, return_exceptions=True)
            await asyncio.gather(*closings, return_exceptions=True)
