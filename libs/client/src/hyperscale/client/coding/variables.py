"""Finds variables that the code of a job counts on and nobody has given, before anything runs."""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from hyperscale.v1.job_pb2 import SourceBundle
from hyperscale.workload.bundles import unpack_bundle
from hyperscale.workload.faults import Fault
from hyperscale.workload.template_validation import missing_variable


def missing_variables(bundle: SourceBundle, given: Collection[str]) -> list[Fault]:
    """A fault with file and line for each ``self.variables["NAME"]`` in the bundle's code whose NAME is not given."""
    with tempfile.TemporaryDirectory(prefix="hyperscale-bundle-") as name:
        directory = Path(name)
        unpack_bundle(bundle, directory)
        return [
            Fault(f"{file.relative_to(directory)}:{line}", missing_variable(variable, given))
            for file in sorted(directory.rglob("*.py"))
            for line, variable in _needed(ast.parse(file.read_bytes()))
            if variable not in given
        ]


def _needed(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each variable that is looked up by a name that stands there."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Attribute(value=ast.Name(id="self"), attr="variables"),
                slice=ast.Constant(value=str() as variable),
                ctx=ast.Load(),
            ):
                yield node.lineno, variable
            case _:
                continue
