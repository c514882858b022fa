"""The repository as the house rules see it: parsed files, and what a rule has to say about them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED_MARK = "_pb2"


@dataclass(frozen=True, slots=True)
class Violation:
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Source:
    """One file: ``path`` is relative to the repository, with forward slashes; ``tree`` is empty when it is no Python."""

    path: str
    text: str
    tree: ast.Module

    @property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All that is in the tree."""
        return _nodes(self.tree)

    def violation(self, node: ast.AST | int, message: str) -> Violation:
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return Violation(self.path, line, message)

    @property
    def is_product(self) -> bool:
        return self.path.startswith(("libs/", "services/"))

    @property
    def is_service(self) -> bool:
        return self.path.startswith("services/")


def parse(text: str, path: str = "libs/example/src/hyperscale/example/module.py") -> Source:
    return Source(path, text, ast.parse(text) if path.endswith(".py") else ast.Module(body=[], type_ignores=[]))


@cache
def repository(*suffixes: str) -> tuple[Source, ...]:
    """Every file of ours with one of these suffixes: tracked, or new and not ignored; generated code is neither."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    wanted = sorted(path for path in listed if path.endswith(suffixes) and GENERATED_MARK not in Path(path).name)
    return tuple(_read(path) for path in wanted if (ROOT / path).is_file())


@cache
def _read(path: str) -> Source:
    return parse((ROOT / path).read_text(encoding="utf-8"), path)


@cache
def _nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Every rule goes through all trees, and finding what is in them takes far longer than looking at it."""
    return tuple(ast.walk(tree))


def dotted(node: ast.AST) -> str:
    """``a.b.c`` for a chain of attributes on a name; calls and subscripts in between are looked through."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            return f"{dotted(value)}.{attribute}".lstrip(".")
        case ast.Call(func=inner) | ast.Subscript(value=inner) | ast.Await(value=inner):
            return dotted(inner)
        case _:
            return ""


def last_name(node: ast.AST) -> str:
    return dotted(node).rpartition(".")[2]


def classes(source: Source) -> Iterator[ast.ClassDef]:
    return (node for node in source.nodes if isinstance(node, ast.ClassDef))


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in source.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
