"""Templates of a declared step that a protocol's client runs: its texts are filled in before the client gets it.

Requests of callback users have theirs filled in as bytes, see `templates`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.templates import (
    Escape,
    MakeValue,
    TemplateScope,
    as_it_is,
    in_header,
    in_url,
    in_url_raw,
    value_maker,
)
from hyperscale.workload.template_places import Address, PlaceKind, TemplatePlace, places_of
from hyperscale.workload.templates import Slot, has_template, parse_template

_ESCAPES: Final[Mapping[PlaceKind, tuple[Escape, Escape]]] = {
    PlaceKind.URL: (in_url, in_url_raw),
    PlaceKind.HEADER: (in_header, in_header),
    PlaceKind.TEXT: (as_it_is, as_it_is),
    PlaceKind.JSON: (as_it_is, as_it_is),
}
"""How a value is put in, and how a raw one is."""


class StepTemplate:
    """A step with slots to fill in."""

    __slots__ = ("_fillings", "step")

    def __init__(self, step: workflow_pb2.Step) -> None:
        """Raises TemplateSyntaxError, which validation has told of before."""
        self.step = step
        action = step.WhichOneof("action")
        places = () if action is None else places_of(getattr(step, action), address=(action,))
        self._fillings = [_Filling(place) for place in places if has_template(place.text)]

    def fill(self, scope: TemplateScope) -> workflow_pb2.Step:
        """The step as it is run now: a copy, or always the same object when there is nothing to fill in."""
        if not self._fillings:
            return self.step
        filled = workflow_pb2.Step()
        filled.CopyFrom(self.step)
        for filling in self._fillings:
            filling.put(filled, scope)
        return filled


class _Filling:
    """One text of a step, and where it goes."""

    __slots__ = ("_address", "_is_bare", "_is_json", "_parts")

    def __init__(self, place: TemplatePlace) -> None:
        parts = parse_template(place.text)
        escape, escape_raw = _ESCAPES[place.kind]
        self._address = place.address
        self._is_json = place.kind is PlaceKind.JSON
        self._is_bare = self._is_json and len(parts) == 1 and isinstance(parts[0], Slot) and parts[0].is_raw
        self._parts = [
            part
            if isinstance(part, str)
            else _value(value_maker(part.expression), escape_raw if part.is_raw else escape)
            for part in parts
        ]

    def put(self, step: workflow_pb2.Step, scope: TemplateScope) -> None:
        """Fill it in, in a copy of the step that it was made of."""
        text = "".join([part if isinstance(part, str) else part(scope) for part in self._parts])
        if self._is_json:
            value: Value = _at(step, self._address)
            _set_json(value, text, is_bare=self._is_bare)
            return
        holder, key = _at(step, self._address[:-1]), self._address[-1]
        if hasattr(holder, "DESCRIPTOR"):
            setattr(holder, str(key), text)
        else:
            holder[key] = text


def _value(make: MakeValue, escape: Escape) -> Callable[[TemplateScope], str]:
    return lambda scope: escape(make(scope)).decode()


def _at(message: Any, address: Address) -> Any:
    for part in address:
        message = getattr(message, str(part)) if hasattr(message, "DESCRIPTOR") else message[part]
    return message


def _set_json(value: Value, text: str, *, is_bare: bool) -> None:
    """A raw value that is not JSON stays a text."""
    if is_bare:
        try:
            ParseDict(json.loads(text), value)
        except (ValueError, RecursionError):
            value.string_value = text
    else:
        value.string_value = text
