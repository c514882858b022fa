"""From a failed call to a `Refusal`: the one place that reads ``google.rpc.Status`` details."""

from __future__ import annotations

from types import MappingProxyType
from typing import TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError, Metadata

from hyperscale.client.errors import Refusal
from hyperscale.v1.protocol import ERROR_DOMAIN
from hyperscale.workload.faults import Fault

Detail = TypeVar("Detail", ErrorInfo, BadRequest, RetryInfo)

_DETAILS_KEY = "grpc-status-details-bin"


def refusal_of(error: AioRpcError) -> Refusal:
    """Decode what a gate said; a broken connection gives a refusal without a reason."""
    details = _details_of(error.trailing_metadata())
    info = _first(details, ErrorInfo())
    bad_request = _first(details, BadRequest())
    retry = _first(details, RetryInfo())
    ours = info if info is not None and info.domain == ERROR_DOMAIN else None
    return Refusal(
        status=error.code(),
        message=error.details() or error.code().name,
        reason=ours.reason if ours is not None else "",
        metadata=MappingProxyType(dict(ours.metadata) if ours is not None else {}),
        violations=tuple(Fault(v.field, v.description) for v in bad_request.field_violations) if bad_request else (),
        retry_after_seconds=retry.retry_delay.ToTimedelta().total_seconds() if retry is not None else None,
    )


def _details_of(metadata: Metadata | None) -> list[AnyMessage]:
    raw = metadata.get(_DETAILS_KEY) if metadata is not None else None
    if not isinstance(raw, bytes):
        return []
    try:
        return list(Status.FromString(raw).details)
    except DecodeError:
        # A proxy may put anything there; the status code and message still say what is known.
        return []


def _first(details: list[AnyMessage], message: Detail) -> Detail | None:
    return next((message for detail in details if detail.Unpack(message)), None)
