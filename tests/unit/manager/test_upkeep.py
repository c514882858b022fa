"""How often a manager is woken to look at the clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from structlog import get_logger

from hyperscale.manager.models.worker import LostWorker
from hyperscale.manager.upkeep import Upkeep
from hyperscale.runtime.coordination import MemoryStore
from tests.support.shards import workflow
from tests.support.virtual_time import run_in_virtual_time
from tests.unit.manager.harness import ManagerInMemory, TurnedClock, dispatch


@dataclass(slots=True)
class CountedLooks:
    """No worker is lost; how often that was asked."""

    count: int = 0

    def remove_lost(self) -> list[LostWorker]:
        self.count += 1
        return []

    async def within(self, seconds: float) -> int:
        before = self.count
        await asyncio.sleep(seconds)
        return self.count - before


def test_a_manager_without_jobs_is_woken_once_a_second_and_one_with_jobs_five_times() -> None:
    async def looks_per_minute() -> list[int]:
        store, looks = MemoryStore(asyncio.get_running_loop().time), CountedLooks()
        async with ManagerInMemory("manager-1", store, TurnedClock()) as manager:
            await manager.lead()
            upkeep = Upkeep(
                state=manager.state,
                workers=cast("Any", looks),
                progression=manager.progression,
                reports=manager.reports,
                clock=manager.clock,
                logger=get_logger(),
            )
            _ = manager.supervisor.start(upkeep.run(), name="upkeep")
            idle = await looks.within(60)
            await manager.intake.accept(dispatch("job-1", workflow("A")))
            busy = await looks.within(60)
            manager.state.clear()
            return [idle, busy, await looks.within(60)]

    idle, busy, idle_again = run_in_virtual_time(looks_per_minute())
    assert 59 <= idle <= 61
    assert 295 <= busy <= 301
    assert 59 <= idle_again <= 61
