"""Results go to every output that works; one that does not changes nothing but standard error."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from hyperscale.client.reporters.interface import JobReport
from hyperscale.client.reporters.outputs import ENTRY_POINT_GROUP, ReporterFailures, parse_outputs, send_to_all
from hyperscale.client.results import result_json
from tests.support.virtual_time import run_in_virtual_time
from tests.unit.client.samples import JOB_ID, failed_result

REPORT = JobReport(JOB_ID, result_json(JOB_ID, failed_result()))


class RefusingReporter:
    closed = False

    def __init__(self, destination: str) -> None:
        self.destination = destination

    async def connect(self) -> None:
        raise ConnectionError(f"{self.destination} is down")

    async def send(self, report: JobReport) -> None:
        raise AssertionError("not connected")

    async def close(self) -> None:
        RefusingReporter.closed = True


async def report_to(*outs: str) -> list[str]:
    told: list[str] = []
    chosen, faults = parse_outputs(outs)
    assert faults == []
    await send_to_all(chosen, REPORT, ReporterFailures(told.append))
    return told


async def test_json_file_is_the_result(tmp_path: Path) -> None:
    assert await report_to(f"json={tmp_path / 'r.json'}") == []
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(json.dumps(dict(REPORT.document)))
    assert os.listdir(tmp_path) == ["r.json"]


async def test_csv_file_has_a_row_per_value(tmp_path: Path) -> None:
    assert await report_to(f"csv={tmp_path / 'r.csv'}") == []
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    total = next(row for row in rows if row["metric"] == "http_reqs" and row["datacenter"] == "")
    assert (total["job_id"], total["value_name"], total["value"]) == (JOB_ID, "count", "40")
    assert {row["datacenter"] for row in rows} == {"", "dc-1", "dc-2"}
    steps = {row["step"]: row for row in rows if row["metric"] == "http_reqs" and row["value_name"] == "count"}
    assert {step: (row["workflow"], row["value"]) for step, row in steps.items() if step} == {
        "home": ("browse", "30"),
        "login": ("browse", "10"),
    }


async def test_failing_reporter_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in = EntryPoint("refusing", f"{__name__}:RefusingReporter", ENTRY_POINT_GROUP)
    broken = EntryPoint("broken", "no.such.module:Reporter", ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda point: RefusingReporter if point.name == "refusing" else 1 / 0)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [plug_in, broken])
    told = await report_to("refusing=there", "broken=x", f"json={tmp_path / 'r.json'}", f"csv={tmp_path}/no/r.csv")
    assert (tmp_path / "r.json").exists()
    assert len(told) == 3
    assert any("refusing=there: ConnectionError: there is down" in line for line in told)
    assert RefusingReporter.closed


class DeafReporter(RefusingReporter):
    """One whose destination has stopped answering."""

    async def connect(self) -> None:
        pass

    async def send(self, report: JobReport) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        await asyncio.Event().wait()


def test_a_reporter_that_does_not_even_close_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in = EntryPoint("deaf", f"{__name__}:DeafReporter", ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda point: DeafReporter)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [plug_in])

    async def report() -> list[str]:
        async with asyncio.timeout(3600):
            return await report_to("deaf=there")

    assert run_in_virtual_time(report()) == ["--out deaf=there: TimeoutError: "]


def test_every_bad_out_is_a_fault() -> None:
    chosen, faults = parse_outputs(["json", "parquet=x", "csv=ok.csv"])
    assert [output.name for output in chosen] == ["csv"]
    assert len(faults) == 2
    assert "csv, json" in faults[1].message
