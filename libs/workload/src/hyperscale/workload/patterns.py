"""Patterns that a job brings along, compiled by libraries that keep the time to apply them within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

MAX_PATTERN_LENGTH: Final = 1024
_MAX_REGEX_MEMORY_BYTES: Final = 1024 * 1024
_BACKTRACKING_FUNCTIONS: Final = ("match", "search")
"""They apply regular expressions of the standard library, some of which never end."""


class PatternError(ValueError):
    """A pattern that cannot be compiled; the message says why."""


class FoundText(Protocol):
    """Where a regular expression matched."""

    def group(self, number: int, /) -> bytes | None:
        """The text of a group; None when the group took no part. 0: the whole match."""
        ...


class CompiledRegex(Protocol):
    """A regular expression that takes time linear in the text."""

    groups: int

    def search(self, text: bytes, /) -> FoundText | None:
        """The first match in UTF-8 text; bytes that are not UTF-8 match nothing."""
        ...


FindFirst = Callable[[object], tuple[object] | None]
"""The first value that a path leads to within JSON data, in a tuple; None when it leads nowhere."""


def compile_regex(pattern: str) -> CompiledRegex:
    """A regular expression in RE2 syntax. Raises PatternError."""
    # Not every job has patterns, and a job file is to be checked quickly.
    import re2  # noqa: PLC0415

    _check_pattern_length(pattern)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_REGEX_MEMORY_BYTES
    try:
        # Bytes, so that texts are not converted for every search.
        compiled: CompiledRegex = re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise PatternError(
            f"is not an RE2 regular expression: {reason.decode() if isinstance(reason, bytes) else reason}"
        ) from error
    return compiled


def compile_json_path(path: str) -> FindFirst:
    """A JSONPath as in RFC 9535. Raises PatternError."""
    # As in compile_regex.
    from jsonpath import JSONPathEnvironment, JSONPathError  # noqa: PLC0415

    _check_pattern_length(path)
    environment = JSONPathEnvironment(strict=True)
    for name in _BACKTRACKING_FUNCTIONS:
        del environment.function_extensions[name]
    try:
        compiled = environment.compile(path)
    except (JSONPathError, RecursionError) as error:
        raise PatternError(f"is not a JSONPath: {str(error).partition(chr(10))[0]}") from error

    def find_first(data: object) -> tuple[object] | None:
        # A path leads into lists and objects only.
        if not isinstance(data, dict | list):
            return (data,) if path == "$" else None
        try:
            found = compiled.match(data)
        except (JSONPathError, RecursionError):
            return None
        return (found.obj,) if found is not None else None

    return find_first


def _check_pattern_length(pattern: str) -> None:
    if not pattern:
        raise PatternError("is required")
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise PatternError(f"must have at most {MAX_PATTERN_LENGTH} characters, not {len(pattern)}")
