"""Source bundles: the Python files of coded workflows on their way to the engines. Nothing here imports them."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hyperscale.v1.job_pb2 import SourceBundle

DIRECTORY_PREFIX: Final = "hyperscale-bundle-"
"""Of the directories into which bundles are unpacked to be imported."""
MAX_BUNDLE_BYTES: Final = 4 * 1024 * 1024
MAX_UNPACKED_BYTES: Final = 16 * 1024 * 1024
MAX_FILES: Final = 200

_RESERVED: Final = sys.stdlib_module_names | {"hyperscale"}
_FILE_NAME: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*/){0,10}[A-Za-z_][A-Za-z0-9_]*\.py")
_MODULE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


class BundleError(ValueError):
    """Files that cannot be a bundle, or a bundle that is not one; the text says why."""


class SourceSyntaxError(BundleError):
    """A file that is not Python."""


def pack_bundle(path: Path) -> SourceBundle:
    """The file and whatever it imports from beside it, also indirectly; the same files make the same bundle.

    Raises BundleError, SourceSyntaxError when a file is not Python, OSError when one cannot be read.
    """
    files = _collect(path)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(files):
            packed.writestr(zipfile.ZipInfo(name, _LONG_AGO), files[name], zipfile.ZIP_DEFLATED)
    content = archive.getvalue()
    bundle = SourceBundle(digest=hashlib.sha256(content).hexdigest(), archive=content, module=path.stem)
    fault = bundle_fault(bundle)
    if fault:
        raise BundleError(fault)
    return bundle


def bundle_fault(bundle: SourceBundle) -> str:
    """What can be told of a bundle's faults without unpacking it; empty when there is none."""
    if not _MODULE.fullmatch(bundle.module):
        return "module must be a Python name"
    if len(bundle.archive) > MAX_BUNDLE_BYTES:
        return f"has {len(bundle.archive):,} bytes, at most {MAX_BUNDLE_BYTES:,} are allowed"
    if hashlib.sha256(bundle.archive).hexdigest() != bundle.digest:
        return "digest is not the SHA-256 of the archive"
    return ""


def unpack_bundle(bundle: SourceBundle, directory: Path) -> None:
    """Write the files of a bundle below an empty directory. Raises BundleError, before anything is written."""
    fault = bundle_fault(bundle)
    if fault:
        raise BundleError(f"the bundle {fault}")
    for name, content in _read_archive(bundle.archive).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def top_level_names(directory: Path) -> set[str]:
    """Names of the modules and packages in an unpacked bundle."""
    return {path.stem for path in directory.iterdir()}


def _read_archive(archive: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            entries = packed.infolist()
            _check_entries(entries)
            files: dict[str, bytes] = {}
            left_bytes = MAX_UNPACKED_BYTES
            for entry in entries:
                files[entry.filename] = _read_entry(packed, entry, left_bytes)
                left_bytes -= len(files[entry.filename])
            return files
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise BundleError(f"the bundle is not a zip archive that can be read: {error}") from error


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_FILES:
        raise BundleError(f"the bundle has {len(entries)} files, at most {MAX_FILES} are allowed")
    if len({entry.filename.lower() for entry in entries}) < len(entries):
        raise BundleError("the bundle has two files of one name")
    for entry in entries:
        if not _FILE_NAME.fullmatch(entry.filename) or stat.S_ISLNK(entry.external_attr >> 16):
            raise BundleError(f"the bundle has {entry.filename[:80]!r}, which is not a plain .py file below it")
        if entry.filename.partition("/")[0].removesuffix(".py") in _RESERVED:
            raise BundleError(f"{entry.filename} hides a module of Python or of Hyperscale; give it another name")


def _read_entry(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, left_bytes: int) -> bytes:
    """Content of a file. What its header says of its size is not believed."""
    with packed.open(entry) as file:
        content = file.read(left_bytes + 1)
    if len(content) > left_bytes:
        raise BundleError(f"the bundle has more than {MAX_UNPACKED_BYTES:,} bytes when it is unpacked")
    return content


def _collect(path: Path) -> dict[str, bytes]:
    """Content by name within the bundle, of the file and of what it needs from its directory."""
    root, waiting, files = path.parent, [path], dict[str, bytes]()
    while waiting:
        file = waiting.pop()
        name = file.relative_to(root).as_posix()
        if name in files:
            continue
        if not _FILE_NAME.fullmatch(name) or name.partition("/")[0].removesuffix(".py") in _RESERVED:
            raise BundleError(
                f"{name} cannot be a module here: it needs a Python name that neither Python nor Hyperscale has"
            )
        files[name] = file.read_bytes()
        if len(files) > MAX_FILES:
            raise BundleError(f"{path.name} imports more than {MAX_FILES} files from beside it")
        for imported in _imported_names(name, files[name]):
            waiting.extend(_files_of(root, imported))
    return files


def _imported_names(name: str, content: bytes) -> Iterator[str]:
    """First parts of the names that a file imports; relative imports stay within packages, which are taken whole."""
    try:
        tree = ast.parse(content, name)
    except SyntaxError as error:
        raise SourceSyntaxError(f"{name}:{error.lineno or 1}: SyntaxError: {error.msg}") from error
    except ValueError as error:
        raise SourceSyntaxError(f"{name}:1: SyntaxError: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _files_of(root: Path, module: str) -> Iterator[Path]:
    if module in _RESERVED:
        return
    package = root / module
    if package.is_dir():
        yield from sorted(package.rglob("*.py"))
    elif (root / f"{module}.py").is_file():
        yield root / f"{module}.py"
