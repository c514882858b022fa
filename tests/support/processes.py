"""Waiting for what other processes do, with a deadline instead of a guess."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")


def eventually(probe: Callable[[], Found], *, within_seconds: float, what: str) -> Found:
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
def killed_and_restarted(node: Mapping[str, Any]) -> Iterator[int]:
    """Kill a node with -9 and start it again, with the same options on the same port, for the length of the block."""
    pid = node["pid"]
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), within_seconds=5, what=f"the end of {pid}")
    process = subprocess.Popen(_on_port(words, node["address"].rpartition(":")[2]), stderr=subprocess.DEVNULL)
    try:
        eventually(
            lambda: _has_come_back(process, node["address"]),
            within_seconds=10,
            what=f"{node['node_id']} listening again",
        )
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=15)


def _has_come_back(process: subprocess.Popen[bytes], address: str) -> bool:
    assert process.poll() is None, f"it exited with {process.returncode}"
    return accepts(address)


def accepts(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


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
