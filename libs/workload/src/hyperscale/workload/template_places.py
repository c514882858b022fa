"""Where a step may have templates: the texts of its action that each iteration fills in.

Every protocol is described here and nowhere else: validation judges these texts, the engine fills them in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value


class PlaceKind(Enum):
    """What a text is part of, which decides how a value is escaped there."""

    URL = auto()
    """Percent-encoded; in path and query only."""
    HEADER = auto()
    """Control characters become spaces."""
    TEXT = auto()
    """As it is."""
    JSON = auto()
    """A text within JSON; one that is nothing but a raw value becomes that JSON value."""


_KINDS: Final[Mapping[str, Mapping[str, PlaceKind]]] = {
    "HttpRequest": {
        "url": PlaceKind.URL,
        "headers": PlaceKind.HEADER,
        "text": PlaceKind.TEXT,
        "json": PlaceKind.JSON,
    },
    "GraphqlRequest": {
        "url": PlaceKind.URL,
        "headers": PlaceKind.HEADER,
        "query": PlaceKind.TEXT,
        "variables": PlaceKind.JSON,
    },
    "GrpcCall": {"request": PlaceKind.JSON, "metadata": PlaceKind.HEADER},
    "TcpAction": {"send_text": PlaceKind.TEXT},
    "UdpAction": {"send_text": PlaceKind.TEXT},
    "UdpExpectation": {"contains": PlaceKind.TEXT},
    "WebSocketSession": {"url": PlaceKind.URL, "headers": PlaceKind.HEADER},
    "WebSocketAction": {"send_text": PlaceKind.TEXT},
    "WebSocketExpectation": {"contains": PlaceKind.TEXT},
}
"""By message and field: a text, texts by key, or JSON. Texts of all other fields stand for themselves."""

Address = tuple[str | int, ...]
"""The way from a message to one of its texts: names of fields, keys of maps and indexes of lists."""


@dataclass(frozen=True, slots=True)
class TemplatePlace:
    """A text that may have templates."""

    kind: PlaceKind
    text: str
    path: str
    """As faults name it, after that of the message."""
    address: Address


def places_of(message: Message, path: str = "", address: Address = ()) -> Iterator[TemplatePlace]:
    """Every text of an action that may have templates, in the order of the fields' numbers."""
    kinds = _KINDS.get(message.DESCRIPTOR.name, {})
    for field, value in message.ListFields():
        at, way = f"{path}.{field.name}", (*address, field.name)
        kind = kinds.get(field.name)
        if kind is not None:
            yield from _places_in(kind, value, at, way)
        elif field.message_type is not None:
            yield from _nested(value, at, way)


def _nested(value: Any, path: str, address: Address) -> Iterator[TemplatePlace]:
    """Places in the message or messages of a field; maps of messages have none."""
    if isinstance(value, Message):
        yield from places_of(value, path, address)
    elif not hasattr(value, "keys"):
        for index, entry in enumerate(value):
            yield from places_of(entry, f"{path}[{index}]", (*address, index))


def _places_in(kind: PlaceKind, value: Any, path: str, address: Address) -> Iterator[TemplatePlace]:
    if isinstance(value, str):
        yield TemplatePlace(kind, value, path, address)
    elif isinstance(value, Value):
        yield from _json_places(value, path, address)
    else:
        for key in sorted(value):
            yield TemplatePlace(kind, value[key], f"{path}[{key[:80]!r}]", (*address, key))


def _json_places(value: Value, path: str, address: Address) -> Iterator[TemplatePlace]:
    match value.WhichOneof("kind"):
        case "string_value":
            yield TemplatePlace(PlaceKind.JSON, value.string_value, path, address)
        case "struct_value":
            fields = value.struct_value.fields
            for key in sorted(fields):
                yield from _json_places(fields[key], f"{path}.{key[:80]}", (*address, "struct_value", "fields", key))
        case "list_value":
            for index, entry in enumerate(value.list_value.values):
                yield from _json_places(entry, f"{path}[{index}]", (*address, "list_value", "values", index))
        case _:
            return
