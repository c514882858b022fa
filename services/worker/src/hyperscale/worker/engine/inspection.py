"""What a step wants to know of its response: checks and extractions, compiled once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.json_format import MessageToDict

from hyperscale.v1 import script_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.decoding import UndecodableBodyError, decode_body
from hyperscale.worker.engine.models.reply import Response
from hyperscale.workload.json_values import json_text, with_whole_numbers
from hyperscale.workload.patterns import CompiledRegex, FindFirst, compile_json_path, compile_regex
from hyperscale.workload.timestamps import seconds_of

MAX_INSPECTED_BYTES: Final = 1024 * 1024
"""What is looked at of a body: a longer one is cut off there, and one that decodes to more is taken as empty."""

_BODY_CONDITIONS: Final = frozenset({"body_contains", "body_matches", "json"})
_BODY_SOURCES: Final = frozenset({"json_path", "regex"})


class Findings:
    """A response, decoded as far as somebody asks."""

    __slots__ = ("_body", "_json", "_response")

    def __init__(self, response: Response) -> None:
        self._response = response
        self._body: bytes | None = None
        self._json: tuple[object] | tuple[()] | None = None

    @property
    def status(self) -> int:
        """Status of the response."""
        return self._response.status

    @property
    def duration_seconds(self) -> float:
        """How long it took."""
        return self._response.duration_seconds

    @property
    def body(self) -> bytes:
        """Without content codings; empty when it cannot be decoded."""
        if self._body is None:
            self._body = self._decoded()
        return self._body

    @property
    def json(self) -> tuple[object] | tuple[()]:
        """The body as JSON; nothing when it is not JSON."""
        if self._json is None:
            try:
                self._json = (json.loads(self.body),)
            except (ValueError, RecursionError):
                self._json = ()
        return self._json

    def fields(self, name: bytes) -> list[str]:
        """Values of a header field, by its name in lower case."""
        return [value.decode("latin-1").strip() for value in self._response.values_of(name)]

    def _decoded(self) -> bytes:
        codings = b",".join(self._response.values_of(b"content-encoding")).decode("latin-1")
        body = self._response.body[:MAX_INSPECTED_BYTES]
        try:
            return decode_body(codings, body, MAX_INSPECTED_BYTES) if codings else body
        except UndecodableBodyError:
            return b""


Condition = Callable[[Findings], bool]
Source = Callable[[Findings], str | None]


@dataclass(frozen=True, slots=True)
class CompiledCheck:
    """A named condition."""

    name: str
    holds: Condition


@dataclass(frozen=True, slots=True)
class CompiledExtraction:
    """Where a variable comes from."""

    variable: str
    find: Source
    default: str | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything a step wants to know of its response."""

    checks: tuple[CompiledCheck, ...]
    extractions: tuple[CompiledExtraction, ...]
    is_graphql: bool
    """Whether a list of errors in the body makes the response a failed one."""

    def rejection(self, findings: Findings) -> pb.ErrorClass.ValueType | None:
        """Why the request failed although its status was expected, as the body says; None when it did not."""
        content = findings.json[0] if self.is_graphql and findings.json else None
        errors = content.get("errors") if isinstance(content, dict) else None
        return pb.ERROR_CLASS_GRAPHQL if isinstance(errors, list) and errors else None


def is_inspected(step: workflow_pb2.Step) -> bool:
    """Whether anybody looks at more of the response than whether its status is expected."""
    return bool(step.checks or step.extract) or step.HasField("graphql")


def inspects_body(step: workflow_pb2.Step) -> bool:
    """Whether anybody looks at the body of the response."""
    if step.HasField("graphql"):
        return True
    return any(check.WhichOneof("condition") in _BODY_CONDITIONS for check in step.checks) or any(
        entry.WhichOneof("source") in _BODY_SOURCES for entry in step.extract
    )


def compile_inspection(step: workflow_pb2.Step) -> Inspection:
    """The checks and extractions of a step. Raises PatternError, which validation has told of before."""
    return Inspection(
        checks=tuple(CompiledCheck(check.name, _condition(check)) for check in step.checks),
        extractions=tuple(
            CompiledExtraction(entry.variable, _source(entry), entry.default if entry.HasField("default") else None)
            for entry in step.extract
        ),
        is_graphql=step.HasField("graphql"),
    )


def _condition(check: script_pb2.Check) -> Condition:
    match check.WhichOneof("condition"):
        case "status":
            statuses = frozenset(check.status.any_of)
            return lambda findings: findings.status in statuses
        case "body_contains":
            text = check.body_contains.encode()
            return lambda findings: text in findings.body
        case "body_matches":
            regex = compile_regex(check.body_matches)
            return lambda findings: regex.search(findings.body) is not None
        case "json":
            return _json_condition(check.json)
        case "header":
            return _header_condition(check.header)
        case _:
            longest_seconds = seconds_of(check.max_duration)
            return lambda findings: findings.duration_seconds <= longest_seconds


def _json_condition(condition: script_pb2.JsonCondition) -> Condition:
    find = compile_json_path(condition.path)
    if not condition.HasField("equals"):
        return lambda findings: _first(find, findings) is not None
    # Compared as JSON text, in which true is not 1.
    expected = _canonical(with_whole_numbers(MessageToDict(condition.equals)))

    def equals(findings: Findings) -> bool:
        found = _first(find, findings)
        return found is not None and _canonical(with_whole_numbers(found[0])) == expected

    return equals


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _header_condition(condition: script_pb2.HeaderCondition) -> Condition:
    name = condition.name.lower().encode()
    match condition.WhichOneof("value"):
        case "equals":
            return lambda findings: condition.equals in findings.fields(name)
        case "matches":
            regex = compile_regex(condition.matches)
            return lambda findings: any(regex.search(value.encode()) for value in findings.fields(name))
        case None:
            return lambda findings: bool(findings.fields(name))


def _source(extraction: script_pb2.Extraction) -> Source:
    match extraction.WhichOneof("source"):
        case "json_path":
            find = compile_json_path(extraction.json_path)
            return lambda findings: _first_text(find, findings)
        case "regex":
            return _regex_source(compile_regex(extraction.regex.pattern), extraction.regex)
        case "header":
            name = extraction.header.lower().encode()
            return lambda findings: next(iter(findings.fields(name)), None)
        case _:
            return lambda findings: str(findings.status)


def _regex_source(regex: CompiledRegex, source: script_pb2.RegexSource) -> Source:
    group = source.group if source.HasField("group") else min(regex.groups, 1)

    def find(findings: Findings) -> str | None:
        found = regex.search(findings.body)
        text = found.group(group) if found is not None else None
        return text.decode(errors="replace") if text is not None else None

    return find


def _first(find: FindFirst, findings: Findings) -> Sequence[object] | None:
    return find(findings.json[0]) if findings.json else None


def _first_text(find: FindFirst, findings: Findings) -> str | None:
    found = _first(find, findings)
    return json_text(found[0]) if found is not None else None
