"""Waiting for what other processes do, with a deadline instead of a guess."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.waiting import PATIENCE_SECONDS

Found = TypeVar("Found")


def eventually(probe: Callable[[], Found], *, what: str, within_seconds: float = PATIENCE_SECONDS) -> Found:
    """The first true value of ``probe``, or a failure that says what did not happen in time."""
    deadline = time.monotonic() + within_seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s: {what}")
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _state(pid) != "Z"


def children_of(pid: int) -> list[int]:
    """Direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of the block: whatever happens in it, none is left that a later test is blamed for."""
    with subprocess.Popen(command, **options) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.terminate()
            try:
                started.wait(timeout=60)
            except subprocess.TimeoutExpired:
                started.kill()


@contextmanager
def hangups_heard() -> Iterator[None]:
    """A block in which hangups end what runs, or is started, though the tests may have been started to ignore them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def killed_and_restarted(node: Mapping[str, Any]) -> Iterator[int]:
    """Kill a node with -9 and start it again, with the same options on the same port, for the length of the block."""
    pid = node["pid"]
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    ready_file = Path(words[words.index("--ready-file") + 1])
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), what=f"the end of {pid}")
    command = _on_port(words, node["address"].rpartition(":")[2])
    restarted = _started(command, ready_file, node["node_id"])
    try:
        yield restarted.pid
    finally:
        restarted.terminate()
        restarted.wait(timeout=60)


def _started(command: Sequence[str], ready_file: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a node; wait until it says that it is ready, starting it again when it ends.

    That somebody listens on its port says nothing: the threads of the node that was killed may still hold the port
    when the node counts as dead. It ends when another process has taken the port for a connection of its own.
    """
    started = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def is_ready() -> bool:
        nonlocal started
        if started.poll() is not None:
            started = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        return _pid_in(ready_file) == started.pid

    try:
        eventually(is_ready, what=f"{name} ready again")
    except AssertionError:
        started.kill()
        started.wait(timeout=60)
        raise
    return started


def _pid_in(ready_file: Path) -> int | None:
    try:
        pid: int = json.loads(ready_file.read_bytes())["pid"]
    except FileNotFoundError:
        return None
    return pid


def _on_port(words: list[str], port: str) -> list[str]:
    """The command line with its ``--port`` replaced."""
    if "--port" in words:
        place = words.index("--port")
        words = words[:place] + words[place + 2 :]
    return [*words, "--port", port]


def _state(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "Z"
    return stat.rpartition(")")[2].split()[0]
