"""``--out name=destination``: which reporters there are, and how a result gets to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hyperscale.client.reporters.files import CsvFileReporter, JsonFileReporter
from hyperscale.client.reporters.interface import JobReport, Reporter, ReporterFactory
from hyperscale.workload.faults import Fault

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP: Final = "hyperscale.reporters"
_BUILT_IN: Final[Mapping[str, ReporterFactory]] = MappingProxyType({"json": JsonFileReporter, "csv": CsvFileReporter})
_TIMEOUT_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 5.0
"""Also beyond the timeout, after which a destination may answer nothing at all."""


@dataclass(frozen=True, slots=True)
class Output:
    """One destination for a result."""

    name: str
    destination: str
    load: Callable[[], ReporterFactory]
    """Imports a plug-in only once there is something to report."""


class ReporterFailures:
    """Collects what went wrong on the way to a destination, for people."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def report(self, output: Output, error: BaseException) -> None:
        """Say that a destination did not get the result."""
        self._tell(f"--out {output.name}={output.destination}: {type(error).__name__}: {error}")


def parse_outputs(values: Sequence[str]) -> tuple[list[Output], list[Fault]]:
    """Read ``name=destination`` of every ``--out``; what cannot be used is a fault."""
    outputs: list[Output] = []
    faults: list[Fault] = []
    for value in values:
        name, _, destination = value.partition("=")
        load = _loader(name)
        if not destination:
            faults.append(Fault("--out", f"{value!r} is not NAME=DESTINATION"))
        elif load is None:
            faults.append(Fault("--out", f"there is no reporter {name!r}; there are: {', '.join(reporter_names())}"))
        else:
            outputs.append(Output(name, destination, load))
    return outputs, faults


def reporter_names() -> list[str]:
    """Every reporter that ``--out`` knows."""
    return sorted({*_BUILT_IN, *(point.name for point in _plug_ins())})


async def send_to_all(outputs: Sequence[Output], report: JobReport, failures: ReporterFailures) -> None:
    """Give a result to every output at once; one that fails leaves the others alone."""
    async with asyncio.TaskGroup() as group:
        for output in outputs:
            group.create_task(_send(output, report, failures))


async def _send(output: Output, report: JobReport, failures: ReporterFailures) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await _deliver(output.load()(output.destination), report)
    except Exception as error:
        failures.report(output, error)


async def _deliver(reporter: Reporter, report: JobReport) -> None:
    try:
        await reporter.connect()
        await reporter.send(report)
    finally:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await reporter.close()


def _loader(name: str) -> Callable[[], ReporterFactory] | None:
    if name in _BUILT_IN:
        return lambda: _BUILT_IN[name]
    return next((_loading(point) for point in _plug_ins() if point.name == name), None)


def _loading(point: EntryPoint) -> Callable[[], ReporterFactory]:
    def load() -> ReporterFactory:
        factory: ReporterFactory = point.load()
        return factory

    return load


def _plug_ins() -> Sequence[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import, needed for plug-ins only

    return tuple(entry_points(group=ENTRY_POINT_GROUP))
