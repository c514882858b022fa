"""Which gate owns a job, by the job's identity.

Laws: gates that see the same gates name the same owner; a job is passed on at most once; a gate that is alone asks nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

from google.protobuf.message import DecodeError
from structlog.typing import FilteringBoundLogger

from hyperscale.gate.forwarding import OwnerGates
from hyperscale.gate.reunion import DatacenterReunion
from hyperscale.routing.hash_ring import HashRing
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.swim.models import Member, MemberState, NodeAddress, Role
from hyperscale.v1 import job_pb2, node_pb2
from hyperscale.v1.membership_service_pb2 import GateVitals

_CANNOT_OWN: Final = frozenset(
    {
        ErrorReason.PEER_UNREACHABLE,
        ErrorReason.DEADLINE_EXCEEDED,
        ErrorReason.CANCELLED,
        ErrorReason.NOT_READY,
        ErrorReason.SYNCING,
        ErrorReason.DRAINING,
        ErrorReason.OVERLOADED,
        ErrorReason.TOO_MANY_JOBS,
        ErrorReason.NO_USABLE_DATACENTER,
        ErrorReason.PROTOCOL_MISMATCH,
    }
)
"""Answers after which the gate that was asked owns the job: they are about the other gate, and how it sees datacenters.

Any other is about the job.
"""


class GateGroup(Protocol):
    """The gates that know each other."""

    def members(self) -> list[Member]:
        """Everybody that is known."""
        ...


class GateRing:
    """The gates that take jobs, on a consistent hash; this one until it drains, whatever its group says.

    While it waits for datacenters, jobs had better go to another gate, if there is one.
    """

    def __init__(self, lifecycle: NodeLifecycle, group: GateGroup, reunion: DatacenterReunion) -> None:
        self._lifecycle = lifecycle
        self._gate_id = lifecycle.identity.node_id
        self._group = group
        self._reunion = reunion
        self._names: frozenset[str] = frozenset()
        self._ring = HashRing(self._names)

    def owner_elsewhere(self, job_id: str) -> NodeAddress | None:
        """Where the gate listens that is to own the job; None: it is this one."""
        others = self._look()
        if not others:
            return None
        (owner,) = self._ring.owners(job_id, 1)
        return others.get(owner)

    def turns(self, job_ids: Collection[str]) -> dict[str, int]:
        """How many gates go before this one when such a job needs an owner; none: it takes no jobs any more."""
        if self._lifecycle.is_draining or not job_ids:
            return {}
        count = len(self._look()) + 1
        return {job_id: self._turn(self._ring.owners(job_id, count)) for job_id in job_ids}

    def _turn(self, owners: Sequence[str]) -> int:
        """One that waits for datacenters goes last."""
        return owners.index(self._gate_id) if self._gate_id in owners else len(owners)

    def _look(self) -> dict[str, NodeAddress]:
        """Where the other gates on the ring listen; the ring is made anew when they have changed."""
        others = _taking_jobs(self._group.members())
        others.pop(self._gate_id, None)
        names = frozenset(others)
        if not names or self._reunion.is_complete():
            names |= {self._gate_id}
        if names != self._names:
            self._names, self._ring = names, HashRing(names)
        return others


class JobOwnership:
    """Passes new jobs on to the gates that are to own them."""

    def __init__(self, ring: GateRing, gates: OwnerGates, supervisor: Supervisor, logger: FilteringBoundLogger) -> None:
        self._ring = ring
        self._gates = gates
        self._supervisor = supervisor
        self._logger = logger

    async def passed_on(self, job_id: str, submission: job_pb2.JobSubmission) -> job_pb2.JobAck | None:
        """The owner's answer; None when this gate is to own the job, or the owner takes none. Raises what the owner refuses."""
        owner = self._ring.owner_elsewhere(job_id)
        if owner is None:
            return None
        try:
            answer = await self._gates.submit_job(str(owner), job_id, submission)
        except HyperscaleError as error:
            if error.reason not in _CANNOT_OWN:
                raise
            self._supervisor.report(error, "job-forwarding", job_id=job_id, owner=str(owner))
            return None
        self._logger.info("job passed on to its owner", job_id=job_id, gate_id=answer.gate_id, owner=str(owner))
        return answer


def _taking_jobs(members: Iterable[Member]) -> dict[str, NodeAddress]:
    """The gates that are there and say that they take jobs."""
    return {
        member.identity.node_id: member.identity.address
        for member in members
        if member.state is MemberState.ALIVE and member.identity.role is Role.GATE and _takes_jobs(member)
    }


def _takes_jobs(member: Member) -> bool:
    try:
        vitals = GateVitals.FromString(member.metadata)
    except DecodeError:
        # Somebody of another release.
        return False
    return vitals.node.state == node_pb2.NODE_STATE_ACTIVE and not vitals.awaits_datacenters
