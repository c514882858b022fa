"""Ctrl-C: the first one ends the job in good order, the second one ends the command."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hyperscale.client.exit_codes import ExitCode

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def _handled_signals() -> tuple[signal.Signals, ...]:
    """The signals that end a command; that of a closed terminal unless the user had it ignored, as nohup does."""
    hangup_is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return _SIGNALS if hangup_is_ignored else (*_SIGNALS, signal.SIGHUP)


class Interruption:
    """What a Ctrl-C, a SIGTERM or the end of the terminal does, at each stage of a command.

    Parameters
    ----------
    task
        Cancelled when the command is to end at once.
    """

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self._gentle: Callable[[], None] | None = None
        self._count = 0
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

    def interrupt(self) -> None:
        """A signal has come. Once the command is ending, further ones change nothing: the end has a deadline."""
        self._count += 1
        gentle, self._gentle = self._gentle, None
        if gentle is not None:
            gentle()
        elif not self._hurried:
            self._hurried = True
            self._task.cancel()


Work = Callable[[Interruption], Awaitable[ExitCode]]


def run_interruptibly(work: Work) -> ExitCode:
    """Run a command; it ends with INTERRUPTED when a signal ended it."""
    return asyncio.run(_interruptibly(work))


async def _interruptibly(work: Work) -> ExitCode:
    task = asyncio.current_task()
    assert task is not None
    interruption = Interruption(task)
    loop = asyncio.get_running_loop()
    handled = _handled_signals()
    for number in handled:
        loop.add_signal_handler(number, interruption.interrupt)
    try:
        outcome = await work(interruption)
    except asyncio.CancelledError:
        if not interruption.happened:
            raise
        return ExitCode.INTERRUPTED
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
    return ExitCode.INTERRUPTED if interruption.happened else outcome
