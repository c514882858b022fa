"""Accepting jobs.

Laws: an acknowledged job is durable together with its idempotency key; a key is one job, at whichever gate and however
often at once; a refused job leaves nothing behind; a job that another gate passes on is not passed on again.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from typing import Final

from hyperscale.gate.conductor import JobConductor
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.known_jobs import KnownJobs
from hyperscale.gate.leases import JobLeases
from hyperscale.gate.models.orders import JobLimits, StopCause, StopOrder
from hyperscale.gate.ownership import JobOwnership
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.routing import DatacenterRouting, chosen
from hyperscale.gate.second_look import SecondLook
from hyperscale.gate.stage_results import lost_results
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import ConflictError, Lease
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1 import job_pb2, record_pb2, routing_pb2
from hyperscale.v1.protocol import JOB_ID_METADATA_KEY, MAX_SUBMISSION_BYTES
from hyperscale.workload.faults import Fault
from hyperscale.workload.metric_selector import parse_selector
from hyperscale.workload.timestamps import timestamp
from hyperscale.workload.validation import validate_submission

_NAME: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_JOB_ID: Final = re.compile(rf"{_NAME}-[0-9]{{1,15}}-{_NAME}-[0-9]{{1,15}}")


class JobIds:
    """Identities of jobs: {region}-{unix_ms}-{gate}-{seq}."""

    def __init__(self, gate: NodeIdentity) -> None:
        self._gate = gate
        self._sequence = count(1)

    def next(self, now_seconds: float) -> str:
        """An identity that no other job has, for a job accepted now (seconds since the Unix epoch)."""
        return f"{self._gate.datacenter}-{round(now_seconds * 1000)}-{self._gate.node_id}-{next(self._sequence)}"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A job that is about to be committed."""

    record: record_pb2.JobRecord
    ack: job_pb2.JobAck
    digest: bytes


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a job runs, and why."""

    datacenters: list[str]
    routing: routing_pb2.RoutingDecision


class JobRuns:
    """Makes the run of an accepted job and has it conducted."""

    def __init__(self, state: GateState, conductor: JobConductor, limits: JobLimits, clock: Clock) -> None:
        self._state = state
        self._conductor = conductor
        self._limits = limits
        self._clock = clock

    def reserved(self, job_id: str) -> AbstractContextManager[None]:
        """Keep room for a job while it is being committed; raises TOO_MANY_JOBS."""
        return self._state.reserved(job_id)

    def is_in_charge(self, job_id: str) -> bool:
        """Whether a job is under way here."""
        return self._state.is_in_charge(job_id)

    def begin(self, record: record_pb2.JobRecord, lease: Lease) -> None:
        """Start a committed job."""
        self._conductor.conduct(JobRun(record, lease, self._limits, self._clock))

    def resume(self, record: record_pb2.JobRecord, lease: Lease, reason: str) -> None:
        """Take a job whose gate is gone to its end: nothing is begun any more but its teardowns."""
        record.fence_token = lease.token
        record.stage_results.extend(lost_results(record, reason))
        run = JobRun(record, lease, self._limits, self._clock)
        run.order_stop(StopOrder(StopCause.GATE_LOST, reason, self._clock.monotonic()))
        self._conductor.conduct(run)


class DatacenterChoice:
    """Chooses where a job runs."""

    def __init__(
        self, registry: ManagerRegistry, routing: DatacenterRouting, second_look: SecondLook, store: JobStore
    ) -> None:
        self._registry = registry
        self._routing = routing
        self._second_look = second_look
        self._store = store

    async def choose(self, job_id: str, submission: job_pb2.JobSubmission, came_at_seconds: float) -> Destination:
        """The datacenters that the job requires, as many as it asks for, or all that can be used.

        Raises UNKNOWN_DATACENTER, NO_USABLE_DATACENTER when fewer than asked for can be used, or INVALID_ARGUMENT for a
        threshold on a datacenter that is not among them. Whatever comes of it, the router remembers the job until `forget`.
        """
        selection = submission.datacenters
        await self._check_known(selection)
        decision = await self._second_look.decide(job_id, submission, came_at_seconds)
        destination = Destination(_in_order(selection, chosen(decision)), decision)
        _check_thresholds(submission, destination.datacenters)
        return destination

    def forget(self, job_id: str) -> None:
        """The job was not accepted."""
        self._routing.forget(job_id)

    async def _check_known(self, selection: job_pb2.DatacenterSelection) -> None:
        fields = (("required", selection.required), ("preferred", selection.preferred), ("exclude", selection.exclude))
        named = {f"datacenters.{field}[{index}]": name for field, names in fields for index, name in enumerate(names)}
        if not set(named.values()) <= set(self._registry.datacenter_names):
            # Another gate may know it already.
            self._registry.restore(await self._store.datacenters())
        known = self._registry.datacenter_names
        violations = [
            FieldViolation(path, f"no datacenter {name!r}; {_known(known)}")
            for path, name in named.items()
            if name not in known
        ]
        if violations:
            unknown = ", ".join(sorted(set(named.values()) - set(known)))
            message = f"unknown datacenter {unknown}; {_known(known)}"
            raise HyperscaleError(ErrorReason.UNKNOWN_DATACENTER, message, violations=violations)


class JobAcceptances:
    """Makes jobs durable and starts them, each at most once."""

    def __init__(self, store: JobStore, leases: JobLeases, runs: JobRuns, known: KnownJobs) -> None:
        self._store = store
        self._leases = leases
        self._runs = runs
        self._known = known

    async def accept(self, acceptance: Acceptance) -> job_pb2.JobAck:
        """Commit a job and start it; the answer is another one's if that was first. Raises TOO_MANY_JOBS."""
        with self._runs.reserved(acceptance.record.job_id):
            lease = await self._leases.acquire(acceptance.record.job_id)
            if lease is None:
                return await self._overtaken(acceptance)
            acceptance.record.fence_token = lease.token
            try:
                await self._store.create(acceptance.record, acceptance.ack, acceptance.digest, lease)
            except ConflictError:
                await self._leases.release(lease)
                return await self._overtaken(acceptance)
            self._runs.begin(acceptance.record, lease)
        return acceptance.ack

    async def _overtaken(self, acceptance: Acceptance) -> job_pb2.JobAck:
        """The answer when a submission with the same key, or the same job at another gate, was first."""
        record = acceptance.record
        known = await self._known.by_key(record.submission, acceptance.digest)
        return await self._known.by_id(record.job_id, record.submission) if known is None else known


class JobSubmissions:
    """Accepts jobs for one gate."""

    def __init__(
        self,
        *,
        lifecycle: NodeLifecycle,
        choice: DatacenterChoice,
        ownership: JobOwnership,
        known: KnownJobs,
        acceptances: JobAcceptances,
        runs: JobRuns,
        clock: Clock,
    ) -> None:
        self._lifecycle = lifecycle
        self._ownership = ownership
        self._ids = JobIds(lifecycle.identity)
        self._choice = choice
        self._known = known
        self._acceptances = acceptances
        self._runs = runs
        self._clock = clock

    async def submit(self, submission: job_pb2.JobSubmission, given_id: str | None = None) -> job_pb2.JobAck:
        """Accept a job and start it, here or at its owner, or find the one its idempotency key stands for.

        With the identity that another gate has given it, it stays here.

        Raises SUBMISSION_TOO_LARGE, INVALID_ARGUMENT with every fault, UNKNOWN_DATACENTER, IDEMPOTENCY_KEY_REUSED,
        TOO_MANY_JOBS, NOT_READY, DRAINING, NO_USABLE_DATACENTER, DEADLINE_EXCEEDED.
        """
        came_at = self._clock.monotonic()
        self._lifecycle.require_active()
        _check_size(submission)
        _check_content(submission)
        digest = hashlib.sha256(submission.SerializeToString(deterministic=True)).digest()
        known = await self._known.by_key(submission, digest)
        if known is not None:
            return known
        if given_id is not None:
            return await self._own(_checked_id(given_id), submission, digest, came_at)
        job_id = self._ids.next(self._clock.wall())
        answer = await self._ownership.passed_on(job_id, submission)
        return await self._own(job_id, submission, digest, came_at) if answer is None else answer

    async def _own(
        self, job_id: str, submission: job_pb2.JobSubmission, digest: bytes, came_at_seconds: float
    ) -> job_pb2.JobAck:
        if self._runs.is_in_charge(job_id):
            return await self._known.by_id(job_id, submission)
        try:
            destination = await self._choice.choose(job_id, submission, came_at_seconds)
            self._lifecycle.require_active()
            return await self._acceptances.accept(self._acceptance(job_id, submission, destination, digest))
        finally:
            if not self._runs.is_in_charge(job_id):
                self._choice.forget(job_id)

    def _acceptance(
        self, job_id: str, submission: job_pb2.JobSubmission, destination: Destination, digest: bytes
    ) -> Acceptance:
        gate = self._lifecycle.info()
        submitted_at = timestamp(self._clock.wall())
        record = record_pb2.JobRecord(
            job_id=job_id,
            submission=submission,
            status=job_pb2.JOB_STATUS_SUBMITTED,
            gate_id=gate.node_id,
            gate_endpoint=gate.endpoint,
            submitted_at=submitted_at,
            datacenters=destination.datacenters,
            routing=destination.routing,
        )
        ack = job_pb2.JobAck(job_id=job_id, gate_id=gate.node_id, submitted_at=submitted_at)
        return Acceptance(record, ack, digest)


def _checked_id(given_id: str) -> str:
    if _JOB_ID.fullmatch(given_id) is None:
        violation = FieldViolation(JOB_ID_METADATA_KEY, "is no identity of a job")
        raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=[violation])
    return given_id


def _in_order(selection: job_pb2.DatacenterSelection, names: list[str]) -> list[str]:
    """The order that the job gives, best first when the gate chose, or by name: the first one gets remainders and setups."""
    if selection.required:
        return list(selection.required)
    return names if selection.count else sorted(names)


def _check_size(submission: job_pb2.JobSubmission) -> None:
    size_bytes = submission.ByteSize()
    if size_bytes > MAX_SUBMISSION_BYTES:
        facts = {"size_bytes": str(size_bytes), "limit_bytes": str(MAX_SUBMISSION_BYTES)}
        raise HyperscaleError(ErrorReason.SUBMISSION_TOO_LARGE, metadata=facts)


def _check_thresholds(submission: job_pb2.JobSubmission, datacenters: list[str]) -> None:
    """Refuse thresholds that could never hold, since their datacenter does not run the job."""
    selectors = [parse_selector(threshold.metric) for threshold in submission.thresholds]
    violations = [
        FieldViolation(f"thresholds[{index}].metric", f"the job runs in no datacenter {selector.datacenter!r}")
        for index, selector in enumerate(selectors)
        if selector.datacenter and selector.datacenter not in datacenters
    ]
    if violations:
        message = f"the job would run in {', '.join(datacenters)} only"
        raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, message, violations=violations)


def _check_content(submission: job_pb2.JobSubmission) -> None:
    faults = validate_submission(submission)
    if faults:
        raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, _summary(faults), violations=faults)


def _summary(faults: list[Fault]) -> str:
    return f"the job has {len(faults)} fault{'s' if len(faults) > 1 else ''}, first {faults[0]}"


def _known(names: list[str]) -> str:
    return f"known are {', '.join(names)}" if names else "none has registered"
