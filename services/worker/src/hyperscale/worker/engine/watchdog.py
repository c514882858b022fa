"""Leaves a note of where the engine hangs, for its control process, which kills an engine that says nothing.

The note is written by a thread of the interpreter that needs nothing of it, so that code which never gives up the processor
cannot keep it from being written.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
from typing import Final

_MOST_RENEWALS_PER_SECOND: Final = 1.0


class Watchdog:
    """Has the stacks of all threads written into a file once the event loop has stood still for a time."""

    def __init__(self, descriptor: int, patience_seconds: float) -> None:
        self._descriptor = descriptor
        self._patience_seconds = patience_seconds

    async def watch(self) -> None:
        """Put it off for as long as the loop turns, until cancelled."""
        try:
            while True:
                os.ftruncate(self._descriptor, 0)
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                faulthandler.dump_traceback_later(self._patience_seconds, file=self._descriptor)
                await asyncio.sleep(min(1 / _MOST_RENEWALS_PER_SECOND, self._patience_seconds / 2))
        finally:
            faulthandler.cancel_dump_traceback_later()
