"""Judges the gRPC calls of a workflow, as far as that is possible without their server."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from google.protobuf.struct_pb2 import Value

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.grpc_methods import GrpcDescriptions, GrpcRequestError
from hyperscale.workload.grpc_targets import grpc_origin
from hyperscale.workload.json_values import is_json
from hyperscale.workload.limits import (
    MAX_DESCRIPTOR_SET_BYTES,
    MAX_EXPECTED_STATUSES,
    MAX_GRPC_MESSAGES,
    MAX_GRPC_STATUS,
    MAX_HEADERS,
    MAX_REQUEST_TIMEOUT_SECONDS,
    at_most,
    check_duration,
)
from hyperscale.workload.template_places import places_of
from hyperscale.workload.templates import has_template, without_slots

_METHOD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,254}/[A-Za-z_][A-Za-z0-9_]{0,254}")
_METADATA_NAME: Final = re.compile(r"[a-z0-9_.-]{1,256}")
_METADATA_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_RESERVED: Final = re.compile(r"grpc-.*|te|host|content-type|user-agent|connection|transfer-encoding")
_BINARY: Final = "-bin"


class GrpcJudge:
    """Notes the faults of the calls of one workflow.

    Parameters
    ----------
    path
        Where the workflow stands.
    """

    def __init__(
        self, faults: FaultCollector, submission: job_pb2.JobSubmission, path: str, workflow: workflow_pb2.Workflow
    ) -> None:
        self._faults = faults
        self._job = submission
        self._descriptions = self._described(f"{path}.descriptor_set", workflow)

    def judge(self, path: str, call: workflow_pb2.GrpcCall) -> None:
        """Note every fault of a call that stands at `path`."""
        self._target(f"{path}.target", call.target)
        if not _METHOD.fullmatch(call.method):
            self._faults.add(f"{path}.method", "must be the full name of a method, such as 'shop.v1.Orders/Place'")
        elif self._descriptions is not None:
            self._against_description(path, call, self._descriptions)
        if call.HasField("request"):
            self._request(f"{path}.request", call.request)
        self._metadata(f"{path}.metadata", dict(call.metadata))
        if call.HasField("timeout"):
            limit = MAX_REQUEST_TIMEOUT_SECONDS
            check_duration(self._faults, f"{path}.timeout", call.timeout, longest_seconds=limit)
        self._statuses(f"{path}.expected_statuses", list(call.expected_statuses))

    def _described(self, path: str, workflow: workflow_pb2.Workflow) -> GrpcDescriptions | None:
        """What the workflow says of its methods; None when that is nothing, or cannot be used."""
        data = workflow.descriptor_set
        if not data:
            return None
        if len(data) > MAX_DESCRIPTOR_SET_BYTES:
            self._faults.add(path, f"must have at most {MAX_DESCRIPTOR_SET_BYTES:,} bytes, not {len(data):,}")
            return None
        if not workflow.class_name and not any(step.HasField("grpc") for step in workflow.steps):
            self._faults.add(path, "is used by no step: none has a grpc call")
        try:
            return GrpcDescriptions.of_set(data)
        except GrpcRequestError as error:
            self._faults.add(path, str(error))
            return None

    def _target(self, path: str, target: str) -> None:
        try:
            origin = grpc_origin(self._job.target, target)
        except ValueError as error:
            # What is wrong with the job's own target is told where that stands.
            if target or not self._job.target:
                self._faults.add(path, str(error))
            return
        if origin.tls and self._job.http_options.insecure_skip_verify:
            self._faults.add(
                path,
                "cannot be reached with http_options.insecure_skip_verify: gRPC always verifies; use ca_certificates",
            )

    def _request(self, path: str, request: Value) -> None:
        if not is_json(request):
            self._faults.add(path, "must be JSON: no infinite or undefined numbers, no value left out")
        at_most(self._faults, path, request.list_value.values, MAX_GRPC_MESSAGES)

    def _against_description(self, path: str, call: workflow_pb2.GrpcCall, descriptions: GrpcDescriptions) -> None:
        try:
            method = descriptions.method(call.method)
        except GrpcRequestError as error:
            self._faults.add(f"{path}.method", str(error))
            return
        if any(has_template(place.text) for place in places_of(call)) or not is_json(call.request):
            # What comes into its place is not known yet.
            return
        try:
            method.encode_declared(call.request)
        except GrpcRequestError as error:
            self._faults.add(f"{path}.request", str(error))

    def _metadata(self, path: str, metadata: dict[str, str]) -> None:
        for name in at_most(self._faults, path, sorted(metadata), MAX_HEADERS):
            at = f"{path}[{name[:80]!r}]"
            value = without_slots(metadata[name])
            if not _METADATA_NAME.fullmatch(name):
                self._faults.add(at, "must be lower-case letters, digits, '-', '_' or '.'")
            elif _RESERVED.fullmatch(name):
                self._faults.add(at, "is set by the engine")
            if not _METADATA_VALUE.fullmatch(value):
                self._faults.add(at, "must be printable ASCII, without line breaks")
            elif name.endswith(_BINARY) and not has_template(metadata[name]) and not _is_base64(value):
                self._faults.add(at, "must be base64, as its name ends in '-bin'")

    def _statuses(self, path: str, statuses: list[int]) -> None:
        for index, status in enumerate(at_most(self._faults, path, statuses, MAX_EXPECTED_STATUSES)):
            if status > MAX_GRPC_STATUS:
                self._faults.add(
                    f"{path}[{index}]", f"must be a gRPC status code, 0 to {MAX_GRPC_STATUS}, not {status}"
                )
            elif status in statuses[:index]:
                self._faults.add(f"{path}[{index}]", f"{status} is there already")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True
