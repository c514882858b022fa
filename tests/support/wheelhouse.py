"""Environments that hold one of our wheels and what it declares, nothing else: no checkout, no undeclared package."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tests.support.source import ROOT

DISTRIBUTIONS = sorted(
    path.parent for path in [*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]
)


@dataclass(frozen=True, slots=True)
class IsolatedEnvironment:
    directory: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, with nothing of ours in its variables."""
        path = f"{self.directory / 'bin'}{os.pathsep}{os.defpath}"
        environment = {"PATH": path, "HOME": str(self.directory), "PYTHONSAFEPATH": "1"}
        program = str(self.directory / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]], cwd=self.directory, env=environment, capture_output=True, text=True, check=False
        )


def build_wheels(directory: Path) -> dict[str, Path]:
    """Build a wheel of each distribution from the checkout; return them by distribution name."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(directory), *map(str, DISTRIBUTIONS)], check=True)
    return {parse_wheel_filename(path.name)[0]: path for path in directory.glob("*.whl")}


def declared_requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = HeaderParser().parsestr(archive.read(metadata).decode())
    return message.get_all("Requires-Dist", [])


def install(name: str, wheels: Mapping[str, Path], directory: Path) -> IsolatedEnvironment:
    """Install the wheel ``name``, those of ours that it declares, and links to the third-party packages it declares."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    environment = IsolatedEnvironment(directory)
    names = closure([name], wheels)
    site_packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(directory), "platbase": str(directory)}))
    for third_party in names - wheels.keys():
        _link(distribution(third_party), site_packages)
    own = [str(wheels[item]) for item in names & wheels.keys()]
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", *own], check=True)
    return environment


def closure(names: Iterable[str], wheels: Mapping[str, Path] | None = None) -> set[str]:
    """The distributions and whatever they need, by what the wheels among them declare, and what is installed."""
    wheels = wheels or {}
    found: set[str] = set()
    pending: list[str] = [canonicalize_name(name) for name in names]
    while pending:
        current = pending.pop()
        if current not in found:
            found.add(current)
            pending += _needed(
                declared_requirements(wheels[current]) if current in wheels else distribution(current).requires
            )
    return found


def _needed(requirements: Iterable[str] | None) -> list[str]:
    parsed = map(Requirement, requirements or ())
    return [
        canonicalize_name(item.name) for item in parsed if item.marker is None or item.marker.evaluate({"extra": ""})
    ]


def _link(package: Distribution, site_packages: Path) -> None:
    for file in package.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = site_packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(str(file.locate())))
