"""What a gate makes of what managers say of their cores: how long a job would wait, and whether it goes elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import structlog

from hyperscale.gate.candidates import DatacenterCandidates
from hyperscale.gate.datacenter_calls import DatacenterCaller
from hyperscale.gate.federation import DatacenterWatch
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.routing import DatacenterRouting, chosen
from hyperscale.gate.routing_journal import RoutingJournal
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.runtime.circuits import CircuitPolicy, Circuits
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.telemetry import SilentMeter
from hyperscale.swim.federation import FederationConfig
from hyperscale.swim.models import Identity, Role
from hyperscale.v1 import gate_service_pb2, node_pb2, routing_pb2
from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.v1.progress_pb2 import BusyCores, ManagerHeartbeat, WaitingWork
from hyperscale.v1.swim_pb2 import SwimCrossAck, SwimEnvelope, SwimSender
from hyperscale.workload.timestamps import duration
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, heartbeat, submission

CORES = 8


def news(
    datacenter: str = "east",
    *busy: tuple[int, float],
    waiting: tuple[tuple[int, float], ...] = (),
    node_id: str = "",
    leads: bool = True,
    free: int | None = None,
) -> ManagerHeartbeat:
    """A manager of eight cores says which of them have work, and for how long."""
    said = heartbeat(datacenter, node_id=node_id or f"manager-{datacenter}")
    said.is_leader, said.term = leads, int(leads)
    said.worker_count = said.healthy_worker_count = 1
    said.total_cores = CORES
    said.available_cores = CORES - sum(cores for cores, _ in busy) if free is None else free
    said.busy.extend(BusyCores(cores=cores, ends_in=duration(seconds)) for cores, seconds in busy)
    said.waiting.extend(WaitingWork(cores=cores, lasts=duration(seconds)) for cores, seconds in waiting)
    return said


@dataclass(slots=True)
class Landscape:
    """What a gate knows and decides, on a clock of its own."""

    rtt_ms: dict[str, float] = field(default_factory=dict)
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Managers and workers that the group of a datacenter expects."""
    now: float = 1000.0
    slo_target_ms: float | None = None
    registry: ManagerRegistry = field(init=False)
    watch: DatacenterWatch = field(init=False)
    routing: DatacenterRouting = field(init=False)

    def __post_init__(self) -> None:
        home = NodeIdentity("g1", node_pb2.NODE_ROLE_GATE, "local", "hyperscale", "default")
        self.registry = ManagerRegistry(home, 10.0, self, self.slo_target_ms)
        logger = structlog.wrap_logger(structlog.testing.CapturingLogger())
        self.watch = DatacenterWatch(self.registry, FederationConfig.lan(), logger)
        caller = DatacenterCaller(self.registry, Circuits(CircuitPolicy(), self), self, 10.0)
        candidates = DatacenterCandidates(self.registry, self.watch, caller, self)
        self.routing = DatacenterRouting(candidates, RoutingJournal(SilentMeter(), logger), self, RoutingConfig())

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def hear(self, *heartbeats: ManagerHeartbeat) -> None:
        for said in heartbeats:
            self.registry.register(said)

    def measure(self, seconds: float = 10.0) -> None:
        """Let the leaders answer probes, each after its round trip."""
        for _ in range(round(seconds * 4)):
            self.now += 0.25
            self.watch.handle_timer(self.now)
            for message in self.watch.messages_to_send():
                probe = SwimEnvelope.FromString(message.body).cross_probe
                managers, workers = self.groups.get(probe.datacenter, (1, 1))
                ack = SwimCrossAck(
                    sequence=probe.sequence,
                    datacenter=probe.datacenter,
                    leader_term=1,
                    managers=managers,
                    workers=workers,
                )
                envelope = SwimEnvelope(sender=SwimSender(incarnation=1), cross_ack=ack)
                manager = Identity("m", Role.MANAGER, message.address, "c", "e", probe.datacenter)
                answered_at = self.now + self.rtt_ms[probe.datacenter] / 1000
                assert self.watch.receive(envelope, manager, message.address, answered_at)

    def info(self, datacenter: str = "east") -> gate_service_pb2.DatacenterInfo:
        return next(info for info in self.registry.datacenters() if info.datacenter == datacenter)

    def decide(self, job: JobSubmission) -> routing_pb2.RoutingDecision:
        return self.routing.conclude(self.routing.consider("job-1", job))

    def standing(self, datacenter: str = "east") -> routing_pb2.RoutingCandidate:
        decision = self.decide(job(1))
        return next(candidate for candidate in decision.candidates if candidate.datacenter == datacenter)


def job(workflows: int) -> JobSubmission:
    """A job of so many workflows that start at once, and one that follows."""
    asked = submission()
    first = asked.workflows[0]
    for number in range(1, workflows):
        asked.workflows.add().CopyFrom(first)
        asked.workflows[number].name = f"shop-{number}"
    later = asked.workflows.add()
    later.CopyFrom(first)
    later.name = "later"
    later.depends_on.append(first.name)
    asked.datacenters.count = 1
    return asked


def wait_of(info: gate_service_pb2.DatacenterInfo) -> float | None:
    return info.core_wait_seconds if info.HasField("core_wait_seconds") else None


@pytest.mark.requirement("AD-38.1")
def test_the_leader_speaks_for_a_datacenter_for_as_long_as_it_is_heard() -> None:
    land = Landscape()
    follower = news(node_id="manager-2", leads=False, free=8)
    land.hear(news("east", (6, 30.0)), follower, news("west"))
    east = land.info()
    assert (east.available, east.leader_id, east.manager_count) == (True, "manager-east", 2)
    assert (east.total_cores, east.available_cores, east.busy_cores) == (8, 2, 6)
    land.now += 4
    land.registry.hear(follower)
    assert (land.info().available_cores, land.standing().health) == (2, routing_pb2.ROUTING_HEALTH_HEALTHY)
    land.now += 2
    land.registry.hear(follower)
    land.registry.hear(news("west"))
    east = land.info()
    assert (east.available, east.leader_id, east.manager_count, east.available_cores) == (False, "", 1, 8)
    assert land.standing().health == routing_pb2.ROUTING_HEALTH_DEGRADED


@pytest.mark.requirement("AD-38.1")
def test_what_nobody_confirms_any_more_is_not_known() -> None:
    land = Landscape()
    land.hear(news("east", (6, 30.0)), news("west"))
    land.now += 5.1
    land.registry.hear(news("west"))
    east = land.info()
    assert (east.available, east.total_cores, east.available_cores, east.busy_cores) == (False, 0, 0, 0)
    assert wait_of(east) is None
    standing = land.standing()
    assert standing.health == routing_pb2.ROUTING_HEALTH_DEGRADED
    assert "0 of 1 managers are healthy" in standing.reason
    assert chosen(land.decide(job(1))) == ["west"]
    land.registry.hear(news("east"))
    assert (land.info().available_cores, land.standing().health) == (8, routing_pb2.ROUTING_HEALTH_HEALTHY)


@pytest.mark.requirement("AD-43.1")
@pytest.mark.parametrize(
    ("busy", "waiting", "wait"),
    [
        ((), (), 0.0),
        (((7, 60.0),), (), 0.0),
        (((6, 60.0), (2, 20.0)), (), 20.0),
        (((6, 60.0), (2, 20.0)), ((1, 40.0), (2, 8.0)), 20.0 + (40 + 16) / 8),
        (((7, 60.0),), ((8, 10.0),), 10.0),
    ],
)
def test_the_wait_for_a_core_is_shown(
    busy: tuple[tuple[int, float], ...], waiting: tuple[tuple[int, float], ...], wait: float
) -> None:
    land = Landscape()
    land.hear(news("east", *busy, waiting=waiting))
    info = land.info()
    assert wait_of(info) == pytest.approx(wait)
    assert (info.busy_cores, info.waiting_cores) == (sum(n for n, _ in busy), sum(n for n, _ in waiting))


def test_time_that_has_passed_since_a_manager_spoke_is_taken_off_the_wait() -> None:
    land = Landscape()
    land.hear(news("east", (8, 3.0)))
    land.now += 1
    assert wait_of(land.info()) == pytest.approx(2.0)
    land.now += 3
    assert wait_of(land.info()) == pytest.approx(0.1)


def test_without_cores_the_wait_cannot_be_told() -> None:
    land = Landscape()
    land.hear(news("east", free=0))
    assert wait_of(land.info()) is None


@pytest.mark.requirement("AD-39.1", "AD-43.1")
@pytest.mark.parametrize(
    ("here", "there", "rtt_there_ms", "place"),
    [
        (news("here", (7, 70.0)), news("there"), 105.0, "there"),
        (news("here", (6, 70.0)), news("there"), 105.0, "here"),
        (news("here", (7, 59.0)), news("there"), 105.0, "here"),
        (news("here", (7, 59.0), waiting=((4, 10.0),)), news("there"), 105.0, "there"),
        (news("here", (7, 600.0)), news("there", (7, 2.0)), 105.0, "here"),
        (news("here", (7, 70.0)), news("there"), 115.0, "here"),
    ],
    ids=["spills", "can start here", "wait is short", "queue makes it long", "cannot start there", "too far"],
)
def test_a_job_spills_over_exactly_under_its_conditions(
    here: ManagerHeartbeat, there: ManagerHeartbeat, rtt_there_ms: float, place: str
) -> None:
    land = Landscape({"here": 10.0, "there": rtt_there_ms})
    land.hear(news("here"), news("there"))
    land.measure()
    land.hear(here, there)
    decision = land.decide(job(2))
    assert decision.ranking == routing_pb2.ROUTING_RANKING_SCORE
    assert chosen(decision) == [place]
    assert ("another one can start at once" in decision.reason) == (place == "there")


@pytest.mark.parametrize(
    ("managers", "workers", "health", "reason"),
    [
        (1, 1, routing_pb2.ROUTING_HEALTH_HEALTHY, ""),
        (2, 1, routing_pb2.ROUTING_HEALTH_DEGRADED, "1 of 2 managers are healthy"),
        (1, 3, routing_pb2.ROUTING_HEALTH_DEGRADED, "1 of 3 workers are healthy"),
    ],
)
def test_who_is_missed_by_its_group_counts(
    managers: int, workers: int, health: routing_pb2.RoutingHealth.ValueType, reason: str
) -> None:
    land = Landscape({"east": 10.0, "west": 10.0}, {"east": (managers, workers)})
    land.hear(news("east"), news("west"))
    land.measure()
    land.hear(news("east"), news("west"))
    standing = land.standing()
    assert standing.health == health
    assert reason in standing.reason


async def test_a_submitted_job_goes_where_it_can_start(start_gate: StartGate) -> None:
    gate: GateInMemory = await start_gate("east", "west")
    gate.report("east", heartbeat=news("east", (4, 90.0), waiting=((8, 600.0),)))
    gate.report("west", heartbeat=news("west", (6, 90.0)))
    job_id = await gate.submit(job(2))
    run = gate.node.jobs.state.find(job_id)
    assert run is not None
    assert list(run.record.datacenters) == ["west"]


@pytest.mark.parametrize(("seconds", "samples", "ranking"), [(4, 4, "CAPACITY"), (6, 6, "SCORE"), (30, 16, "SCORE")])
def test_round_trips_count_in_so_far_as_they_are_known(seconds: float, samples: int, ranking: str) -> None:
    land = Landscape({"here": 10.0, "there": 300.0})
    land.hear(news("here", (6, 10.0)), news("there"))
    land.measure(seconds)
    land.hear(news("here", (6, 10.0)), news("there"))
    known = land.watch.round_trip("here", land.now + 400.0)
    assert known is not None
    assert (known.samples, known.age_seconds > 300) == (samples, True)
    decision = land.decide(job(1))
    assert decision.ranking == routing_pb2.RoutingRanking.Value(f"ROUTING_RANKING_{ranking}")
    assert chosen(decision) == [{"CAPACITY": "there", "SCORE": "here"}[ranking]]
    quality = {one.datacenter: one.score.quality for one in decision.candidates}["here"]
    assert quality == pytest.approx(1.0 if samples >= 10 else 1 + 0.5 * (1 - samples / 10))
