"""Generate hyperscale.v1 from the protocol definitions.

Runs as the build hook of this distribution (sdist, wheel and editable), and as a script to refresh a source tree:
``python libs/contracts/hatch_build.py``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "src"
GENERATED_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def find_proto_directory(root: Path = ROOT) -> Path:
    """Return the include root of our definitions: inside an unpacked sdist, or at the top of the repository."""
    for candidate in (root / "proto", root.parent.parent / "proto"):
        if (candidate / "hyperscale").is_dir():
            return candidate
    raise FileNotFoundError(f"no proto/hyperscale beside {root} or above it")


def generate(proto_directory: Path, destination: Path) -> list[Path]:
    """Generate messages, servicers and their type information; return the files that now make up the generated code.

    Files are replaced one by one and only when their content changed, so that processes that import the package
    while it is refreshed never see half a file.
    """
    definitions = sorted(str(path.relative_to(proto_directory)) for path in proto_directory.rglob("*.proto"))
    if not definitions:
        raise FileNotFoundError(f"no .proto file below {proto_directory}")
    with tempfile.TemporaryDirectory() as directory:
        staging = Path(directory)
        _run_protoc(proto_directory, staging, definitions)
        produced = {path.relative_to(staging) for pattern in GENERATED_PATTERNS for path in staging.rglob(pattern)}
        for relative in sorted(produced):
            _replace_if_changed(staging / relative, destination / relative)
    _remove_stale(destination, produced)
    return sorted(destination / relative for relative in produced)


def _run_protoc(proto_directory: Path, staging: Path, definitions: list[str]) -> None:
    from grpc_tools import protoc

    includes = [proto_directory, Path(protoc.__file__).parent / "_proto", _googleapis_directory()]
    plugins = [f"--plugin={name}={_plugin(name)}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}_out={staging}" for kind in ("python", "grpc_python")]
    typing = [f"--mypy_out=quiet:{staging}", f"--mypy_grpc_out=quiet,only_async:{staging}"]
    arguments = [*(f"--proto_path={path}" for path in includes), *plugins, *outputs, *typing, *definitions]
    code = protoc.main(["protoc", *arguments])
    if code != 0:
        raise RuntimeError(f"protoc failed with exit code {code}")


def _googleapis_directory() -> Path:
    """Where google/rpc/*.proto stand: googleapis-common-protos installs them beside its modules."""
    spec = importlib.util.find_spec("google.rpc.status_pb2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("googleapis-common-protos is needed to generate hyperscale.v1")
    return Path(spec.origin).parents[2]


def _plugin(name: str) -> str:
    """Find a protoc plugin beside the running interpreter, else on PATH (an isolated build environment)."""
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=search_path)
    if found is None:
        raise FileNotFoundError(f"{name} (mypy-protobuf) is needed to generate hyperscale.v1")
    return found


def _replace_if_changed(source: Path, target: Path) -> None:
    content = source.read_bytes()
    if target.is_file() and target.read_bytes() == content:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, target)


def _remove_stale(destination: Path, produced: set[Path]) -> None:
    present = {path.relative_to(destination) for pattern in GENERATED_PATTERNS for path in destination.rglob(pattern)}
    for relative in present - produced:
        (destination / relative).unlink(missing_ok=True)


class GenerateContracts(BuildHookInterface[Any]):
    """Hatchling's entry point; a wheel carries the generated code, an sdist the definitions."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate before the files of a wheel are collected; put the definitions into an sdist."""
        proto_directory = find_proto_directory(Path(self.root))
        if self.target_name == "sdist":
            build_data["force_include"][str(proto_directory)] = "proto"
            return
        generate(proto_directory, Path(self.root) / "src")


if __name__ == "__main__":
    files = generate(find_proto_directory(), SOURCE)
    print(f"{len(files)} generated files below {SOURCE}")
