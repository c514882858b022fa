"""Many nodes of the membership library, each a process of its own."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("swim_node.py")
_ANSWER_SECONDS = 20.0


@dataclass(slots=True)
class SwimProcess:
    """One node."""

    node_id: str
    process: subprocess.Popen[bytes]
    port: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)
    _unread: bytes = b""

    def state(self) -> dict[str, Any]:
        """What the node believes now, and what it has refused so far."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"?\n")
        self.process.stdin.flush()
        while "members" not in (document := self.next_line()):
            self._note(document)
        return document

    def members(self, state: str) -> set[str]:
        """Names of the members that the node believes to be in a state."""
        return {name for name, believed in self.state()["members"].items() if believed == state}

    def next_line(self) -> dict[str, Any]:
        """What the node says next; a failure when it says nothing."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + _ANSWER_SECONDS
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            read = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert read, f"{self.node_id} says nothing; exit code {self.process.poll()}"
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def kill(self) -> None:
        """End it with -9."""
        self.process.kill()

    def _note(self, document: dict[str, Any]) -> None:
        assert "refused" in document, document
        self.refusals.append(document)


@contextmanager
def swim_processes(names: Sequence[str], **options: Any) -> Iterator[list[SwimProcess]]:
    """Nodes with the same options for the length of the block; without ``seeds`` the first one leads the others together."""
    with ExitStack() as stack:
        seeds = options.pop("seeds", None)
        first = None if seeds else stack.enter_context(_started(names[0], options))
        if first is not None:
            first.port = first.next_line()["port"]
            seeds = [first.port]
        names = names if first is None else names[1:]
        others = [stack.enter_context(_started(name, {**options, "seeds": seeds})) for name in names]
        for node in others:
            node.port = node.next_line()["port"]
        yield others if first is None else [first, *others]


@contextmanager
def _started(node_id: str, options: dict[str, Any]) -> Iterator[SwimProcess]:
    command = [sys.executable, str(PROGRAM), json.dumps({"node_id": node_id, **options})]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield SwimProcess(node_id, process)
    finally:
        process.kill()
        process.communicate()
