"""The state directory of the local cluster: one cluster per directory, written down so that it can be stopped later."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hyperscale.client.cluster.errors import StateError
from hyperscale.client.models.cluster import ClusterState, LocalRole, NodeProcess, ReadyNode

_STATE_FILE: Final = "cluster.json"
_LOCK_FILE: Final = "lock"
_NODES: Final = "nodes"


def default_state_directory() -> Path:
    """Below the user's runtime directory, else a directory of the user's own below the one for temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "hyperscale" if runtime else Path(tempfile.gettempdir()) / f"hyperscale-{os.getuid()}"


class StateDirectory:
    """The files of one local cluster, all of them below one directory that nobody else uses.

    Parameters
    ----------
    path
        The directory; it is made when needed, readable by its user alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """Where the files are."""
        return self._path

    @property
    def nodes(self) -> Path:
        """Where nodes keep their files."""
        return self._path / _NODES

    def prepare(self) -> None:
        """Make the directories.

        Raises
        ------
        StateError
            The directory cannot be made or belongs to another user.
        """
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._path.stat().st_uid != os.getuid():
                raise StateError(f"{self._path} belongs to another user")
            shutil.rmtree(self.nodes, ignore_errors=True)
            self.nodes.mkdir(mode=0o700)
        except OSError as error:
            raise StateError(f"{self._path} cannot be used: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other ``cluster up`` and ``cluster down`` out.

        Raises
        ------
        StateError
            Another one is under way.
        """
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._path / _LOCK_FILE).open("w")
        except OSError as error:
            raise StateError(f"{self._path} cannot be used: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateError(f"another command is starting or stopping the cluster in {self._path}") from None
            yield

    def read(self) -> ClusterState:
        """What was written down; empty when there is no cluster.

        Raises
        ------
        StateError
            The file is damaged.
        """
        file = self._path / _STATE_FILE
        try:
            document = json.loads(file.read_bytes())
            processes = {entry["node_id"]: _process(entry) for entry in document["processes"]}
            nodes = tuple(_node(processes[entry["node_id"]], entry) for entry in document["nodes"])
        except FileNotFoundError:
            return ClusterState()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateError(f"{file} cannot be read: {error}") from error
        return ClusterState(tuple(processes.values()), nodes)

    def write(self, state: ClusterState) -> None:
        """Write the state down, whole or not at all."""
        document = {
            "processes": [_process_json(process) for process in state.processes],
            "nodes": [node_json(node) for node in state.nodes],
        }
        temporary = self._path / f"{_STATE_FILE}.new"
        temporary.write_text(json.dumps(document))
        temporary.replace(self._path / _STATE_FILE)

    def clear(self) -> None:
        """Remove what `prepare`, `write` and the nodes left."""
        shutil.rmtree(self.nodes, ignore_errors=True)
        for name in (_STATE_FILE, f"{_STATE_FILE}.new", _LOCK_FILE):
            (self._path / name).unlink(missing_ok=True)
        try:
            self._path.rmdir()
        except OSError:
            # Somebody else keeps files there: the directory is theirs.
            return


def node_json(node: ReadyNode) -> dict[str, Any]:
    """A node as ``cluster up --json`` and the state file show it."""
    return {
        "role": node.process.role.value,
        "datacenter": node.datacenter,
        "node_id": node.process.node_id,
        "address": node.address,
        "pid": node.process.pid,
    }


def _process_json(process: NodeProcess) -> dict[str, Any]:
    return {
        "role": process.role.value,
        "node_id": process.node_id,
        "pid": process.pid,
        "start_mark": process.start_mark,
        "directory": str(process.directory),
    }


def _process(entry: dict[str, Any]) -> NodeProcess:
    return NodeProcess(
        LocalRole(entry["role"]),
        str(entry["node_id"]),
        int(entry["pid"]),
        str(entry["start_mark"]),
        Path(entry["directory"]),
    )


def _node(process: NodeProcess, entry: dict[str, Any]) -> ReadyNode:
    return ReadyNode(process, str(entry["datacenter"]), str(entry["address"]))
