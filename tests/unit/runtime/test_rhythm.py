"""Beats come at once after a change, otherwise once in every interval, and never in a rush."""

import asyncio
import time

from hyperscale.runtime.rhythm import Rhythm


async def beats_within(rhythm: Rhythm, seconds: float) -> int:
    beats, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        rhythm.hasten()
        await rhythm.next()
        beats += 1
    return beats


async def test_a_change_is_followed_by_a_beat_at_once() -> None:
    rhythm = Rhythm(60, 0)
    waiting = asyncio.ensure_future(rhythm.next())
    await asyncio.sleep(0)
    rhythm.hasten()
    await asyncio.wait_for(waiting, 30)


async def test_a_beat_comes_by_itself() -> None:
    await asyncio.wait_for(Rhythm(0.02, 0).next(), 30)


async def test_many_changes_do_not_make_many_beats() -> None:
    assert await beats_within(Rhythm(60, 0.05), 0.3) <= 7
