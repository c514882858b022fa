"""Splits a command line as a POSIX shell does, as far as copied commands need it; nothing is expanded."""

from __future__ import annotations

import re
from typing import Final

from hyperscale.client.conversion.errors import ConversionError
from hyperscale.workload.faults import Fault, FaultCollector

_PIECE: Final = re.compile(
    r"""(?P<space>(?:\s|\\\r?\n)+)
    |(?P<operator>(?:\|\|?|&&?|;|\d?>{1,2}|<)(?=\s|$))
    |'(?P<single>[^']*)'
    |\$'(?P<ansi>(?:[^'\\]|\\.)*)'
    |"(?P<double>(?:[^"\\]|\\.)*)"
    |\\(?P<escaped>.)
    |(?P<plain>[^\s'"\\$]+|\$)""",
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE_QUOTES: Final = re.compile(r'\\(?:([$`"\\])|\r?\n)')
_IN_ANSI_QUOTES: Final = re.compile(
    r"\\(?:u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL
)
_ANSI_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_EXPANSION: Final = re.compile(r"(?<!\\)(?:\$[A-Za-z_{(]|`)")
_LAST_CODE_POINT: Final = 0x10FFFF


def shell_words(text: str, notes: FaultCollector) -> list[str]:
    """Words of the first command in `text`; what is not taken over goes to `notes`.

    Raises
    ------
    ConversionError
        A quote is not closed.
    """
    words: list[str] = []
    word: str | None = None
    position = 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            raise ConversionError([Fault("", f"a quote is not closed: {text[position : position + 40]!r}")])
        if piece["operator"] and word is None:
            notes.add("", f"what follows {piece['operator']!r} is left out")
            break
        if piece["space"]:
            words += [] if word is None else [word]
            word = None
        else:
            _note_expansion(piece, notes)
            word = (word or "") + _meaning(piece)
        position = piece.end()
    return words if word is None else [*words, word]


def _note_expansion(piece: re.Match[str], notes: FaultCollector) -> None:
    quoted = piece["double"]
    if (quoted and _EXPANSION.search(quoted)) or piece["plain"] == "$":
        notes.add("", f"{piece[0][:40]!r} is taken as it is: nothing is expanded as a shell would do it")


def _meaning(piece: re.Match[str]) -> str:
    if piece["double"] is not None:
        return _IN_DOUBLE_QUOTES.sub(lambda escape: escape[1] or "", piece["double"])
    if piece["ansi"] is not None:
        return _IN_ANSI_QUOTES.sub(_ansi_character, piece["ansi"])
    return next(text for text in (piece["single"], piece["escaped"], piece["plain"], piece[0]) if text is not None)


def _ansi_character(escape: re.Match[str]) -> str:
    hexadecimal = escape[1] or escape[2] or escape[3]
    if hexadecimal or escape[4]:
        code_point = int(hexadecimal, 16) if hexadecimal else int(escape[4], 8)
        return chr(min(code_point, _LAST_CODE_POINT))
    return _ANSI_LETTERS.get(escape[5], escape[5])
