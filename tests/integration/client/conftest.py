"""Gates for tests that have no event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.integration.client.scripted_gate import Script, result_event, serving, status_event


@pytest.fixture
def threaded_gate() -> Iterator[str]:
    """A gate on another thread with a job of two events."""
    address: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with serving(Script(events=[status_event(1), result_event(2)])) as where:
            address.append(where)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
