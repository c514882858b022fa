"""When something that is done again and again is due."""

from __future__ import annotations

import asyncio


class Rhythm:
    """Due once in every interval, and at once after a change. One task waits, any may hasten it.

    Parameters
    ----------
    interval_seconds
        Longest time between two beats.
    pause_seconds
        Shortest time between two beats: changes of one moment are one beat.
    """

    def __init__(self, interval_seconds: float, pause_seconds: float = 0.05) -> None:
        self._interval_seconds = interval_seconds
        self._pause_seconds = min(pause_seconds, interval_seconds)
        self._hastened = asyncio.Event()

    def hasten(self) -> None:
        """The next beat is due now."""
        self._hastened.set()

    async def next(self) -> None:
        """Wait until the next beat is due."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._interval_seconds):
                await self._hastened.wait()
        except TimeoutError:
            # Nothing has changed: the beat that comes by itself.
            return
        await asyncio.sleep(began + self._pause_seconds - asyncio.get_running_loop().time())
        self._hastened.clear()
