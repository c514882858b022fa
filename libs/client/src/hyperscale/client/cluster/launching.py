"""Starts one process of a local cluster, and waits until it says that it is ready."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hyperscale.client.cluster.errors import NodeStartError
from hyperscale.client.cluster.processes import start_mark
from hyperscale.client.models.cluster import LocalRole, NodeProcess, ReadyNode

_READY_FILE: Final = "ready.json"
_LOG_FILE: Final = "log"
_READY_TIMEOUT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.01
_LOG_TAIL_LINES: Final = 20
_LOG_TAIL_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """One process to start."""

    role: LocalRole
    node_id: str
    module: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Launched:
    """A process that was started here, with the handle that tells how it ended."""

    process: NodeProcess
    handle: subprocess.Popen[bytes]

    def ended(self) -> int | None:
        """Exit code once it has ended; also lets the system forget it."""
        return self.handle.poll()


def launch(plan: LaunchPlan, root: Path) -> Launched:
    """Start a process in a session of its own, so that a Ctrl-C in the terminal does not reach it."""
    directory = root / plan.node_id
    directory.mkdir(mode=0o700)
    command = [sys.executable, "-m", plan.module, *plan.arguments, "--ready-file", str(directory / _READY_FILE)]
    with (directory / _LOG_FILE).open("wb") as log:
        handle = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    mark = start_mark(handle.pid) or ""
    return Launched(NodeProcess(plan.role, plan.node_id, handle.pid, mark, directory), handle)


async def wait_until_ready(launched: Launched) -> ReadyNode:
    """Wait for the ready file.

    Raises
    ------
    NodeStartError
        The process ended, or was not ready in time.
    """
    process = launched.process
    deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        document = _read_ready_file(process.directory / _READY_FILE)
        if document is not None:
            return ReadyNode(process, str(document.get("datacenter") or ""), str(document["address"]))
        exit_code = launched.ended()
        if exit_code is not None:
            raise NodeStartError(process.node_id, exit_code, log_tail(process.directory))
        await asyncio.sleep(_POLL_SECONDS)
    raise NodeStartError(process.node_id, None, log_tail(process.directory))


async def wait_until_all_ready(launched: Sequence[Launched]) -> tuple[ReadyNode, ...]:
    """Wait for several processes at once; the first that fails ends the wait."""
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(wait_until_ready(one)) for one in launched]
    return tuple(wait.result() for wait in waits)


def log_tail(directory: Path) -> str:
    """The last lines a process wrote."""
    with (directory / _LOG_FILE).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
        lines = log.read().decode("utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LOG_TAIL_LINES:])


def _read_ready_file(path: Path) -> Mapping[str, Any] | None:
    try:
        document: Mapping[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return document
