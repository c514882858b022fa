"""Waiting in a coroutine until something is so, with a deadline instead of a guess. Without a loop: `processes.eventually`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 45.0
"""Only what fails takes so long: a test that waits for less tells how busy the machine is."""

_POLL_SECONDS = 0.005


def timeout_seconds(failure: str) -> float:
    """Time for a call that is meant to fail so: short only if it is the timeout that ends it."""
    return 0.5 if failure == "TIMEOUT" else PATIENCE_SECONDS


async def until(
    condition: Callable[[], Found | None], what: str = "the condition", *, within_seconds: float = PATIENCE_SECONDS
) -> Found:
    """The first true value of ``condition``, or a failure that says what did not happen in time."""

    async def probe() -> Found | None:
        return condition()

    return await until_answer(probe, what, within_seconds=within_seconds)


async def until_answer(
    probe: Callable[[], Awaitable[Found | None]], what: str = "the answer", *, within_seconds: float = PATIENCE_SECONDS
) -> Found:
    """The same for what must be asked."""
    try:
        async with asyncio.timeout(within_seconds):
            while not (found := await probe()):
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {within_seconds} s: {what}") from None
    return found
