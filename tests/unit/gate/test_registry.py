"""Who may report to a gate, and what it makes of them."""

import time
from collections.abc import Sequence

import pytest

from hyperscale.runtime.coordination import CoordinationUnavailableError, Lease, MemoryStore, Write
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import gate_service_pb2, node_pb2, progress_pb2
from hyperscale.v1.swim_pb2 import (
    SWIM_DATACENTER_HEALTH_BUSY,
    SWIM_DATACENTER_HEALTH_HEALTHY,
    SWIM_DATACENTER_HEALTH_UNHEALTHY,
)
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, heartbeat, make_gate, start, submission


async def refused(gate: GateInMemory, news: progress_pb2.ManagerHeartbeat) -> HyperscaleError:
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.registrations.register(news)
    return caught.value


def of(gate: GateInMemory, name: str) -> gate_service_pb2.DatacenterInfo:
    return next(info for info in gate.node.views.datacenters().datacenters if info.datacenter == name)


@pytest.mark.parametrize("field", ["cluster_id", "environment_id"])
async def test_managers_of_another_cluster_or_environment_are_refused(gate: GateInMemory, field: str) -> None:
    error = await refused(gate, heartbeat("mars", **{field: "other"}))
    assert error.reason is ErrorReason.WRONG_CLUSTER
    assert "other" in error.message
    assert gate.node.jobs.registry.datacenter_names == ["east", "west"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", node_pb2.NODE_ROLE_WORKER),
        ("node_id", ""),
        ("datacenter", "../etc"),
        ("endpoint", node_pb2.Endpoint(host="", port=1)),
        ("endpoint", node_pb2.Endpoint(host="h", port=70000)),
    ],
)
async def test_faulty_introductions_are_refused_with_the_path(gate: GateInMemory, field: str, value: object) -> None:
    error = await refused(gate, heartbeat("mars", **{field: value}))
    assert error.reason is ErrorReason.INVALID_ARGUMENT
    assert error.violations[0].path.startswith(f"heartbeat.node.{field}")


async def test_reports_before_registration_are_refused(start_gate: StartGate) -> None:
    gate = await start_gate()
    for report, reason in (
        (progress_pb2.ManagerReport(heartbeat=heartbeat("east")), ErrorReason.NOT_REGISTERED),
        (
            progress_pb2.ManagerReport(report_sequence=1, progress=progress_pb2.JobProgress()),
            ErrorReason.INVALID_ARGUMENT,
        ),
    ):
        with pytest.raises(HyperscaleError) as caught:
            gate.node.ingestion.open().take(report)
        assert caught.value.reason is reason


@pytest.mark.requirement("CLIENT.3")
async def test_a_datacenter_shows_what_its_leader_says(gate: GateInMemory) -> None:
    follower = heartbeat("east", node_id="manager-east-2")
    follower.is_leader = False
    await gate.node.registrations.register(follower)
    east = of(gate, "east")
    assert (east.available, east.leader_id, east.manager_count, east.total_cores) == (True, "manager-east", 2, 2)


async def test_a_datacenter_whose_managers_left_stays_known_but_takes_nothing(gate: GateInMemory) -> None:
    gate.streams["west"].close()
    assert (of(gate, "west").available, of(gate, "west").manager_count) == (False, 0)
    assert gate.node.jobs.registry.connected("west") == []


async def test_the_end_of_an_old_stream_does_not_touch_a_new_registration(gate: GateInMemory) -> None:
    old = gate.streams["east"]
    await gate.connect("east")
    old.close()
    assert of(gate, "east").available
    with pytest.raises(HyperscaleError):
        old.take(progress_pb2.ManagerReport(heartbeat=heartbeat("east")))


async def test_frames_with_a_sequence_are_acknowledged(gate: GateInMemory) -> None:
    stream = gate.streams["east"]
    ack = stream.take(progress_pb2.ManagerReport(report_sequence=7, heartbeat=heartbeat("east")))
    assert ack is not None
    assert ack.report_sequence == 7
    assert stream.take(progress_pb2.ManagerReport(heartbeat=heartbeat("east"))) is None


async def test_a_manager_is_told_once_which_gates_there_are(gate: GateInMemory) -> None:
    stream = gate.node.ingestion.open()
    first, second = (
        stream.take(progress_pb2.ManagerReport(report_sequence=sequence, heartbeat=heartbeat("east")))
        for sequence in (1, 2)
    )
    assert first is not None
    assert second is not None
    assert [known.node_id for known in first.known_gates.gates] == ["g1"]
    assert not second.HasField("known_gates")


async def test_a_datacenter_is_shown_as_healthy_as_the_router_finds_it_also_when_nobody_speaks_for_it(
    gate: GateInMemory,
) -> None:
    assert (of(gate, "east").health, of(gate, "east").health_reason) == (SWIM_DATACENTER_HEALTH_HEALTHY, "")
    news = heartbeat("east")
    news.available_cores = 0
    gate.report("east", heartbeat=news)
    found = of(gate, "east")
    assert (found.health, found.health_reason) == (SWIM_DATACENTER_HEALTH_BUSY, "it has no free cores")
    gate.streams["east"].close()
    found, decision = of(gate, "east"), gate.node.jobs.routing.consider("job-1", submission("west")).decision
    standing = next(standing for standing in decision.standings if standing.name == "east")
    assert (found.health, found.health_reason) == (SWIM_DATACENTER_HEALTH_UNHEALTHY, standing.finding.reason)


async def test_a_datacenter_is_remembered_also_when_the_store_did_not_answer_at_first() -> None:
    class MuteStore(MemoryStore):
        is_mute = False

        def commit(self, writes: Sequence[Write], guard: Lease | None) -> int:
            if self.is_mute:
                raise CoordinationUnavailableError("no answer")
            return super().commit(writes, guard)

    store = MuteStore(time.time)
    gate = await start(make_gate(store))
    store.is_mute = True
    with pytest.raises(CoordinationUnavailableError):
        await gate.connect("east")
    store.is_mute = False
    await gate.connect("east")
    assert await gate.node.jobs.store.datacenters() == ["east"]
    await gate.supervisor.stop(5)
