"""Templates: text with ``{{…}}`` in it, read into literal parts and slots.

A slot is a variable (``{{token}}``), a column of a feed (``{{users.name}}``), a variable of the job (``{{vars.name}}``), a function (``{{random_int(1, 6)}}``) or a
quoted text (``{{'{{'}}``). ``{{path | raw}}`` is put in as it is; otherwise the place decides how a value is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""Names of variables, feeds and columns."""
IDENTIFIER_RULE: Final = "must be a letter or '_', then letters, digits or '_', at most 64 in all"

VARIABLES: Final = "vars"
"""What stands before the dot in the place of a feed for a variable of the job: ``{{vars.name}}``."""

_MAX_CHOICES: Final = 100
_LARGEST_INTEGER: Final = 2**63 - 1
_SLOT: Final = re.compile(r"\{\{((?:[^{}'\"]|'[^']*'|\"[^\"]*\")*)\}\}")
_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NAMED: Final = re.compile(
    rf"(?P<name>{IDENTIFIER.pattern})(?:\.(?P<column>{IDENTIFIER.pattern}))?\s*(?P<call>\((?P<arguments>.*)\))?",
    re.DOTALL,
)
_ARGUMENT: Final = re.compile(r"\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s,'\"()|]+))\s*(,|$)")
_RAW: Final = re.compile(r"\s*\|\s*raw\s*$")
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)


class TemplateSyntaxError(ValueError):
    """A template that cannot be read; the message says what would be valid."""


class TemplateFunction(Enum):
    """What a slot can call; the value is its name."""

    COUNTER = "counter"
    ITERATION = "iteration"
    RANDOM_CHOICE = "random_choice"
    RANDOM_INT = "random_int"
    TIMESTAMP = "timestamp"
    TIMESTAMP_MS = "timestamp_ms"
    UUID = "uuid"
    VU = "vu"


FUNCTION_NAMES: Final = frozenset(function.value for function in TemplateFunction)
"""Names that no variable can have."""


@dataclass(frozen=True, slots=True)
class QuotedText:
    """A text that stands for itself."""

    text: str


@dataclass(frozen=True, slots=True)
class VariableUse:
    """The value that an earlier step has extracted."""

    name: str


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """A value of the feed's current row."""

    feed: str
    column: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A value made anew each time."""

    function: TemplateFunction
    arguments: tuple[str, ...] = ()

    @property
    def integers(self) -> tuple[int, ...]:
        """The arguments of a function that takes whole numbers."""
        return tuple(map(int, self.arguments))


Expression = QuotedText | VariableUse | ColumnUse | FunctionCall


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a template that is filled in each time."""

    expression: Expression
    is_raw: bool
    """Whether the value is put in without the escaping of the place."""


def has_template(text: str) -> bool:
    """Whether a text is more than itself."""
    return "{{" in text


def without_slots(text: str) -> str:
    """The text with a harmless letter in the place of each slot, to be judged by the rules of its place."""
    return _SLOT.sub("x", text) if has_template(text) else text


def parse_template(text: str) -> list[str | Slot]:
    """Literal parts and slots, in order; there are no empty parts. Raises TemplateSyntaxError."""
    parts: list[str | Slot] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        found = _SLOT.match(text, start)
        if found is None:
            raise TemplateSyntaxError(f"{_shown(text[start:])} is not closed by '}}}}'")
        parts += [part for part in (text[position:start], _slot(found[1])) if part]
        position = found.end()
    return [*parts, text[position:]] if text[position:] else parts


def slots_of(text: str) -> list[Slot]:
    """The slots of a text. Raises TemplateSyntaxError."""
    return [part for part in parse_template(text) if isinstance(part, Slot)]


def _slot(content: str) -> Slot:
    raw = _RAW.search(content)
    source = (content[: raw.start()] if raw else content).strip()
    return Slot(_expression(source), raw is not None)


def _expression(source: str) -> Expression:
    quoted = _QUOTED.fullmatch(source)
    if quoted:
        return QuotedText(quoted[1] if quoted[1] is not None else quoted[2])
    named = _NAMED.fullmatch(source)
    if named is None:
        raise TemplateSyntaxError(
            f"{_shown('{{' + source + '}}')} must have a variable, feed.column, a function or a quoted text, and may end in '| raw'"
        )
    name, column = named["name"], named["column"]
    if name in FUNCTION_NAMES and column is None:
        return _call(TemplateFunction(name), _arguments(named["arguments"] or ""))
    if named["call"]:
        raise TemplateSyntaxError(f"no function {name!r}; there are {', '.join(sorted(FUNCTION_NAMES))}")
    return VariableUse(name) if column is None else ColumnUse(name, column)


def _arguments(source: str) -> tuple[str, ...]:
    """What stands between the parentheses, apart from quotes."""
    arguments: list[str] = []
    position, comma = 0, ""
    while position < len(source.rstrip()) or comma:
        found = _ARGUMENT.match(source, position)
        if found is None:
            raise TemplateSyntaxError(
                f"({_shown(source)}) must be arguments with commas between them, quoted if need be"
            )
        arguments.append(next(group for group in found.groups() if group is not None))
        position, comma = found.end(), found[4]
    return tuple(arguments)


def _call(function: TemplateFunction, arguments: Sequence[str]) -> FunctionCall:
    _ARGUMENT_CHECKS.get(function, _check_none)(function.value, arguments)
    return FunctionCall(function, tuple(arguments))


def _check_none(name: str, arguments: Sequence[str]) -> None:
    if arguments:
        raise TemplateSyntaxError(f"{name} takes no arguments")


def _check_bounds(name: str, arguments: Sequence[str]) -> None:
    if len(arguments) != 2 or not all(map(_INTEGER.fullmatch, arguments)):
        raise TemplateSyntaxError(f"{name} takes two whole numbers, such as {name}(1, 6)")
    low, high = map(int, arguments)
    if low > high or max(-low, high) > _LARGEST_INTEGER:
        raise TemplateSyntaxError(f"{name} takes the smaller number first, and both within 64 bits")


def _check_choices(name: str, arguments: Sequence[str]) -> None:
    if not 1 <= len(arguments) <= _MAX_CHOICES:
        raise TemplateSyntaxError(f"{name} takes 1 to {_MAX_CHOICES} texts, such as {name}('red', 'green')")


_ARGUMENT_CHECKS: Final[Mapping[TemplateFunction, Callable[[str, Sequence[str]], None]]] = {
    TemplateFunction.RANDOM_INT: _check_bounds,
    TemplateFunction.RANDOM_CHOICE: _check_choices,
}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
