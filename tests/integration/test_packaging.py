"""Each distribution installs and runs by itself, with its declared dependencies and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.source import ROOT
from tests.support.wheelhouse import DISTRIBUTIONS, IsolatedEnvironment, build_wheels, install

SERVICES = ("gate", "manager", "worker")
PROGRAMS = {"hyperscale-client": "hyperscale", **{f"hyperscale-{name}": f"hyperscale-{name}" for name in SERVICES}}

IMPORT_EVERYTHING = """
import importlib, pkgutil, hyperscale
names = [module.name for module in pkgutil.walk_packages(hyperscale.__path__, "hyperscale.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(*sorted({name.split(".")[1] for name in names}))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module", params=sorted(PROGRAMS))
def installed(
    request: pytest.FixtureRequest, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, IsolatedEnvironment]:
    return request.param, install(request.param, wheels, tmp_path_factory.mktemp(request.param))


@pytest.mark.requirement("MAIN.4")
def test_a_program_runs_from_its_own_wheel(installed: tuple[str, IsolatedEnvironment]) -> None:
    name, environment = installed
    outcome = environment.run(PROGRAMS[name], "--help")
    assert outcome.returncode == 0, outcome.stderr
    assert "usage" in outcome.stdout.lower()


@pytest.mark.requirement("MAIN.4")
def test_every_module_finds_what_it_imports(installed: tuple[str, IsolatedEnvironment]) -> None:
    name, environment = installed
    outcome = environment.run("python", "-W", "error", "-c", IMPORT_EVERYTHING)
    assert outcome.returncode == 0, outcome.stderr
    others = {"client", *SERVICES} - {name.removeprefix("hyperscale-")}
    assert not others & set(outcome.stdout.split())


def test_wheels_carry_the_suite_version_and_types(wheels: dict[str, Path]) -> None:
    version = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
    assert len(wheels) == len(DISTRIBUTIONS)
    for wheel in wheels.values():
        assert f"-{version}-" in wheel.name
        assert any(name.endswith("/py.typed") for name in zipfile.ZipFile(wheel).namelist())


def test_the_contracts_build_from_their_sdist(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(ROOT / "libs" / "contracts"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for definition in (ROOT / "proto").rglob("*.proto"):
        module = definition.relative_to(ROOT / "proto").with_suffix("")
        assert {f"{module}_pb2.py", f"{module}_pb2.pyi", f"{module}_pb2_grpc.py", f"{module}_pb2_grpc.pyi"} <= set(
            names
        )
