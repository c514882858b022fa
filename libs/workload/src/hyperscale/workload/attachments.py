"""Files that a job file names and its submission brings along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.limits import MAX_DESCRIPTOR_SET_BYTES

_FIELDS: Final = ("descriptor_set", "descriptorSet")


def attach_files(document: object, directory: Path, faults: FaultCollector) -> None:
    """Put the content of files in the place of their names in the document of a job; note those that cannot be read.

    A name has a '.' in it, which no base64 has.

    Parameters
    ----------
    directory
        Where names of files begin.
    """
    for path, workflow in _workflows(document):
        for field in _FIELDS:
            name = workflow.get(field)
            if not isinstance(name, str) or "." not in name:
                continue
            try:
                workflow[field] = _content(directory / name)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                faults.add(f"{path}.descriptor_set", f"{name[:200]!r} cannot be read: {reason}")
                del workflow[field]


def _workflows(document: object) -> Iterator[tuple[str, dict[Any, Any]]]:
    """The mappings that stand where workflows should; what else stands there is told elsewhere."""
    workflows = document.get("workflows") if isinstance(document, dict) else None
    for index, workflow in enumerate(workflows if isinstance(workflows, list) else []):
        if isinstance(workflow, dict):
            yield f"workflows[{index}]", workflow


def _content(path: Path) -> bytes:
    """What the file has, or as much as is enough to refuse it for its size."""
    with path.open("rb") as file:
        return file.read(MAX_DESCRIPTOR_SET_BYTES + 1)
