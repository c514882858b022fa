"""What the leader of a datacenter says of it to gates that probe."""

from __future__ import annotations

from typing import Final, Protocol

from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.leadership import Leadership
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.swim.models import Member, MemberState, NodeAddress, Role
from hyperscale.v1.node_pb2 import OVERLOAD_STATE_OVERLOADED
from hyperscale.v1.progress_pb2 import ManagerHeartbeat
from hyperscale.v1.swim_pb2 import (
    SWIM_DATACENTER_HEALTH_BUSY,
    SWIM_DATACENTER_HEALTH_DEGRADED,
    SWIM_DATACENTER_HEALTH_HEALTHY,
    SWIM_DATACENTER_HEALTH_UNHEALTHY,
    SwimCrossAck,
    SwimDatacenterHealth,
)

_MISSED_SECONDS: Final = 600.0
"""How long a dead member counts as missing; later nobody expects it back."""


class Group(Protocol):
    """Managers and workers of the datacenter."""

    def members(self) -> list[Member]:
        """Everybody that is known."""
        ...


class DatacenterVoice:
    """Sums the datacenter up. Only the leader has anything to say."""

    def __init__(
        self, health: ManagerHealth, leadership: Leadership, state: ManagerState, group: Group, clock: Clock
    ) -> None:
        self._health = health
        self._leadership = leadership
        self._state = state
        self._group = group
        self._clock = clock

    def leader(self) -> NodeAddress | None:
        """Where the leader listens, if another manager is known to lead."""
        leader = self._leadership.leader
        if leader is None or not leader.address:
            return None
        endpoint = Endpoint.parse(leader.address)
        return NodeAddress(endpoint.host, endpoint.port)

    def health(self) -> SwimCrossAck | None:
        """How the datacenter is; none unless this manager leads it and is ready to."""
        heartbeat = self._health.heartbeat()
        if not heartbeat.is_leader:
            return None
        managers, workers = self._members(Role.MANAGER), self._members(Role.WORKER)
        ack = SwimCrossAck(
            leader_term=heartbeat.term,
            managers=len(managers),
            healthy_managers=_alive(managers),
            workers=len(workers),
            healthy_workers=_alive(workers),
            total_cores=heartbeat.total_cores,
            available_cores=heartbeat.available_cores,
            active_jobs=heartbeat.active_jobs,
            active_workflows=self._state.active_workflows,
        )
        ack.health, ack.health_reason = _judgement(ack, heartbeat)
        return ack

    def _members(self, role: Role) -> list[Member]:
        """Those that are there or missed."""
        now = self._clock.monotonic()
        return [
            member
            for member in self._group.members()
            if member.identity.role is role
            and member.state in _COUNTED
            and (member.state is not MemberState.DEAD or now - member.since < _MISSED_SECONDS)
        ]


_COUNTED: Final = frozenset({MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD})


def _alive(members: list[Member]) -> int:
    return sum(member.state is MemberState.ALIVE for member in members)


def _judgement(ack: SwimCrossAck, heartbeat: ManagerHeartbeat) -> tuple[SwimDatacenterHealth.ValueType, str]:
    """The first that holds, worst first, and why."""
    overloaded = heartbeat.overloaded_worker_count
    checks: tuple[tuple[bool, SwimDatacenterHealth.ValueType, str], ...] = (
        (not ack.total_cores or not ack.healthy_workers, SWIM_DATACENTER_HEALTH_UNHEALTHY, "no worker is there"),
        (
            ack.healthy_workers <= ack.workers // 2,
            SWIM_DATACENTER_HEALTH_DEGRADED,
            f"{ack.healthy_workers} of {ack.workers} workers are there",
        ),
        (
            ack.healthy_managers <= ack.managers // 2,
            SWIM_DATACENTER_HEALTH_DEGRADED,
            f"{ack.healthy_managers} of {ack.managers} managers are there",
        ),
        (
            2 * overloaded >= ack.workers,
            SWIM_DATACENTER_HEALTH_DEGRADED,
            f"{overloaded} of {ack.workers} workers are overloaded",
        ),
        (
            heartbeat.node.overload == OVERLOAD_STATE_OVERLOADED,
            SWIM_DATACENTER_HEALTH_DEGRADED,
            "its leader is overloaded",
        ),
        (not ack.available_cores, SWIM_DATACENTER_HEALTH_BUSY, "no core is free"),
    )
    found = ((health, reason) for holds, health, reason in checks if holds)
    return next(found, (SWIM_DATACENTER_HEALTH_HEALTHY, ""))
