"""Reporters that write one file, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hyperscale.client.reporters.interface import JobReport

_CSV_HEADER = ("job_id", "datacenter", "metric", "value_name", "value", "workflow", "step")


class JsonFileReporter:
    """Writes the result as one indented JSON document."""

    def __init__(self, destination: str) -> None:
        self._path = Path(destination)

    async def connect(self) -> None:
        """Nothing to do before the result is there."""

    async def send(self, report: JobReport) -> None:
        """Write the file."""
        _replace(self._path, json.dumps(report.document, indent=2, ensure_ascii=False) + "\n")

    async def close(self) -> None:
        """Nothing is held open."""


class CsvFileReporter:
    """Writes a row per value of each metric; datacenter, workflow and step are empty in rows over all of them."""

    def __init__(self, destination: str) -> None:
        self._path = Path(destination)

    async def connect(self) -> None:
        """Nothing to do before the result is there."""

    async def send(self, report: JobReport) -> None:
        """Write the file."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_CSV_HEADER)
        writer.writerows((report.job_id, *row) for row in _rows(report.document))
        _replace(self._path, text.getvalue())

    async def close(self) -> None:
        """Nothing is held open."""


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for metric, name, value in _values(document["metrics"]):
        yield "", metric, name, value, "", ""
    for datacenter, part in document["datacenters"].items():
        for metric, name, value in _values(part["metrics"]):
            yield datacenter, metric, name, value, "", ""
    for workflow, steps in document["steps"].items():
        for step, metrics in steps.items():
            for metric, name, value in _values(metrics):
                yield "", metric, name, value, workflow, step


def _values(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    for metric, values in metrics.items():
        for name, value in values.items():
            yield metric, name, value


def _replace(path: Path, text: str) -> None:
    """Write beside the file and rename, so that nobody ever reads half a result."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
