"""What can go wrong between a client and the gates, as types that carry the facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpc import StatusCode

    from hyperscale.workload.faults import Fault


class ClientError(Exception):
    """Root of everything the client raises on its own account."""


class SubmissionTooLargeError(ClientError):
    """The submission is above the limit of the protocol; nothing was sent."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(f"the submission has {size_bytes} bytes, the limit is {limit_bytes}")


class GateUnreachableError(ClientError):
    """No gate answered in time.

    Parameters
    ----------
    addresses
        Every address that was tried.
    detail
        What the last attempt ran into.
    """

    def __init__(self, addresses: Sequence[str], detail: str) -> None:
        self.addresses = tuple(addresses)
        self.detail = detail
        super().__init__(f"no gate is reachable; tried {', '.join(self.addresses)} ({detail})")


class NotAGateError(ClientError):
    """Something else than a gate answers at an address that was given for one.

    Parameters
    ----------
    role
        ``manager`` or ``worker``; empty when it is no node at all.
    """

    def __init__(self, address: str, role: str) -> None:
        self.address = address
        self.role = role
        super().__init__(f"{address} is a {role}, not a gate" if role else f"{address} answers, but it is not a gate")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A gate's answer that it does not do what was asked, decoded from ``google.rpc.Status``.

    ``reason`` is empty when the error did not come from a gate, for example when a connection broke.
    """

    status: StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Fault, ...] = ()
    retry_after_seconds: float | None = None

    @property
    def leader(self) -> str | None:
        """``host:port`` of the node to ask instead, where known."""
        return self.metadata.get("leader") or None

    @property
    def answered(self) -> bool:
        """Whether a gate said this, and not the connection to it."""
        return bool(self.reason)


class CallRefusedError(ClientError):
    """The call failed for good: a gate refused it, or the deadline passed."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"{refusal.reason or refusal.status.name}: {refusal.message}")

    @property
    def status(self) -> StatusCode:
        """The gRPC status."""
        return self.refusal.status

    @property
    def reason(self) -> str:
        """Machine-readable cause, for example ``JOB_NOT_FOUND``; empty when the connection broke."""
        return self.refusal.reason

    @property
    def violations(self) -> tuple[Fault, ...]:
        """Every fault of the input, with its path."""
        return self.refusal.violations

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the gate asks callers to wait; None when it did not say."""
        return self.refusal.retry_after_seconds


class JobNotFinishedError(ClientError):
    """The result was asked for before the job had ended."""

    def __init__(self, job_id: str, status: str) -> None:
        self.job_id = job_id
        self.status = status
        super().__init__(f"job {job_id} has not ended, it is {status}")
