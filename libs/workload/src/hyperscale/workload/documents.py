"""Reads YAML and JSON into plain data, within bounds, and says in which line they are wrong."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Final

import yaml

from hyperscale.workload.faults import Fault, FaultCollector

MAX_DEPTH: Final = 64
"""Deepest nesting of a document."""
MAX_NODES: Final = 200_000
"""Most values of a document, those that aliases repeat included."""


class DocumentFormat(Enum):
    """How a document is written."""

    YAML = "yaml"
    JSON = "json"


class DocumentError(ValueError):
    """A document that cannot be read; carries every fault found."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def read_document(text: str, document_format: DocumentFormat) -> object:
    """Plain data of a document: dicts, lists, texts, numbers, truth values, None. Raises DocumentError."""
    try:
        return _read_json(text) if document_format is DocumentFormat.JSON else _read_yaml(text)
    except RecursionError as error:
        raise DocumentError([_too_deep("")]) from error


def _read_json(text: str) -> object:
    duplicates = FaultCollector()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    duplicates.add("", f"the key {key[:80]!r} is given twice in one object")
                seen.add(key)
        return fields

    try:
        data: object = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        fault = Fault(f"line {error.lineno}", f"not JSON: {error.msg}, column {error.colno}")
        raise DocumentError([fault]) from error
    except ValueError as error:
        raise DocumentError([Fault("", f"not JSON: {error}")]) from error
    _check_bounds(data)
    _raise_any(duplicates)
    return data


def _check_bounds(data: object) -> None:
    """Refuse data that is too deep or too large."""
    level: list[object] = [data]
    nodes = depth = 0
    while level:
        nodes, depth = nodes + len(level), depth + 1
        if depth > MAX_DEPTH:
            raise DocumentError([_too_deep("")])
        if nodes > MAX_NODES:
            raise DocumentError([_too_large("")])
        level = [child for node in level for child in _children(node)]


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _read_yaml(text: str) -> object:
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:
        raise DocumentError([Fault("", f"not YAML: {error}")]) from error
    try:
        root = loader.get_single_node()
        reader = _YamlReader(loader)
        data = reader.value(root, 0) if root is not None else None
    except yaml.MarkedYAMLError as error:
        raise DocumentError([_yaml_fault(error)]) from error
    except yaml.YAMLError as error:
        raise DocumentError([Fault("", f"not YAML: {error}")]) from error
    finally:
        loader.dispose()
    _raise_any(reader.faults)
    return data


class _YamlReader:
    """Turns nodes into data. Aliases are followed, and counted, each time, so that a small file cannot become huge."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.faults = FaultCollector()
        self._loader = loader
        self._nodes = 0

    def value(self, node: yaml.Node, depth: int) -> object:
        """Data of a node."""
        self._nodes += 1
        if depth >= MAX_DEPTH:
            raise DocumentError([_too_deep(_line(node))])
        if self._nodes > MAX_NODES:
            raise DocumentError([_too_large(_line(node))])
        match node:
            case yaml.MappingNode():
                return self._mapping(node, depth)
            case yaml.SequenceNode():
                return [self.value(entry, depth + 1) for entry in node.value]
            case _:
                return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[object, object]:
        data: dict[object, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.add(_line(key_node), "a key must be a text, not a list or a mapping")
                continue
            key = self._scalar(key_node)
            if key in data:
                self.faults.add(_line(key_node), f"the key {str(key)[:80]!r} is given twice")
            data[key] = self.value(value_node, depth + 1)
        return data

    def _scalar(self, node: yaml.Node) -> object:
        try:
            return self._loader.construct_object(node)
        except (ValueError, KeyError) as error:
            raise DocumentError([Fault(_line(node), f"not a value: {error}")]) from error


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _yaml_fault(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}" if mark else ""
    column = f", column {mark.column + 1}" if mark else ""
    return Fault(where, f"not YAML: {error.problem or error.context}{column}")


def _too_deep(path: str) -> Fault:
    return Fault(path, f"is nested more than {MAX_DEPTH} levels deep")


def _too_large(path: str) -> Fault:
    return Fault(path, f"has more than {MAX_NODES:,} values")


def _raise_any(faults: FaultCollector) -> None:
    if faults.faults():
        raise DocumentError(faults.faults())
