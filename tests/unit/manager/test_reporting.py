"""Results find the gate that they are for, at whatever address it is met."""

from __future__ import annotations

from hyperscale.manager.reporting import GateReports
from hyperscale.runtime.outbox import Outbox
from hyperscale.v1.job_pb2 import JobFinalResult
from hyperscale.v1.progress_pb2 import ManagerReport, WindowedStatsPush

FOUND, CONFIGURED = "10.0.0.2:1", "gates:1"


def result(job_id: str) -> JobFinalResult:
    return JobFinalResult(job_id=job_id)


async def to_send(outbox: Outbox[ManagerReport]) -> list[str]:
    """Jobs whose results a new stream begins with."""
    outbox.rewind()
    reports = [(await outbox.next()).report for _ in range(len(outbox))]
    return [report.final_result.job_id for report in reports if report.HasField("final_result")]


async def test_a_result_follows_a_gate_that_turns_out_to_be_behind_another_address() -> None:
    reports = GateReports("dc", 10)
    configured, found = reports.open(CONFIGURED), reports.open(FOUND)
    reports.met(FOUND, "gate-2")
    reports.send_final("gate-2", result("job-1"))
    assert await to_send(found) == ["job-1"]
    reports.met(CONFIGURED, "gate-2")
    reports.close(FOUND)
    assert await to_send(configured) == ["job-1"]
    reports.acknowledge(CONFIGURED, 1)
    assert reports.unacknowledged == 0
    assert reports.held_results == 0


async def test_a_result_follows_a_gate_from_a_configured_address_to_where_it_is_now() -> None:
    reports = GateReports("dc", 10)
    configured, found = reports.open(CONFIGURED), reports.open(FOUND)
    reports.met(CONFIGURED, "gate-1")
    reports.send_final("gate-1", result("job-1"))
    reports.met(FOUND, "gate-1")
    assert await to_send(found) == ["job-1"]
    assert await to_send(configured) == [], "nobody may be left there to acknowledge it"


async def test_a_result_is_not_for_another_gate_that_answers_at_the_address() -> None:
    reports = GateReports("dc", 10)
    configured, found = reports.open(CONFIGURED), reports.open(FOUND)
    reports.met(CONFIGURED, "gate-1")
    reports.send_final("gate-1", result("job-1"))
    reports.send_window("gate-1", WindowedStatsPush())
    reports.met(CONFIGURED, "gate-2")
    assert await to_send(configured) == []
    assert reports.held_results == 1
    reports.met(FOUND, "gate-1")
    assert await to_send(found) == ["job-1"]


async def test_a_gate_that_is_met_again_keeps_what_waits_for_it() -> None:
    reports = GateReports("dc", 10)
    outbox = reports.open(CONFIGURED)
    reports.met(CONFIGURED, "gate-1")
    reports.send_final("gate-1", result("job-1"))
    reports.send_window("gate-1", WindowedStatsPush())
    reports.met(CONFIGURED, "gate-1")
    assert len(outbox) == 2
