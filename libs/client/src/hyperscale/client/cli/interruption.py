"""Ctrl-C: the first one ends the job in good order, the second one ends the command.

Laws: a signal is counted the moment it comes, whatever the event loop is doing; what came of a command is asked only when nothing
counts signals any more, so that each of them ends it, however late it comes.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from hyperscale.client.exit_codes import ExitCode

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def _handled_signals() -> tuple[signal.Signals, ...]:
    """The signals that end a command; that of a closed terminal unless the user had it ignored, as nohup does."""
    hangup_is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return _SIGNALS if hangup_is_ignored else (*_SIGNALS, signal.SIGHUP)


class Interruption:
    """What a Ctrl-C, a SIGTERM or the end of the terminal does, at each stage of a command."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._gentle: Callable[[], None] | None = None
        self._count = 0
        self._seen = 0
        self._hurried = False

    @property
    def happened(self) -> bool:
        """Whether the user wants the command to end."""
        return self._count > 0

    @property
    def hurried(self) -> bool:
        """Whether nothing shall be waited for any more."""
        return self._hurried

    @contextmanager
    def gently(self, gentle: Callable[[], None]) -> Iterator[None]:
        """Within the block, the first interruption calls ``gentle``; a later one ends the command."""
        self._gentle = gentle
        try:
            yield
        finally:
            self._gentle = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block, signals count as interruptions; on the main thread."""
        before = {number: signal.signal(number, self._signalled) for number in _handled_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def ending(self, task: asyncio.Task[object]) -> Iterator[None]:
        """Within the block, inside the task, it is cancelled when the command is to end at once."""
        self._task = task
        self._look()
        try:
            yield
        finally:
            self._task = None

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        # Between any two instructions of whatever runs: no more than a note, and a call when it is the loop's turn.
        self._count += 1
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._look)

    def _look(self) -> None:
        while self._seen < self._count:
            self._seen += 1
            self._interrupt()

    def _interrupt(self) -> None:
        """Once the command is ending, further interruptions change nothing: the end has a deadline."""
        gentle, self._gentle = self._gentle, None
        if gentle is not None:
            gentle()
        elif not self._hurried and self._task is not None:
            self._hurried = True
            self._task.cancel()


Work = Callable[[Interruption], Awaitable[ExitCode]]


def run_interruptibly(work: Work) -> ExitCode:
    """Run a command; it ends with INTERRUPTED when a signal ended it."""
    interruption = Interruption()
    with interruption.listening():
        outcome = asyncio.run(_interruptibly(work, interruption))
    return ExitCode.INTERRUPTED if interruption.happened else outcome


async def _interruptibly(work: Work, interruption: Interruption) -> ExitCode:
    task = asyncio.current_task()
    assert task is not None
    with interruption.ending(task):
        try:
            return await work(interruption)
        except asyncio.CancelledError:
            if not interruption.happened:
                raise
            return ExitCode.INTERRUPTED
