"""How full the memory is that this process may use: the machine's, and that of the control groups it is in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a version of control groups keeps what."""

    mount: str
    controllers: str
    limit: str
    usage: str
    reclaimable: str


_LAYOUTS: Final = (
    _Layout("sys/fs/cgroup", "", "memory.max", "memory.current", "inactive_file"),
    _Layout("sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True, slots=True)
class _LimitedGroup:
    directory: Path
    layout: _Layout
    limit_bytes: int

    def used_share(self) -> float:
        """Files that are cached make room when somebody needs it, so that they are not in use."""
        used_bytes = int((self.directory / self.layout.usage).read_text(encoding="ascii"))
        return (used_bytes - _figure(self.directory / "memory.stat", self.layout.reclaimable)) / self.limit_bytes


class MemoryGauge:
    """Reads shares of memory in use.

    Parameters
    ----------
    root
        Where the file systems `/proc` and `/sys` are.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        self._meminfo = root / "proc/meminfo"
        self._groups = list(_limited_groups(root, self._machine_bytes()))

    def used_share(self) -> float:
        """The largest share, from 0 to 1; 0 where the system does not tell."""
        shares = [_reading(group) for group in self._groups]
        return min(1.0, max(0.0, self._machine_share(), *shares))

    def _machine_share(self) -> float:
        total_bytes = self._machine_bytes()
        return 1 - _figure(self._meminfo, "MemAvailable:") * _KIB / total_bytes if total_bytes else 0.0

    def _machine_bytes(self) -> int:
        """0 where the system does not tell."""
        try:
            return _figure(self._meminfo, "MemTotal:") * _KIB
        except OSError:
            return 0


def _reading(group: _LimitedGroup) -> float:
    try:
        return group.used_share()
    except (OSError, ValueError):
        # The group is gone or this process has been moved: the machine's memory still counts.
        return 0.0


def _limited_groups(root: Path, machine_bytes: int) -> Iterator[_LimitedGroup]:
    """The groups of this process that may use less than the machine has, outer ones included."""
    for layout in _LAYOUTS:
        mount = root / layout.mount
        place = mount / _own_path(root, layout.controllers).lstrip("/")
        # In a container the path may be the host's, while the mount is the container's own: what is not there has no limit.
        for directory in (place, *place.parents):
            limit_bytes = _limit_bytes(directory / layout.limit) if directory.is_relative_to(mount) else 0
            if 0 < limit_bytes < machine_bytes:
                yield _LimitedGroup(directory, layout, limit_bytes)


def _own_path(root: Path, controllers: str) -> str:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    paths = (line.split(":", 2) for line in lines if line.count(":") >= 2)
    return next((path for _, names, path in paths if names == controllers), "")


def _limit_bytes(path: Path) -> int:
    """0 for no such group, and for no limit ("max")."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _figure(path: Path, name: str) -> int:
    """A figure of a file with a name and a number per line; 0 when it is not there."""
    with path.open(encoding="ascii") as lines:
        found = (int(line.split()[1]) for line in lines if line.startswith(name + " "))
        return next(found, 0)
