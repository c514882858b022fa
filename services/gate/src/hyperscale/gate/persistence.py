"""Writing what must be written of a job, however long the store is away.

Law: a write is tried again for as long as the job is owned, and no longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from hyperscale.gate.job_run import JobRun
from hyperscale.runtime.coordination import CoordinationUnavailableError, LeaseLostError
from hyperscale.runtime.supervisor import Supervisor

WrittenT = TypeVar("WrittenT")
_PAUSE_SECONDS: Final = 0.5


async def written(run: JobRun, write: Callable[[], Awaitable[WrittenT]], supervisor: Supervisor, work: str) -> WrittenT:
    """What a write returns once the store has taken it; raises `LeaseLostError` when the job is owned no longer.

    Parameters
    ----------
    write
        Called anew for each try: what it writes is what holds then.
    work
        Under which failures are reported.
    """
    while not run.is_abandoned:
        try:
            return await write()
        except CoordinationUnavailableError as error:
            supervisor.report(error, work, job_id=run.job_id)
        await asyncio.sleep(_PAUSE_SECONDS)
    raise LeaseLostError(run.lease.name, run.lease.token)
