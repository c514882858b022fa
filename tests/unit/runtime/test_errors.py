"""The catalogue is complete, documented, and everything in it travels over gRPC and back."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from hyperscale.runtime._status import DETAILS_METADATA_KEY, encode_status
from hyperscale.runtime.errors import (
    CATALOGUE,
    ConfigurationError,
    ConflictError,
    CoordinationUnavailableError,
    ErrorReason,
    FieldViolation,
    HyperscaleError,
    LeaseLostError,
    RetryAdvice,
)
from hyperscale.runtime.interceptors import error_from_rpc

DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"


def sent(error: HyperscaleError) -> AioRpcError:
    details = (DETAILS_METADATA_KEY, encode_status(error).SerializeToString())
    return AioRpcError(error.status, Metadata(), Metadata(details), details=error.message)


def documented() -> dict[str, tuple[str, str]]:
    rows = [
        line.strip("|\n").split("|") for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line[:1] == "|"
    ]
    return {cells[0].strip(): (cells[1].strip(), cells[3].strip()) for cells in rows[2:]}


def test_every_reason_is_mapped_and_documented_as_it_is_mapped() -> None:
    assert set(CATALOGUE) == set(ErrorReason)
    assert documented() == {reason.value: (spec.status.name, spec.retry.value) for reason, spec in CATALOGUE.items()}


def test_every_fact_of_a_message_is_documented() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for reason, spec in CATALOGUE.items():
        (row,) = [line for line in lines if line.startswith(f"| {reason} |")]
        facts = {name for _, name, _, _ in string.Formatter().parse(spec.message) if name}
        assert all(f"`{fact}`" in row for fact in facts), reason


@pytest.mark.parametrize("reason", ErrorReason)
def test_every_error_survives_the_wire(reason: ErrorReason) -> None:
    error = HyperscaleError(
        reason, metadata={"leader": "10.0.0.1:9000"}, violations=[FieldViolation("a.b[0]", "must not be empty")]
    )
    received = error_from_rpc(sent(error))
    assert (received.reason, received.message, received.metadata) == (reason, error.message, error.metadata)
    assert received.violations == error.violations
    assert received.leader == "10.0.0.1:9000"
    assert received.retry_after_seconds == error.retry_after_seconds


@pytest.mark.parametrize("reason", ErrorReason)
def test_unavailable_and_exhausted_always_say_when_to_come_back(reason: ErrorReason) -> None:
    status = encode_status(HyperscaleError(reason))
    has_retry_info = any(detail.TypeName() == RetryInfo.DESCRIPTOR.full_name for detail in status.details)
    assert has_retry_info == (CATALOGUE[reason].status in {StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED})


def test_the_details_are_the_standard_ones() -> None:
    error = HyperscaleError(ErrorReason.TOO_MANY_JOBS, metadata={"limit": "10"}, retry_after_seconds=2.5)
    info, retry = ErrorInfo(), RetryInfo()
    status = encode_status(error)
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain, dict(info.metadata)) == ("TOO_MANY_JOBS", "hyperscale", {"limit": "10"})
    assert retry.retry_delay.ToMilliseconds() == 2500


def test_too_many_violations_are_cut_to_what_metadata_can_carry_and_counted() -> None:
    violations = [FieldViolation(f"workflows[{number}].name", "x" * 50) for number in range(1000)]
    error = HyperscaleError(ErrorReason.INVALID_ARGUMENT, "m" * 5000, violations=violations)
    status = encode_status(error)
    bad_request = BadRequest()
    assert any(detail.Unpack(bad_request) for detail in status.details)
    received = error_from_rpc(sent(error))
    assert len(status.SerializeToString()) < 6000
    assert int(received.metadata["violations_omitted"]) == 1000 - len(bad_request.field_violations)
    assert received.violations == tuple(violations[: len(received.violations)])


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (StatusCode.UNAVAILABLE, ErrorReason.PEER_UNREACHABLE),
        (StatusCode.DEADLINE_EXCEEDED, ErrorReason.DEADLINE_EXCEEDED),
        (StatusCode.UNIMPLEMENTED, ErrorReason.UNIMPLEMENTED),
        (StatusCode.DATA_LOSS, ErrorReason.INTERNAL),
    ],
)
def test_failures_without_details_become_the_closest_reason(status: StatusCode, reason: ErrorReason) -> None:
    cause = AioRpcError(status, Metadata(), Metadata(), details="ipv4:10.0.0.1: connection refused")
    received = error_from_rpc(cause)
    assert received.reason is reason
    assert received.__cause__ is cause
    assert "10.0.0.1" not in received.message


@pytest.mark.parametrize("details", [b"\xff\xff", b""])
def test_details_that_cannot_be_read_are_passed_over(details: bytes) -> None:
    cause = AioRpcError(StatusCode.UNAVAILABLE, Metadata(), Metadata((DETAILS_METADATA_KEY, details)), details="")
    assert error_from_rpc(cause).reason is ErrorReason.PEER_UNREACHABLE


def test_a_reason_of_a_newer_version_keeps_the_meaning_of_its_status() -> None:
    status = encode_status(HyperscaleError(ErrorReason.DRAINING))
    info = ErrorInfo(reason="FROM_THE_FUTURE", domain="hyperscale")
    status.details[0].Pack(info)
    cause = AioRpcError(
        StatusCode.UNAVAILABLE, Metadata(), Metadata((DETAILS_METADATA_KEY, status.SerializeToString())), details=""
    )
    assert error_from_rpc(cause).reason is ErrorReason.PEER_UNREACHABLE


def test_a_fact_that_nobody_supplied_does_not_hide_the_error() -> None:
    assert HyperscaleError(ErrorReason.JOB_NOT_FOUND).message == "job unknown does not exist"
    assert HyperscaleError(ErrorReason.JOB_NOT_FOUND, metadata={"job_id": "j{x}"}).message == "job j{x} does not exist"


def test_coordination_errors_are_of_the_catalogue() -> None:
    assert ConflictError("job/1").reason is ErrorReason.COORDINATION_CONFLICT
    assert LeaseLostError("job/1", 7).metadata == {"lease": "job/1", "token": "7"}
    unavailable = CoordinationUnavailableError("disk /secret/path is full")
    assert unavailable.retry is RetryAdvice.AFTER_DELAY
    assert "/secret" not in unavailable.message
    assert "/secret" in str(unavailable)


def test_a_configuration_error_shows_every_fault() -> None:
    error = ConfigurationError([FieldViolation("port", "too large"), FieldViolation("host", "missing")])
    assert error.exit_code == 104
    assert "port: too large" in str(error)
    assert "host: missing" in str(error)
