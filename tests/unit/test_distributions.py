"""What each distribution declares about itself agrees with its code and with the other distributions."""

from __future__ import annotations

import ast
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.source import ROOT, Source, repository
from tests.support.wheelhouse import DISTRIBUTIONS, closure
from tools.lock_inputs import third_party_requirements

NAMES = {"v1": "contracts"}
"""Our packages whose distribution is named otherwise."""

SHARED_NAMESPACES = {
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "opentelemetry.exporter.otlp.proto.grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.metrics": "opentelemetry-api",
    "opentelemetry.sdk": "opentelemetry-sdk",
}
"""Packages below a name that several distributions share."""

IN_ROOT = pytest.mark.parametrize("directory", DISTRIBUTIONS, ids=[path.name for path in DISTRIBUTIONS])


def metadata(directory: Path) -> dict[str, Any]:
    return tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))


def imported_modules(source: Source) -> set[str]:
    nodes = source.nodes
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {
        node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }


@cache
def installed_packages() -> dict[str, list[str]]:
    return {package: list(names) for package, names in packages_distributions().items()}


def distribution_of(module: str) -> str | None:
    """Return the distribution that a module comes from; none for the standard library."""
    top, _, rest = module.partition(".")
    if top in sys.stdlib_module_names:
        return None
    if top == "hyperscale":
        package = rest.partition(".")[0]
        return f"hyperscale-{NAMES.get(package, package)}"
    for namespace, name in SHARED_NAMESPACES.items():
        if module.startswith(namespace):
            return name
    (name,) = {canonicalize_name(name) for name in installed_packages()[top]}
    return name


@IN_ROOT
def test_what_is_imported_is_declared_and_what_is_declared_is_imported(directory: Path) -> None:
    project = metadata(directory)["project"]
    declared = {canonicalize_name(Requirement(item).name) for item in project["dependencies"]}
    prefix = f"{directory.relative_to(ROOT).as_posix()}/src/"
    sources = [source for source in repository(".py") if source.path.startswith(prefix)]
    imported = {distribution_of(module) for source in sources for module in imported_modules(source)}
    needed = {name for name in imported if name is not None} - {project["name"]}
    if project["name"] == "hyperscale-contracts":
        needed |= {"grpcio", "protobuf", "googleapis-common-protos"}
    assert needed == declared


@IN_ROOT
def test_requirements_on_each_other_admit_the_current_version(directory: Path) -> None:
    version = Version((ROOT / "VERSION").read_text(encoding="utf-8").strip())
    project = metadata(directory)["project"]
    extras = project.get("optional-dependencies", {}).values()
    for item in map(Requirement, [*project["dependencies"], *(item for extra in extras for item in extra)]):
        if item.name.startswith("hyperscale-"):
            assert version in item.specifier, f"{item} does not admit {version}"


def pinned_versions() -> dict[str, str]:
    """Version by name of distribution in the lock."""
    return {
        canonicalize_name(requirement.name): next(iter(requirement.specifier)).version
        for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith((" ", "#"))
        for requirement in [Requirement(line.removesuffix(" \\"))]
    }


def test_the_lock_pins_what_the_distributions_declare() -> None:
    pinned = pinned_versions()
    for item in map(Requirement, third_party_requirements(ROOT)):
        assert pinned[canonicalize_name(item.name)] in item.specifier, f"{item} is not what the lock pins"


def test_the_lock_pins_nothing_that_no_distribution_needs() -> None:
    needed = closure(Requirement(item).name for item in third_party_requirements(ROOT))
    assert set(pinned_versions()) <= needed
