"""What a request must be like before anything is done about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.v1.dispatch_pb2 import JobDispatch
from hyperscale.workload.context import MAX_CONTEXT_BYTES, size_of
from hyperscale.workload.validation import validate_share

_JOB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_JOB_ID_FAULT: Final = "must be 1 to 200 letters, digits, '.', '_' or '-'"


def check_job_id(job_id: str) -> None:
    """Raise INVALID_ARGUMENT unless it can be part of a key."""
    if not _JOB_ID.fullmatch(job_id):
        raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=[FieldViolation("job_id", _JOB_ID_FAULT)])


def check_dispatch(dispatch: JobDispatch) -> None:
    """Raise INVALID_ARGUMENT with every fault of a dispatched job."""
    faults = list(_faults_of(dispatch))
    if faults:
        raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=faults)


def _faults_of(dispatch: JobDispatch) -> Iterator[FieldViolation]:
    if not _JOB_ID.fullmatch(dispatch.job_id):
        yield FieldViolation("job_id", _JOB_ID_FAULT)
    if not dispatch.gate_id:
        yield FieldViolation("gate_id", "is required")
    if sum(size_of(entry.values) for entry in dispatch.context) > MAX_CONTEXT_BYTES:
        yield FieldViolation("context", f"must have at most {MAX_CONTEXT_BYTES:,} bytes in all")
    for fault in validate_share(dispatch.submission):
        yield FieldViolation(f"submission.{fault.path}" if fault.path else "submission", fault.message)


def check_fence(token: int, current_token: int) -> None:
    """Raise STALE_FENCE when the sender's ownership is older than one seen before."""
    if token < current_token:
        raise HyperscaleError(
            ErrorReason.STALE_FENCE, metadata={"token": str(token), "current_token": str(current_token)}
        )
