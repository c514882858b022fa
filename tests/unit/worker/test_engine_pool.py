"""How engines are placed, paced, ended and described."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from dataclasses import dataclass
from typing import Any, cast

import pytest

from hyperscale.worker.engine_pool import cpus_for, respawn_delay_seconds
from hyperscale.worker.engine_process import EngineProcess, engine_environment
from hyperscale.worker.models.engines import EngineExit
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("engines", "allowed", "expected"),
    [
        (2, {0, 1}, [0, 1]),
        (2, {5, 3}, [3, 5]),
        (1, {0, 1}, [None]),
        (3, {0, 1}, [None, None, None]),
        (1, set(), [None]),
    ],
)
def test_engines_are_pinned_when_each_has_a_cpu_and_no_cpu_is_left(
    engines: int, allowed: set[int], expected: list[int | None]
) -> None:
    assert cpus_for(engines, frozenset(allowed)) == expected


def test_the_pause_before_a_respawn_doubles_up_to_a_limit() -> None:
    delays = [respawn_delay_seconds(lives) for lives in range(100)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert max(delays) == delays[-1] == 5.0


def test_engines_get_what_they_need_and_no_secrets() -> None:
    environment = {"PATH": "/bin", "HYPERSCALE_WORKER_PORT": "1", "AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/src"}
    seen = engine_environment(environment)
    assert (seen["PATH"], seen["PYTHONPATH"], seen["OMP_NUM_THREADS"]) == ("/bin", "/src", "1")
    assert not {"HYPERSCALE_WORKER_PORT", "AWS_SECRET_ACCESS_KEY"} & seen.keys()


@pytest.mark.parametrize(
    ("returncode", "how"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by SIGKILL"),
        (-99, "was killed by signal 99"),
        (None, "was killed, but has not ended yet"),
    ],
)
def test_an_exit_is_told_to_people(returncode: int | None, how: str) -> None:
    assert EngineExit(1, returncode).how == how


@dataclass(slots=True)
class Undead:
    """A process that the system does not let go of, as one that waits for a disk."""

    pid: int = 7
    returncode: int | None = None
    kills: int = 0

    def kill(self) -> None:
        self.kills += 1

    async def wait(self) -> int:
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return await never


async def test_a_slot_is_not_held_by_an_engine_that_outlives_its_kill() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        process = Undead()
        trace, scratch = tempfile.TemporaryFile(), tempfile.TemporaryDirectory()  # noqa: SIM115 - closed by the engine
        engine = EngineProcess(cast("Any", process), reader, writer, trace, scratch)
        async with asyncio.timeout(PATIENCE_SECONDS):
            ended = await engine.ended(0.01)
    assert (ended, process.kills) == (EngineExit(7, None), 1)
