"""Turns plain data into a message by its descriptor, and collects every fault on the way.

This is protobuf's JSON mapping with what people write by hand added: durations such as ``1m30s``, enum values by their
short names, field names in either spelling. Unlike the parser that comes with protobuf it does not stop at the first fault.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import NULL_VALUE, Value

from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.workload.durations import parse_duration
from hyperscale.workload.faults import FaultCollector

_MAX_EXACT_NUMBER: Final = 2**53
"""JSON bodies keep numbers as doubles: whole numbers are exact up to here."""
_SET_BY_THE_SUITE: Final = frozenset(
    f"{Workflow.DESCRIPTOR.full_name}.{name}" for name in ("share", "data_share", "role", "class_name", "metrics")
)
"""Fields that nobody writes by hand, and that are not offered in place of an unknown one."""
_DIGITS: Final = re.compile(r"-?\d{1,20}", re.ASCII)
_KINDS: Final[Mapping[type, str]] = {
    type(None): "nothing",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping",
}
_INTEGER_RANGES: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class _WrongValueError(ValueError):
    """A value that its field cannot take; the message is for people."""


def merge_into_message(data: object, message: Message, faults: FaultCollector) -> None:
    """Fill a message from plain data: mappings, lists, texts, numbers, truth values and None.

    Fields that have no fault are set, also when others have some.
    """
    _Mapper(faults).message(data, message, "")


class _Mapper:
    def __init__(self, faults: FaultCollector) -> None:
        self._faults = faults

    def message(self, data: object, message: Message, path: str) -> None:
        """Fill one message."""
        if not isinstance(data, Mapping):
            self._faults.add(path, f"must be a mapping of fields, not {_kind(data)}")
            return
        fields = _fields_by_name(message)
        given: dict[str, str] = {}
        for name, value in data.items():
            field = fields.get(name)
            if field is None:
                self._faults.add(_join(path, str(name)[:80]), _unknown_field(str(name), message))
            elif not _is_absent(field, value) and self._is_first(field, str(name), given, path):
                self._field(value, message, field, _join(path, field.name))

    def _is_first(self, field: FieldDescriptor, name: str, given: dict[str, str], path: str) -> bool:
        """Whether neither the field nor another member of its oneof was given before; notes it when not."""
        group = field.containing_oneof.name if field.containing_oneof else field.name
        other = given.setdefault(group, name)
        if other == name:
            return True
        self._faults.add(
            _join(path, field.name), f"cannot be given together with {other!r}: only one of them is allowed"
        )
        return False

    def _field(self, value: object, message: Message, field: FieldDescriptor, path: str) -> None:
        if _is_map(field):
            self._map(value, message, field, path)
        elif field.is_repeated:
            self._list(value, message, field, path)
        elif field.message_type:
            self._submessage(value, getattr(message, field.name), path)
        else:
            self._scalar(value, field, path, partial(setattr, message, field.name))

    def _list(self, value: object, message: Message, field: FieldDescriptor, path: str) -> None:
        if not isinstance(value, list):
            self._faults.add(path, f"must be a list, not {_kind(value)}")
            return
        entries: Any = getattr(message, field.name)
        for index, entry in enumerate(value):
            if field.message_type:
                self._submessage(entry, entries.add(), f"{path}[{index}]")
            else:
                self._scalar(entry, field, f"{path}[{index}]", entries.append)

    def _map(self, value: object, message: Message, field: FieldDescriptor, path: str) -> None:
        if not isinstance(value, Mapping):
            self._faults.add(path, f"must be a mapping, not {_kind(value)}")
            return
        entries: Any = getattr(message, field.name)
        value_field: FieldDescriptor = entries.GetEntryClass().DESCRIPTOR.fields_by_name["value"]
        for key, entry in value.items():
            at = f"{path}[{str(key)[:80]!r}]"
            if not isinstance(key, str):
                self._faults.add(at, f"its name must be a text, not {_kind(key)}: put it in quotes")
                continue
            self._scalar(entry, value_field, at, partial(entries.__setitem__, key))

    def _submessage(self, value: object, message: Message, path: str) -> None:
        message.SetInParent()
        try:
            match message:
                case Duration():
                    parse_duration(value, message)
                case Value():
                    _fill_value(value, message)
                case _:
                    self.message(value, message, path)
        except ValueError as error:
            self._faults.add(path, str(error))

    def _scalar(self, value: object, field: FieldDescriptor, path: str, put: Callable[[Any], None]) -> None:
        try:
            put(_scalar(value, field))
        except ValueError as error:
            self._faults.add(path, str(error))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _fields_by_name(message: Message) -> dict[object, FieldDescriptor]:
    """Fields by both of their names: as in the contract, and as in JSON."""
    fields: Sequence[Any] = message.DESCRIPTOR.fields
    return {name: field for field in fields for name in (field.name, field.json_name)}


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _is_absent(field: FieldDescriptor, value: object) -> bool:
    """Whether None means that the field is left out, as everywhere but in a JSON body."""
    return value is None and (field.message_type is None or field.message_type.full_name != Value.DESCRIPTOR.full_name)


def _unknown_field(name: str, message: Message) -> str:
    known = [field.name for field in message.DESCRIPTOR.fields if field.full_name not in _SET_BY_THE_SUITE]
    close = difflib.get_close_matches(name[:80], known, n=1)
    return f"unknown field; did you mean {close[0]!r}?" if close else f"unknown field; there are {', '.join(known)}"


def _kind(value: object) -> str:
    """What a value is, in the words of people who write files."""
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _scalar(value: object, field: FieldDescriptor) -> object:
    """The value as the field takes it. Raises ValueError."""
    if field.enum_type:
        return _enum(value, field.enum_type)
    if field.cpp_type in _INTEGER_RANGES:
        return _integer(value, *_INTEGER_RANGES[field.cpp_type])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _truth(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _binary(value)
    return _text(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError(f"must be true or false, not {_kind(value)}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongValueError(f"must be a text, not {_kind(value)}: put it in quotes")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _WrongValueError("must be text that UTF-8 can express") from error
    return value


def _binary(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        raise _WrongValueError(f"must be base64: {error}") from error


def _integer(value: object, smallest: int, largest: int) -> int:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        shown = f" {value!r}" if isinstance(value, float) else f" {_kind(value)}"
        raise _WrongValueError(f"must be a whole number, not{shown}")
    if value < smallest:
        raise _WrongValueError("must not be negative" if smallest == 0 else f"must be at least {smallest}")
    if value > largest:
        raise _WrongValueError(f"must be at most {largest:,}")
    return value


def _enum(value: object, enum: EnumDescriptor) -> int:
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    if isinstance(value, str):
        known = enum.values_by_name.get(value.upper()) or enum.values_by_name.get(prefix + value.upper())
        if known is not None:
            return known.number
    elif isinstance(value, int) and not isinstance(value, bool) and value in enum.values_by_number:
        return value
    short_names = [entry.name.removeprefix(prefix).lower() for entry in enum.values[1:]]
    shown = repr(value[:80]) if isinstance(value, str) else _kind(value)
    raise _WrongValueError(f"must be one of {', '.join(short_names)}, not {shown}")


def _fill_value(data: object, value: Value) -> None:
    """Fill a JSON value. Raises ValueError for what JSON cannot express; depth is bounded by the reader of the file."""
    if isinstance(data, list):
        value.list_value.SetInParent()
        for entry in data:
            _fill_value(entry, value.list_value.values.add())
    elif isinstance(data, Mapping):
        value.struct_value.SetInParent()
        for key, entry in data.items():
            _fill_value(entry, value.struct_value.fields[_text(key)])
    else:
        _fill_scalar_value(data, value)


def _fill_scalar_value(data: object, value: Value) -> None:
    match data:
        case None:
            value.null_value = NULL_VALUE
        case bool():
            value.bool_value = data
        case int() | float():
            value.number_value = _json_number(data)
        case str():
            value.string_value = _text(data)
        case _:
            raise _WrongValueError(f"JSON has no {type(data).__name__}: put it in quotes")


def _json_number(number: float) -> float:
    if isinstance(number, int) and abs(number) > _MAX_EXACT_NUMBER:
        raise _WrongValueError(f"whole numbers beyond {_MAX_EXACT_NUMBER} would lose digits: write the body as text")
    if not math.isfinite(number):
        raise _WrongValueError("JSON has no infinite or undefined numbers")
    return float(number)
