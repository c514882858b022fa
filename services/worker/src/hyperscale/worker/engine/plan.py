"""Compiles a workflow: every request is encoded once, before the load starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import SplitResult

from google.protobuf.json_format import MessageToDict

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.chunks import in_chunks
from hyperscale.worker.engine.errors import PlanError
from hyperscale.worker.engine.inspection import inspects_body, is_inspected
from hyperscale.worker.engine.load_plan import load_of, pause_of
from hyperscale.worker.engine.models.plan import EncodedStep, Origin, Plan
from hyperscale.worker.engine.targets import authority_of, origin_of, request_target, split_url
from hyperscale.worker.engine.templates import MarkedRequest
from hyperscale.workload import defaults, profiles
from hyperscale.workload.graphql import http_request_of
from hyperscale.workload.http_validation import header_fault
from hyperscale.workload.json_values import with_whole_numbers

_SMALL_PAYLOAD_BYTES: Final = 16 * 1024
"""What the kernel takes in one write, whatever its buffers."""
_USER_AGENT: Final = "hyperscale"
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_CALLED_BACK: Final = frozenset({"http", "graphql", None})
"""Actions that are one HTTP request, and none at all, which cannot be compiled."""
_METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


def compile_plan(workflow: workflow_pb2.Workflow, target: str) -> Plan:
    """The plan of a workflow. Raises PlanError naming the step that cannot be run.

    Parameters
    ----------
    target
        Base URL of steps whose URL is a path.
    """
    if workflow.WhichOneof("load") is None:
        raise PlanError(f"workflow {workflow.name!r}: no load")
    if not workflow.steps:
        raise PlanError(f"workflow {workflow.name!r}: no steps")
    origins: dict[Origin, int] = {}
    called_back = runs_on_callbacks(workflow)
    requests = workflow.steps if called_back else ()
    steps = tuple(
        _compiled(index, step, target, lambda origin: origins.setdefault(origin, len(origins)))
        for index, step in enumerate(requests)
    )
    return Plan(
        workflow_name=workflow.name,
        origins=tuple(origins),
        steps=steps,
        vus=profiles.load_vus(workflow),
        load=load_of(workflow),
        load_seconds=profiles.load_seconds(workflow),
        graceful_stop_seconds=defaults.graceful_stop_seconds(workflow),
        client_steps=() if called_back else tuple(step.name for step in workflow.steps),
        think_time=pause_of(workflow.think_time),
        step_think_times=tuple(pause_of(step.think_time) for step in requests),
        descriptor_set=workflow.descriptor_set,
        warm_up_seconds=defaults.warm_up_seconds(workflow),
    )


def runs_on_callbacks(workflow: workflow_pb2.Workflow) -> bool:
    """Whether callbacks are enough for the workflow's users: it is declared, and all of it is HTTP."""
    return not workflow.class_name and _CALLED_BACK.issuperset(step.WhichOneof("action") for step in workflow.steps)


def _compiled(index: int, step: workflow_pb2.Step, target: str, index_of: Callable[[Origin], int]) -> EncodedStep:
    """One declared step, with its templates; parameters as in `encode_step`."""
    request = http_request_of(step)
    if request is None:
        raise PlanError(f"step {step.name!r}: no action")
    try:
        marked = MarkedRequest(request)
    except ValueError as error:
        raise PlanError(f"step {step.name!r}: {error}") from error
    encoded = _encoded(index, step, marked.http, target, index_of)
    return replace(encoded, template=marked.cut(encoded.payload)) if marked.has_slots else encoded


def encode_step(index: int, step: workflow_pb2.Step, target: str, index_of: Callable[[Origin], int]) -> EncodedStep:
    """One HTTP step, every text as it is. Raises PlanError when it cannot be sent.

    Parameters
    ----------
    index_of
        Index of an origin, which may be a new one; may raise ValueError.
    """
    request = http_request_of(step)
    if request is None:
        raise PlanError(f"step {step.name!r}: no action")
    return _encoded(index, step, request, target, index_of)


def _encoded(
    index: int,
    step: workflow_pb2.Step,
    http: workflow_pb2.HttpRequest,
    target: str,
    index_of: Callable[[Origin], int],
) -> EncodedStep:
    try:
        url = split_url(http.url, target)
        origin_index = index_of(origin_of(url, speaks_http2=http.version == workflow_pb2.HTTP_VERSION_HTTP_2))
        payload = _encode_request(http, url)
    except ValueError as error:
        raise PlanError(f"step {step.name!r}: {error}") from error
    is_head = http.method == workflow_pb2.HTTP_METHOD_HEAD
    return EncodedStep(
        name=step.name,
        index=index,
        origin_index=origin_index,
        payload=payload,
        timeout_seconds=defaults.request_timeout_seconds(http),
        expected_statuses=defaults.expected_statuses(http),
        is_head=is_head,
        is_usual=not is_head and len(payload) <= _SMALL_PAYLOAD_BYTES and not is_inspected(step),
        keeps_body=inspects_body(step),
        max_redirects=defaults.max_redirects(http),
        connect_timeout_seconds=defaults.connect_timeout_seconds(http),
        tls_timeout_seconds=defaults.tls_timeout_seconds(http),
        first_byte_timeout_seconds=defaults.first_byte_timeout_seconds(http),
    )


def _encode_request(http: workflow_pb2.HttpRequest, url: SplitResult) -> bytes:
    """Request line, header and body as they go over the wire."""
    method = defaults.method_name(http)
    body = _body(http)
    fields = {"Host": authority_of(origin_of(url))} | _user_fields(http)
    given = {name.lower() for name in fields}
    if "user-agent" not in given:
        fields["User-Agent"] = _USER_AGENT
    if http.WhichOneof("body") == "json" and "content-type" not in given:
        fields["Content-Type"] = "application/json"
    if http.chunked:
        fields["Transfer-Encoding"] = "chunked"
        body = in_chunks(body)
    elif body or method in _METHODS_WITH_BODY:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {request_target(url)} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _user_fields(http: workflow_pb2.HttpRequest) -> dict[str, str]:
    headers = http.headers
    for name, value in headers.items():
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header field name")
        if fault := header_fault(http, name):
            raise ValueError(f"header field {name!r} {fault}")
        if not _FIELD_VALUE.fullmatch(value):
            raise ValueError(f"header field {name!r} has control characters in its value")
    return {name: headers[name].strip() for name in sorted(headers)}


def _body(http: workflow_pb2.HttpRequest) -> bytes:
    match http.WhichOneof("body"):
        case "text":
            return http.text.encode()
        case "json":
            content = with_whole_numbers(MessageToDict(http.json))
            # Sorted: the message does not keep the order of keys, and the same workflow sends the same bytes everywhere.
            return json.dumps(content, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()
        case "binary":
            return http.binary
        case None:
            return b""
