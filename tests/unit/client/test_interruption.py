"""A Ctrl-C ends a command, whenever it comes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from hyperscale.client.cli.interruption import Interruption, run_interruptibly
from hyperscale.client.exit_codes import ExitCode
from tests.support.processes import hangups_heard

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextmanager
def handlers_kept() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_behind_the_last_wait_of_a_command_is_not_lost(number: signal.Signals) -> None:
    async def work(interruption: Interruption) -> ExitCode:
        await asyncio.sleep(0)
        signal.raise_signal(number)
        return ExitCode.PASSED

    with hangups_heard(), handlers_kept():
        assert run_interruptibly(work) is ExitCode.INTERRUPTED


def test_neither_is_one_that_comes_when_the_loop_is_closing() -> None:
    async def tidied_up_at_the_end() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            signal.raise_signal(signal.SIGINT)

    left = tidied_up_at_the_end()

    async def work(interruption: Interruption) -> ExitCode:
        await anext(left)
        return ExitCode.PASSED

    with handlers_kept():
        assert run_interruptibly(work) is ExitCode.INTERRUPTED


def test_the_first_one_is_gentle_and_the_second_one_is_not() -> None:
    gentle: list[str] = []

    async def work(interruption: Interruption) -> ExitCode:
        with interruption.gently(lambda: gentle.append("please")):
            signal.raise_signal(signal.SIGINT)
            while not gentle:
                await asyncio.sleep(0)
            assert not interruption.hurried
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        return ExitCode.PASSED

    assert run_interruptibly(work) is ExitCode.INTERRUPTED
    assert gentle == ["please"]


def test_one_that_comes_before_the_command_has_begun_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = asyncio.new_event_loop

    def interrupted() -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGTERM)
        return begin()

    monkeypatch.setattr(asyncio.events, "new_event_loop", interrupted)

    async def work(interruption: Interruption) -> ExitCode:
        await asyncio.Event().wait()
        return ExitCode.PASSED

    with handlers_kept():
        assert run_interruptibly(work) is ExitCode.INTERRUPTED


def test_a_command_that_nobody_interrupts_says_what_came_of_it() -> None:
    async def work(interruption: Interruption) -> ExitCode:
        return ExitCode.FAILED

    with handlers_kept():
        assert run_interruptibly(work) is ExitCode.FAILED
