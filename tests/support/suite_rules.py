"""The house rules that take the whole suite, or its text, to see whether they hold."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.support.source import Source, Violation, classes, last_name

SHARED_KINDS = frozenset(
    {"Protocol", "ABC", "Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "BaseModel", "BaseSettings", "Exception"}
)
"""A class below one of these is an interface, an enumeration, a configuration or an error: those may be subclassed."""

UNFINISHED = re.compile(
    r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "NotImplemented" + "Error"]) + r")\b"
)
PACKAGE_INDEX = re.compile(r"--(?:extra-)?index-url[ =]|https?://\S*/(?:simple|packages)/")
MACHINE_PATH = re.compile(r"(?<![\w.~}])/(?:work|root|home/[a-z]\w*)/|\.\./shared\b")
REFERENCE = re.compile(
    r"\b(?:issue|task|ticket|PR|bug) ?#?\d+\b|(?<![\w&])#\d+\b|\b20\d\d-[01]\d-[0-3]\d\b", re.IGNORECASE
)


def duplicate_classes(sources: Iterable[Source]) -> Iterator[Violation]:
    """A class name means one thing in the whole suite."""
    places: dict[str, list[tuple[Source, ast.ClassDef]]] = defaultdict(list)
    for source in sources:
        for node in classes(source):
            places[node.name].append((source, node))
    for name, found in places.items():
        for source, node in found[1:]:
            yield source.violation(node, f"class {name} exists already in {found[0][0].path}")


def service_subclasses(sources: Iterable[Source]) -> Iterator[Violation]:
    """A service's class is composed: it subclasses no class of ours but interfaces, enumerations, configurations, errors."""
    known = list(sources)
    bases = {node.name: [last_name(base) for base in node.bases] for source in known for node in classes(source)}
    for source in known:
        if not source.is_service:
            continue
        for node in classes(source):
            for base in bases[node.name]:
                if base in bases and not _is_shared_kind(base, bases):
                    yield source.violation(node, f"{node.name} subclasses {base}; compose it instead")


def _is_shared_kind(name: str, bases: dict[str, list[str]], seen: frozenset[str] = frozenset()) -> bool:
    if name in SHARED_KINDS or name.endswith("Error"):
        return True
    return name not in seen and any(_is_shared_kind(base, bases, seen | {name}) for base in bases.get(name, []))


def unfinished_work(source: Source) -> Iterator[Violation]:
    """Nothing that ships says that it is unfinished."""
    yield from _matches(source, UNFINISHED, "unfinished work")


def package_indexes(source: Source) -> Iterator[Violation]:
    """Where packages come from is the installer's business."""
    yield from _matches(source, PACKAGE_INDEX, "package index")


def machine_paths(source: Source) -> Iterator[Violation]:
    """No file knows where a checkout lies."""
    yield from _matches(source, MACHINE_PATH, "path of one machine")


def requirement_ids(source: Source, ids: Iterable[str]) -> Iterator[Violation]:
    """Requirement ids stand in tests and documents only."""
    choices = "|".join(re.escape(name) for name in sorted(ids, key=len, reverse=True))
    yield from _matches(source, re.compile(rf"(?<![\w.-])(?:{choices}|AD-\d+)(?![\w]|\.\d)"), "requirement id")


def _matches(source: Source, pattern: re.Pattern[str], what: str) -> Iterator[Violation]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        found = pattern.search(line)
        if found:
            yield source.violation(number, f"{what}: {found.group().strip()}")


def dated_comments(source: Source) -> Iterator[Violation]:
    """Comments and docstrings name no task, ticket or date: history is the repository's."""
    for line, text in _prose(source):
        found = REFERENCE.search(text)
        if found:
            yield source.violation(line, f"task number or date: {found.group()}")


def _prose(source: Source) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.removeprefix("#")
    for node in source.nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is not None:
                yield getattr(node, "lineno", 1), docstring
