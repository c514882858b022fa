"""How full the memory is that this process may use: the machine's, and that of the control groups it is in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_KIB: Final = 1024
_NO_LIMIT: Final = "max"
_TOTAL: Final = "MemTotal:"
_AVAILABLE: Final = "MemAvailable:"
_AVAILABLE_AT_LEAST: Final = ("MemFree:", "Buffers:", "Cached:")
"""Where a kernel, or what stands in for one in a sandbox, does not say what is available."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a version of control groups keeps what."""

    mount: str
    controllers: str
    limit: str
    usage: str
    cached: tuple[str, str]


_LAYOUTS: Final = (
    _Layout("sys/fs/cgroup", "", "memory.max", "memory.current", ("inactive_file", "active_file")),
    _Layout(
        "sys/fs/cgroup/memory",
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)


@dataclass(frozen=True, slots=True)
class _Group:
    directory: Path
    layout: _Layout

    def used_share(self, machine_bytes: int) -> float:
        """Of its limit, 0 where that is no less than what the machine has.

        Files that are cached make room when somebody needs it, also those read often, so that they are not in use.
        """
        limit = (self.directory / self.layout.limit).read_text(encoding="ascii").strip()
        limit_bytes = 0 if limit == _NO_LIMIT else int(limit)
        if not 0 < limit_bytes < machine_bytes:
            return 0.0
        used_bytes = int((self.directory / self.layout.usage).read_text(encoding="ascii"))
        cached_bytes = sum(_figures(self.directory / "memory.stat", self.layout.cached).values())
        return (used_bytes - cached_bytes) / limit_bytes


class MemoryGauge:
    """Reads shares of memory in use. Limits are read with them, since they may be changed while a process runs.

    Parameters
    ----------
    root
        Where the file systems `/proc` and `/sys` are.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        self._meminfo = root / "proc/meminfo"
        self._groups = list(_groups(root))

    def used_share(self) -> float:
        """The largest share, from 0 to 1; 0 where the system does not tell."""
        machine = self._machine_figures()
        machine_bytes = machine.get(_TOTAL, 0) * _KIB
        shares = [_reading(group, machine_bytes) for group in self._groups]
        return min(1.0, max(0.0, _machine_share(machine), *shares))

    def _machine_figures(self) -> dict[str, int]:
        try:
            return _figures(self._meminfo, (_TOTAL, _AVAILABLE, *_AVAILABLE_AT_LEAST))
        except OSError:
            return {}


def _machine_share(machine: dict[str, int]) -> float:
    names = (_AVAILABLE,) if _AVAILABLE in machine else _AVAILABLE_AT_LEAST
    available = [machine[name] for name in names if name in machine]
    return 1 - sum(available) / machine[_TOTAL] if available and machine.get(_TOTAL) else 0.0


def _reading(group: _Group, machine_bytes: int) -> float:
    try:
        return group.used_share(machine_bytes)
    except (OSError, ValueError):
        # The group is gone or this process has been moved: the machine's memory still counts.
        return 0.0


def _groups(root: Path) -> Iterator[_Group]:
    """The groups of this process whose use of memory can be limited, outer ones included."""
    for layout in _LAYOUTS:
        mount = root / layout.mount
        place = mount / _own_path(root, layout.controllers).lstrip("/")
        # In a container the path may be the host's, while the mount is the container's own: what is not there has no limit.
        for directory in (place, *place.parents):
            if directory.is_relative_to(mount) and (directory / layout.limit).exists():
                yield _Group(directory, layout)


def _own_path(root: Path, controllers: str) -> str:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    paths = (line.split(":", 2) for line in lines if line.count(":") >= 2)
    return next((path for _, names, path in paths if names == controllers), "")


def _figures(path: Path, names: Collection[str]) -> dict[str, int]:
    """Figures of a file with a name and a number per line, as far as they are there."""
    with path.open(encoding="ascii") as lines:
        words = [line.split() for line in lines]
    return {line[0]: int(line[1]) for line in words if line and line[0] in names}
