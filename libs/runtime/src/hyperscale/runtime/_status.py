"""Typed errors to and from google.rpc.Status, the form in which they travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError, Violation
from hyperscale.v1.protocol import ERROR_DOMAIN

DetailT = TypeVar("DetailT", bound=Message)

DETAILS_METADATA_KEY = "grpc-status-details-bin"
OMITTED_KEY = "violations_omitted"

# gRPC peers refuse trailing metadata above 8 KiB by default, and the message travels twice.
_MAX_MESSAGE_CHARACTERS = 1000
_MAX_VIOLATIONS_BYTES = 4096
_STATUSES_WITH_RETRY_INFO = frozenset({StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAVAILABLE})

_REASON_BY_STATUS = {
    StatusCode.INVALID_ARGUMENT: ErrorReason.INVALID_ARGUMENT,
    StatusCode.UNAVAILABLE: ErrorReason.PEER_UNREACHABLE,
    StatusCode.RESOURCE_EXHAUSTED: ErrorReason.RATE_LIMITED,
    StatusCode.DEADLINE_EXCEEDED: ErrorReason.DEADLINE_EXCEEDED,
    StatusCode.CANCELLED: ErrorReason.CANCELLED,
    StatusCode.UNIMPLEMENTED: ErrorReason.UNIMPLEMENTED,
    StatusCode.UNAUTHENTICATED: ErrorReason.UNAUTHENTICATED,
    StatusCode.PERMISSION_DENIED: ErrorReason.PERMISSION_DENIED,
    StatusCode.ABORTED: ErrorReason.COORDINATION_CONFLICT,
}
"""For statuses that gRPC itself or a stranger produced, and for reasons of a newer version."""


def public_message(error: HyperscaleError) -> str:
    """The message, cut to what metadata can carry."""
    return error.message[:_MAX_MESSAGE_CHARACTERS]


def encode_status(error: HyperscaleError) -> Status:
    """The error with all its details."""
    metadata = dict(error.metadata)
    violations = tuple(_fitting(error.violations))
    if len(violations) < len(error.violations):
        metadata[OMITTED_KEY] = str(len(error.violations) - len(violations))
    status = Status(code=error.status.value[0], message=public_message(error))
    status.details.add().Pack(ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata))
    if violations:
        status.details.add().Pack(BadRequest(field_violations=violations))
    if error.status in _STATUSES_WITH_RETRY_INFO and error.retry_after_seconds is not None:
        status.details.add().Pack(RetryInfo(retry_delay=_duration(error.retry_after_seconds)))
    return status


def error_from_rpc(error: grpc.aio.AioRpcError) -> HyperscaleError:
    """The typed error that the peer raised, or the closest one for a failure of the connection itself.

    The cause of the result is ``error``; its text may name addresses and must not be passed on to callers.
    """
    status = _attached_status(error)
    decoded = None if status is None else _decode(status)
    result = decoded or HyperscaleError(_REASON_BY_STATUS.get(error.code(), ErrorReason.INTERNAL))
    result.__cause__ = error
    return result


def _fitting(violations: Iterable[Violation]) -> Iterator[BadRequest.FieldViolation]:
    size_bytes = 0
    for violation in violations:
        encoded = BadRequest.FieldViolation(field=violation.path, description=violation.message)
        size_bytes += encoded.ByteSize()
        if size_bytes > _MAX_VIOLATIONS_BYTES:
            return
        yield encoded


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _attached_status(error: grpc.aio.AioRpcError) -> Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_METADATA_KEY and isinstance(value, bytes):
            return _parsed(value)
    return None


def _parsed(value: bytes) -> Status | None:
    """A proxy may have cut the metadata; the plain status code still says enough."""
    try:
        return Status.FromString(value)
    except DecodeError:
        return None


def _decode(status: Status) -> HyperscaleError | None:
    info = _unpacked(status, ErrorInfo())
    if info is None or info.domain != ERROR_DOMAIN or info.reason not in ErrorReason.__members__:
        return None
    violations = _unpacked(status, BadRequest()) or BadRequest()
    retry = _unpacked(status, RetryInfo())
    return HyperscaleError(
        ErrorReason(info.reason),
        status.message,
        metadata=dict(info.metadata),
        violations=[FieldViolation(each.field, each.description) for each in violations.field_violations],
        retry_after_seconds=None if retry is None else retry.retry_delay.ToNanoseconds() / 1e9,
    )


def _unpacked(status: Status, empty: DetailT) -> DetailT | None:
    for detail in status.details:
        if detail.Unpack(empty):
            return empty
    return None
