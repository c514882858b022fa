"""JSON content as the contract carries it: numbers are doubles there, and 7 is to be 7 again and not 7.0."""

from __future__ import annotations

import json
import math
from typing import Final

from google.protobuf.struct_pb2 import Value

_EXACT_INTEGERS: Final = 2**53


def with_whole_numbers(content: object) -> object:
    """JSON content with 7 where the message, which knows doubles only, has 7.0."""
    match content:
        case dict():
            return {key: with_whole_numbers(value) for key, value in content.items()}
        case list():
            return [with_whole_numbers(value) for value in content]
        case float() if content.is_integer() and abs(content) <= _EXACT_INTEGERS:
            return int(content)
        case _:
            return content


def json_text(value: object) -> str:
    """A value as text: a text as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def is_json(value: Value) -> bool:
    """Whether JSON can express the value; its depth is bounded by the parser of messages."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        match current.WhichOneof("kind"):
            case None:
                return False
            case "number_value" if not math.isfinite(current.number_value):
                return False
            case "struct_value":
                waiting.extend(current.struct_value.fields.values())
            case "list_value":
                waiting.extend(current.list_value.values)
            case _:
                pass
    return True
