"""Which manager of a datacenter a call goes to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hyperscale.gate.models.orders import CallOrigin
from hyperscale.runtime.errors import LEADER_KEY, ErrorReason, HyperscaleError
from hyperscale.v1 import dispatch_pb2, job_pb2, node_pb2
from tests.support.waiting import until
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, heartbeat, refusal, submission


@dataclass(slots=True)
class Line:
    """Calls to east, where every address answers but those that fail."""

    gate: GateInMemory
    failures: dict[str, HyperscaleError] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)

    async def ask(self, usual_manager: str | None = None) -> list[str]:
        """The addresses that one question went to."""
        self.called.clear()
        await self.gate.node.jobs.caller.ask("east", self._answer, usual_manager)
        return list(self.called)

    async def fail(self) -> HyperscaleError:
        self.called.clear()
        with pytest.raises(HyperscaleError) as caught:
            await self.gate.node.jobs.caller.ask("east", self._answer)
        return caught.value

    async def _answer(self, address: str) -> str:
        self.called.append(address)
        if address in self.failures:
            raise self.failures[address]
        return "yes"


async def join(gate: GateInMemory, host: str, *, term: int = 0) -> None:
    """Another manager of east; it leads when it has a term."""
    news = heartbeat("east", node_id=f"manager-{host}", endpoint=node_pb2.Endpoint(host=host, port=1))
    news.is_leader, news.term = bool(term), term
    await gate.node.registrations.register(news)


@pytest.fixture
async def line(start_gate: StartGate) -> Line:
    """East with a leader, two followers, and circuits that try again soon."""
    gate = await start_gate("east", circuit_half_open_after_seconds=0.3)
    for host in ("one", "two"):
        await join(gate, host)
    return Line(gate)


@pytest.mark.requirement("AD-50.1")
async def test_calls_go_to_the_leader_then_where_its_hints_lead_and_never_behind_an_open_circuit(line: Line) -> None:
    assert await line.ask() == ["east:1"]
    line.failures["east:1"] = refusal(ErrorReason.NOT_LEADER, **{LEADER_KEY: "two:1"})
    assert await line.ask() == ["east:1", "two:1"]
    line.failures["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    for _ in range(3):
        assert await line.ask() == ["east:1", "one:1"]
    assert await line.ask() == ["one:1"]
    line.failures["one:1"] = refusal(ErrorReason.NOT_LEADER, **{LEADER_KEY: "east:1"})
    assert await line.ask() == ["one:1", "two:1"]


async def test_of_two_that_believe_they_lead_that_of_the_higher_term_is_called(line: Line) -> None:
    await join(line.gate, "two", term=2)
    assert await line.ask() == ["two:1"]


async def test_while_none_leads_the_manager_that_the_job_had_is_called(line: Line) -> None:
    line.gate.streams["east"].close()
    assert await line.ask() == ["one:1"]
    assert await line.ask("two:1") == ["two:1"]


async def test_an_open_circuit_is_tried_again_after_a_while_and_closes_with_an_answer(line: Line) -> None:
    line.failures["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    for _ in range(3):
        await line.ask()
    assert line.gate.node.jobs.caller.open_circuits("east") == 1
    del line.failures["east:1"]
    assert await line.ask() == ["one:1"]
    await until(lambda: line.gate.node.jobs.caller.open_circuits("east") == 0)
    assert await line.ask() == ["east:1"]
    assert len(line.gate.node.jobs.circuits) == 0


async def test_a_manager_that_registers_again_is_called_at_once(line: Line) -> None:
    line.failures["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    for _ in range(3):
        await line.ask()
    del line.failures["east:1"]
    await line.gate.connect("east")
    assert await line.ask() == ["east:1"]


async def test_a_datacenter_behind_open_circuits_says_why_and_is_excluded_from_choice(line: Line) -> None:
    for host in ("east", "one", "two"):
        line.failures[f"{host}:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    for _ in range(3):
        assert (await line.fail()).reason is ErrorReason.PEER_UNREACHABLE
    error = await line.fail()
    assert (error.reason, line.called) == (ErrorReason.DATACENTER_UNAVAILABLE, [])
    assert error.message.startswith("calls to the managers of datacenter east have failed lately: east:1: ")
    job = submission()
    job.datacenters.CopyFrom(job_pb2.DatacenterSelection(count=1))
    with pytest.raises(HyperscaleError, match="east: calls to all of its managers have failed lately"):
        await line.gate.submit(job)


async def test_a_manager_that_has_long_been_silent_is_not_called(start_gate: StartGate) -> None:
    gate = await start_gate("east", manager_loss_grace_seconds=0.2)
    line = Line(gate)
    await until(lambda: gate.node.jobs.registry.is_silent("east"))
    error = await line.fail()
    assert (error.message, line.called) == ("the managers of datacenter east have been silent for 0.2 s", [])


async def test_a_datacenter_without_managers_is_unavailable(line: Line) -> None:
    line.gate.streams["east"].close()
    for host in ("one", "two"):
        session = line.gate.node.jobs.registry.session_of(f"manager-{host}")
        assert session is not None
        line.gate.node.jobs.registry.leave(f"manager-{host}", session)
    error = await line.fail()
    assert error.message == "no manager of datacenter east is connected"


async def test_a_job_is_cancelled_at_the_manager_that_took_it_over_while_none_leads(line: Line) -> None:
    gate = line.gate
    gate.datacenters.answers["east:1"] = refusal(ErrorReason.NOT_LEADER, **{LEADER_KEY: "two:1"})
    job_id = await gate.submit(submission("east"))
    await until(lambda: ("two:1", job_id) in gate.datacenters.dispatches)
    gate.streams["east"].close()
    await gate.node.desk.cancel(dispatch_pb2.JobCancelRequest(job_id=job_id), CallOrigin.CLIENT)
    await until(lambda: bool(gate.datacenters.cancels))
    assert [address for address, _ in gate.datacenters.cancels] == ["two:1"]


async def test_the_silence_of_the_leader_outweighs_the_answers_of_those_who_only_send_there(line: Line) -> None:
    line.failures["east:1"] = refusal(ErrorReason.DEADLINE_EXCEEDED)
    for host in ("one", "two"):
        line.failures[f"{host}:1"] = refusal(ErrorReason.NOT_LEADER, **{LEADER_KEY: "east:1"})
    for _ in range(3):
        assert (await line.fail()).reason is ErrorReason.DEADLINE_EXCEEDED
        assert line.called == ["east:1", "one:1", "two:1"]
    error = await line.fail()
    assert (error.reason, line.called) == (ErrorReason.DATACENTER_UNAVAILABLE, ["one:1", "two:1"])
    assert error.message.startswith("calls to the managers of datacenter east have failed lately: east:1: ")


async def test_while_nobody_leads_that_is_the_answer(line: Line) -> None:
    line.failures["east:1"] = refusal(ErrorReason.PEER_UNREACHABLE)
    for host in ("one", "two"):
        line.failures[f"{host}:1"] = refusal(ErrorReason.NOT_LEADER)
    assert (await line.fail()).reason is ErrorReason.NOT_LEADER
