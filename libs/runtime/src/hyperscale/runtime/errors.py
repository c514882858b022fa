"""The catalogue of everything a node can refuse, and the typed errors that handlers raise.

A handler raises `HyperscaleError`; the server interceptor is the only place that turns it into a gRPC status, and
`error_from_rpc` the only place that turns it back. Everything in a `HyperscaleError` is public: it reaches the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from grpc import StatusCode

LEADER_KEY = "leader"
"""Metadata key that carries ``host:port`` of the node that would have accepted the call."""


class ErrorReason(StrEnum):
    """Machine-readable cause, sent as the reason of google.rpc.ErrorInfo."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    SUBMISSION_TOO_LARGE = "SUBMISSION_TOO_LARGE"
    UNKNOWN_DATACENTER = "UNKNOWN_DATACENTER"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    WORKFLOW_NOT_FOUND = "WORKFLOW_NOT_FOUND"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    DUPLICATE_SHARD = "DUPLICATE_SHARD"
    NOT_LEADER = "NOT_LEADER"
    NOT_OWNER = "NOT_OWNER"
    STALE_FENCE = "STALE_FENCE"
    PROTOCOL_MISMATCH = "PROTOCOL_MISMATCH"
    WRONG_CLUSTER = "WRONG_CLUSTER"
    NOT_REGISTERED = "NOT_REGISTERED"
    NOT_READY = "NOT_READY"
    SYNCING = "SYNCING"
    DRAINING = "DRAINING"
    OVERLOADED = "OVERLOADED"
    NO_USABLE_DATACENTER = "NO_USABLE_DATACENTER"
    DATACENTER_UNAVAILABLE = "DATACENTER_UNAVAILABLE"
    PEER_UNREACHABLE = "PEER_UNREACHABLE"
    INSUFFICIENT_CORES = "INSUFFICIENT_CORES"
    TOO_MANY_JOBS = "TOO_MANY_JOBS"
    RATE_LIMITED = "RATE_LIMITED"
    COORDINATION_CONFLICT = "COORDINATION_CONFLICT"
    LEASE_LOST = "LEASE_LOST"
    COORDINATION_UNAVAILABLE = "COORDINATION_UNAVAILABLE"
    SEQUENCE_EXPIRED = "SEQUENCE_EXPIRED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    PYTHON_NOT_ALLOWED = "PYTHON_NOT_ALLOWED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"


class RetryAdvice(StrEnum):
    """What a caller should do with the same request after an error."""

    NEVER = "never"
    """The request itself must change."""
    AFTER_DELAY = "after a delay"
    """The same node may accept it later; wait at least ``retry_after_seconds``."""
    OTHER_NODE = "at another node"
    """Ask the node named by ``leader``, or any other one."""
    AFTER_REFRESH = "after reading the current state"
    """The caller acted on old state; read again, decide again."""


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """How one reason is presented: gRPC status, message template (filled from the metadata), retry advice."""

    status: StatusCode
    message: str
    retry: RetryAdvice
    retry_after_seconds: float | None = None


def _spec(
    status: StatusCode, message: str, retry: RetryAdvice = RetryAdvice.NEVER, after: float | None = None
) -> ErrorSpec:
    return ErrorSpec(status, message, retry, after)


_R = ErrorReason
_S = StatusCode
_A = RetryAdvice

CATALOGUE: Mapping[ErrorReason, ErrorSpec] = MappingProxyType(
    {
        _R.INVALID_ARGUMENT: _spec(_S.INVALID_ARGUMENT, "the request is invalid"),
        _R.SUBMISSION_TOO_LARGE: _spec(
            _S.INVALID_ARGUMENT, "the submission has {size_bytes} bytes, the limit is {limit_bytes}"
        ),
        _R.UNKNOWN_DATACENTER: _spec(_S.INVALID_ARGUMENT, "the request names a datacenter that does not exist"),
        _R.JOB_NOT_FOUND: _spec(_S.NOT_FOUND, "job {job_id} does not exist"),
        _R.WORKFLOW_NOT_FOUND: _spec(_S.NOT_FOUND, "job {job_id} has no workflow {workflow}"),
        _R.IDEMPOTENCY_KEY_REUSED: _spec(
            _S.ALREADY_EXISTS, "the idempotency key was already used for a different submission"
        ),
        _R.DUPLICATE_SHARD: _spec(_S.ALREADY_EXISTS, "shard {shard_id} already runs here"),
        _R.NOT_LEADER: _spec(_S.FAILED_PRECONDITION, "this node does not lead; the leader is {leader}", _A.OTHER_NODE),
        _R.NOT_OWNER: _spec(
            _S.FAILED_PRECONDITION, "this node does not own the job; the owner is {leader}", _A.OTHER_NODE
        ),
        _R.STALE_FENCE: _spec(
            _S.FAILED_PRECONDITION, "fencing token {token} is older than {current_token}", _A.AFTER_REFRESH
        ),
        _R.PROTOCOL_MISMATCH: _spec(
            _S.FAILED_PRECONDITION, "the caller speaks protocol {caller_version}, this node speaks {node_version}"
        ),
        _R.WRONG_CLUSTER: _spec(
            _S.FAILED_PRECONDITION, "the caller belongs to {caller_cluster}, this node belongs to {node_cluster}"
        ),
        _R.NOT_REGISTERED: _spec(
            _S.FAILED_PRECONDITION, "{caller} must register with this process first", _A.AFTER_REFRESH
        ),
        _R.NOT_READY: _spec(_S.UNAVAILABLE, "this node is not ready to take work", _A.OTHER_NODE, 1.0),
        _R.SYNCING: _spec(_S.UNAVAILABLE, "this node is still loading state from its peers", _A.OTHER_NODE, 1.0),
        _R.DRAINING: _spec(_S.UNAVAILABLE, "this node is shutting down", _A.OTHER_NODE, 0.1),
        _R.OVERLOADED: _spec(_S.UNAVAILABLE, "this node is overloaded", _A.OTHER_NODE, 1.0),
        _R.NO_USABLE_DATACENTER: _spec(
            _S.FAILED_PRECONDITION, "fewer datacenters than the job asks for can be used", _A.AFTER_DELAY, 5.0
        ),
        _R.DATACENTER_UNAVAILABLE: _spec(
            _S.UNAVAILABLE, "datacenter {datacenter} cannot take work", _A.AFTER_DELAY, 5.0
        ),
        _R.PEER_UNREACHABLE: _spec(_S.UNAVAILABLE, "the peer cannot be reached", _A.OTHER_NODE, 0.5),
        _R.INSUFFICIENT_CORES: _spec(
            _S.RESOURCE_EXHAUSTED, "{requested} cores were asked for, {available} are free", _A.AFTER_DELAY, 1.0
        ),
        _R.TOO_MANY_JOBS: _spec(_S.RESOURCE_EXHAUSTED, "{limit} jobs are already active", _A.AFTER_DELAY, 10.0),
        _R.RATE_LIMITED: _spec(_S.RESOURCE_EXHAUSTED, "too many requests", _A.AFTER_DELAY, 1.0),
        _R.COORDINATION_CONFLICT: _spec(_S.ABORTED, "another writer changed the same state", _A.AFTER_REFRESH),
        _R.LEASE_LOST: _spec(_S.ABORTED, "this node lost its lease during the call", _A.OTHER_NODE),
        _R.COORDINATION_UNAVAILABLE: _spec(
            _S.UNAVAILABLE, "the coordination store does not answer", _A.AFTER_DELAY, 1.0
        ),
        _R.SEQUENCE_EXPIRED: _spec(_S.OUT_OF_RANGE, "events after {sequence} are no longer kept", _A.AFTER_REFRESH),
        _R.UNAUTHENTICATED: _spec(_S.UNAUTHENTICATED, "the caller is not identified"),
        _R.PERMISSION_DENIED: _spec(_S.PERMISSION_DENIED, "the caller may not do this"),
        _R.PYTHON_NOT_ALLOWED: _spec(
            _S.PERMISSION_DENIED,
            "worker {worker_id} does not run workflows that are written in Python; its allow_python is off",
        ),
        _R.UNIMPLEMENTED: _spec(_S.UNIMPLEMENTED, "this node does not offer the operation"),
        _R.CANCELLED: _spec(_S.CANCELLED, "the call was cancelled"),
        _R.DEADLINE_EXCEEDED: _spec(_S.DEADLINE_EXCEEDED, "the operation did not finish in time", _A.AFTER_DELAY),
        _R.INTERNAL: _spec(_S.INTERNAL, "internal error {error_id}"),
    }
)
"""Every reason, once. The table in docs/errors.md lists the same."""


class Violation(Protocol):
    """One fault of an input: where, and what is wrong."""

    @property
    def path(self) -> str:
        """Field path such as ``workflows[0].load.users``."""
        ...

    @property
    def message(self) -> str:
        """What is wrong with it."""
        ...


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One fault of an input: where, and what is wrong."""

    path: str
    message: str


class HyperscaleError(Exception):
    """A refusal that the caller is told about.

    Parameters
    ----------
    message
        Replaces the message of the catalogue. It is public.
    metadata
        Facts for programs; also fill the message template of the catalogue.
    violations
        Every fault of the input, not only the first.
    retry_after_seconds
        Replaces the delay that the catalogue advises.
    """

    def __init__(
        self,
        reason: ErrorReason,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        spec = CATALOGUE[reason]
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.message = message if message is not None else spec.message.format_map(_Facts(self.metadata))
        self.violations: tuple[Violation, ...] = tuple(violations)
        self.retry_after_seconds = spec.retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        super().__init__(f"{reason}: {self.message}")

    @property
    def status(self) -> StatusCode:
        """The gRPC status of the reason."""
        return CATALOGUE[self.reason].status

    @property
    def retry(self) -> RetryAdvice:
        """What the caller should do."""
        return CATALOGUE[self.reason].retry

    @property
    def leader(self) -> str | None:
        """``host:port`` of the node to ask instead, where known."""
        return self.metadata.get(LEADER_KEY) or None


class _Facts(dict[str, str]):
    """Metadata for a template: a fact that nobody supplied must not hide the error itself."""

    def __missing__(self, key: str) -> str:
        return "unknown"


class ConflictError(HyperscaleError):
    """A write expected another revision of a key; nothing was applied."""

    def __init__(self, key: str) -> None:
        super().__init__(ErrorReason.COORDINATION_CONFLICT, metadata={"key": key})
        self.key = key


class LeaseLostError(HyperscaleError):
    """The lease expired, was released, or belongs to a newer token; nothing was applied."""

    def __init__(self, name: str, token: int) -> None:
        super().__init__(ErrorReason.LEASE_LOST, metadata={"lease": name, "token": str(token)})
        self.name = name
        self.token = token


class CoordinationUnavailableError(HyperscaleError):
    """The store did not answer; a write may or may not have been applied.

    ``detail`` is for the log only: it may name files and hosts.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorReason.COORDINATION_UNAVAILABLE)
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class ConfigurationError(Exception):
    """The process cannot start as configured; carries every fault at once."""

    exit_code = 104

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations: tuple[Violation, ...] = tuple(violations)
        lines = [f"  {violation.path}: {violation.message}" for violation in self.violations]
        super().__init__("\n".join(["invalid configuration:", *lines]))
