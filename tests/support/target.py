"""The bundled target server in a process of its own."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BundledTarget:
    """A running target."""

    url: str
    pid: int

    def requests(self) -> int:
        """Requests it has taken so far."""
        with urllib.request.urlopen(f"{self.url}/__stats", timeout=30) as response:
            count: int = json.load(response)["requests"]
            return count


@contextmanager
def bundled_target() -> Iterator[BundledTarget]:
    """A target for the length of the block."""
    command = [sys.executable, "-m", "hyperscale.client.target", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        yield BundledTarget(url=f"http://{ready['address']}", pid=process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)
