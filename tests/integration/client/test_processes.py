"""Processes are stopped for sure, and never somebody else's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hyperscale.client.cluster.errors import StateError
from hyperscale.client.cluster.launching import Launched, LaunchPlan
from hyperscale.client.cluster.local import LocalCluster
from hyperscale.client.cluster.processes import is_running, start_mark, stop_processes
from hyperscale.client.cluster.state import StateDirectory
from hyperscale.client.models.cluster import ClusterLayout, ClusterState, Lifetime, LocalRole, NodeProcess, ReadyNode
from tests.support.processes import eventually

OBEDIENT = "print('up', flush=True); import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


class Started:
    """Processes of one test, which end with it."""

    def __init__(self) -> None:
        self.handles: list[subprocess.Popen[bytes]] = []

    def start(self, code: str) -> NodeProcess:
        handle = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        self.handles.append(handle)
        assert handle.stdout is not None
        assert handle.stdout.readline() == b"up\n"
        mark = start_mark(handle.pid)
        assert mark is not None
        return NodeProcess(LocalRole.GATE, f"gate-{len(self.handles)}", handle.pid, mark, Path("."))


@pytest.fixture
def started() -> Iterator[Started]:
    processes = Started()
    yield processes
    for handle in processes.handles:
        handle.kill()
        handle.communicate()


async def test_process_that_obeys_is_not_killed(started: Started) -> None:
    process = started.start(OBEDIENT)
    assert await stop_processes([process], grace_seconds=10) == ()
    assert started.handles[0].wait() == -15


async def test_process_that_does_not_obey_is_killed(started: Started) -> None:
    process = started.start(STUBBORN)
    assert await stop_processes([process], grace_seconds=0.2) == ()
    assert started.handles[0].wait() == -9


async def test_process_that_got_the_pid_later_is_left_alone(started: Started) -> None:
    process = started.start(OBEDIENT)
    former = replace(process, start_mark="1")
    assert not is_running(former)
    assert await stop_processes([former], grace_seconds=0.2) == ()
    assert is_running(process)


async def test_cancelled_stop_kills_at_once(started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = started.start(STUBBORN)

    def launch(plan: LaunchPlan, root: Path) -> Launched:
        return Launched(process, started.handles[0])

    async def not_ready(launched: object) -> tuple[ReadyNode, ...]:
        raise TimeoutError

    monkeypatch.setattr("hyperscale.client.cluster.local.launch", launch)
    monkeypatch.setattr("hyperscale.client.cluster.local.wait_until_all_ready", not_ready)
    cluster = LocalCluster(ClusterLayout(1, ("dc-1",), 1, 1, 1), tmp_path, Lifetime.UNTIL_STOPPED, lambda _: None)
    with pytest.raises(TimeoutError):
        await cluster.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await cluster.stop(grace_seconds=60)
    eventually(lambda: not is_running(process), what="the end of the process")


def test_state_survives_between_commands(started: Started, tmp_path: Path) -> None:
    files = StateDirectory(tmp_path / "state")
    process = started.start(OBEDIENT)
    state = ClusterState((process,), (ReadyNode(process, "", "127.0.0.1:1"),))
    files.prepare()
    files.write(state)
    assert StateDirectory(tmp_path / "state").read() == state
    assert files.read().gates == ("127.0.0.1:1",)
    files.clear()
    assert not files.path.exists()
    assert files.read() == ClusterState()


def test_files_of_others_in_the_state_directory_stay(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    files = StateDirectory(tmp_path)
    files.prepare()
    files.write(ClusterState())
    files.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(StateError, match="cannot be read"):
        StateDirectory(tmp_path).read()


def test_two_commands_do_not_change_one_cluster_at_once(tmp_path: Path) -> None:
    files = StateDirectory(tmp_path)
    with files.locked(), pytest.raises(StateError, match="another command"), files.locked():
        pass
