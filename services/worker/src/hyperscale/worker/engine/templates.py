"""Templates of a request, compiled once: the request is encoded with a marker in the place of each slot, then cut there.

So whatever encodes a request needs to know nothing of templates. What is left to do per request is to make the values and
to join the pieces.
"""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from google.protobuf.struct_pb2 import Value

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.chunks import in_chunks, out_of_chunks
from hyperscale.workload.templates import (
    ColumnUse,
    Expression,
    FunctionCall,
    QuotedText,
    Slot,
    TemplateFunction,
    VariableUse,
    has_template,
    parse_template,
)

_HEAD_END: Final = b"\r\n\r\n"
_CONTENT_LENGTH: Final = re.compile(rb"(?<=\r\nContent-Length: )\d+(?=\r\n)")
_CHUNKED: Final = b"\r\nTransfer-Encoding: chunked\r\n"
_URL_SAFE: Final = "/%:@!$&'()*+,;=-._~?[]|"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MS_PER_SECOND: Final = 1000

FeedRow = Mapping[str, str]
"""Values by column."""


@dataclass(slots=True)
class TemplateScope:
    """What the templates of one user can name."""

    vu: int
    next_counter: Callable[[], int]
    iteration: int = -1
    """From 0, of this user."""
    variables: dict[str, str] = field(default_factory=dict)
    """What the iteration has extracted so far."""
    rows: dict[str, FeedRow] = field(default_factory=dict)
    """Current row by feed, and the job's variables as if they were one."""


MakeValue = Callable[[TemplateScope], str]
Escape = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class _Filler:
    """One slot in its place."""

    make: MakeValue
    escape: Escape


class RequestTemplate:
    """The bytes of a request with slots to fill in."""

    __slots__ = ("_body", "_head")

    def __init__(self, head: tuple[bytes | _Filler, ...], body: tuple[bytes | _Filler, ...]) -> None:
        """`head`: up to and with the empty line; a Content-Length in it is set anew."""
        self._head = head
        self._body = body

    def fill(self, scope: TemplateScope) -> bytes:
        """The request as it goes over the wire."""
        head = b"".join([part if isinstance(part, bytes) else part.escape(part.make(scope)) for part in self._head])
        if not self._body:
            return head
        body = b"".join([part if isinstance(part, bytes) else part.escape(part.make(scope)) for part in self._body])
        if _CHUNKED in head:
            return head + in_chunks(body)
        return _CONTENT_LENGTH.sub(b"%d" % len(body), head, count=1) + body


class MarkedRequest:
    """A request with markers instead of its slots."""

    def __init__(self, http: workflow_pb2.HttpRequest) -> None:
        """Raises TemplateSyntaxError, which validation has told of before."""
        self.http = workflow_pb2.HttpRequest()
        """To be encoded; for a request without templates the same as it was."""
        self.http.CopyFrom(http)
        self._prefix = f"slot{uuid.uuid4().hex}n"
        self._fillers: list[_Filler] = []
        self._bare: set[int] = set()
        self._mark()

    @property
    def has_slots(self) -> bool:
        """Whether there is anything to fill in."""
        return bool(self._fillers)

    def cut(self, payload: bytes) -> RequestTemplate:
        """The encoded request, cut at the markers."""
        head, end, body = payload.partition(_HEAD_END)
        content = out_of_chunks(body) if _CHUNKED in head + end else body
        return RequestTemplate(tuple(self._parts(head + end)), tuple(self._parts(content)))

    def _mark(self) -> None:
        self.http.url = self._marked(self.http.url, in_url, in_url_raw)
        for name in list(self.http.headers):
            self.http.headers[name] = self._marked(self.http.headers[name], in_header, in_header)
        if self.http.HasField("text"):
            self.http.text = self._marked(self.http.text, as_it_is, as_it_is)
        if self.http.HasField("json"):
            self._mark_json(self.http.json)

    def _mark_json(self, value: Value) -> None:
        match value.WhichOneof("kind"):
            case "string_value" if has_template(value.string_value):
                first = len(self._fillers)
                parts = parse_template(value.string_value)
                value.string_value = self._marked(value.string_value, _in_json, as_it_is)
                if len(parts) == 1 and isinstance(parts[0], Slot) and parts[0].is_raw:
                    self._bare.add(first)
            case "struct_value":
                for entry in value.struct_value.fields.values():
                    self._mark_json(entry)
            case "list_value":
                for entry in value.list_value.values:
                    self._mark_json(entry)
            case _:
                return

    def _marked(self, text: str, escape: Escape, escape_raw: Escape) -> str:
        if not has_template(text):
            return text
        return "".join(
            part if isinstance(part, str) else self._marker(part, escape_raw if part.is_raw else escape)
            for part in parse_template(text)
        )

    def _marker(self, slot: Slot, escape: Escape) -> str:
        self._fillers.append(_Filler(value_maker(slot.expression), escape))
        return f"{self._prefix}{len(self._fillers) - 1}e"

    def _parts(self, data: bytes) -> Iterator[bytes | _Filler]:
        """Literal bytes and fillers; the quotes around a bare value go with its marker."""
        position = 0
        for found in re.finditer(rb'("?)' + self._prefix.encode() + rb'(\d+)e("?)', data):
            number = int(found[2])
            start, end = (found.start(), found.end()) if number in self._bare else (found.end(1), found.start(3))
            if position < start:
                yield data[position:start]
            yield self._fillers[number]
            position = end
        if position < len(data):
            yield data[position:]


def value_maker(expression: Expression) -> MakeValue:
    """What makes the value of a slot."""
    match expression:
        case QuotedText(text):
            return lambda _: text
        case VariableUse(name):
            return lambda scope: scope.variables[name]
        case ColumnUse(feed, column):
            return lambda scope: scope.rows[feed][column]
        case FunctionCall():
            return _FUNCTION_MAKERS[expression.function](expression)


def _random_int(call: FunctionCall) -> MakeValue:
    low, high = call.integers
    return lambda _: str(random.randint(low, high))


_FUNCTION_MAKERS: Final[Mapping[TemplateFunction, Callable[[FunctionCall], MakeValue]]] = {
    TemplateFunction.COUNTER: lambda _: lambda scope: str(scope.next_counter()),
    TemplateFunction.ITERATION: lambda _: lambda scope: str(scope.iteration),
    TemplateFunction.RANDOM_CHOICE: lambda call: lambda _: random.choice(call.arguments),
    TemplateFunction.RANDOM_INT: _random_int,
    TemplateFunction.TIMESTAMP: lambda _: lambda _: str(int(time.time())),
    TemplateFunction.TIMESTAMP_MS: lambda _: lambda _: str(int(time.time() * _MS_PER_SECOND)),
    TemplateFunction.UUID: lambda _: lambda _: str(uuid.uuid4()),
    TemplateFunction.VU: lambda _: lambda scope: str(scope.vu),
}


def in_url(value: str) -> bytes:
    """Percent-encoded wholly."""
    return quote(value, safe="", errors="replace").encode()


def in_url_raw(value: str) -> bytes:
    """Percent-encoded as far as no URL could have it."""
    return quote(value, safe=_URL_SAFE, errors="replace").encode()


def in_header(value: str) -> bytes:
    """A line break would begin another field: it becomes a space, as the other control characters do."""
    return _CONTROL.sub(" ", value).encode(errors="replace")


def _in_json(value: str) -> bytes:
    return json.dumps(value, ensure_ascii=False)[1:-1].encode(errors="replace")


def as_it_is(value: str) -> bytes:
    """Not escaped."""
    return value.encode(errors="replace")
