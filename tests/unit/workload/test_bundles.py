"""Source bundles: what goes in, and what is never let out."""

import hashlib
import io
import random
import sys
import zipfile
from pathlib import Path

import pytest

from hyperscale.v1.job_pb2 import SourceBundle
from hyperscale.workload.bundles import (
    MAX_BUNDLE_BYTES,
    MAX_FILES,
    MAX_UNPACKED_BYTES,
    BundleError,
    SourceSyntaxError,
    pack_bundle,
    unpack_bundle,
)
from hyperscale.workload.language.loading import LoadedBundle, UserCodeError


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory / "job.py"


def names_in(bundle: SourceBundle) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(bundle.archive)).namelist()


def bundle_of(*entries: tuple[str, bytes]) -> SourceBundle:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries:
            packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return signed(archive.getvalue())


def signed(archive: bytes) -> SourceBundle:
    return SourceBundle(digest=hashlib.sha256(archive).hexdigest(), archive=archive, module="job")


def test_a_bundle_has_what_the_file_imports_from_beside_it(tmp_path: Path) -> None:
    job = write(
        tmp_path,
        job="import json, helpers\nfrom shop.pages import x\n",
        helpers="import deeper\n",
        deeper="import job\n",
        shop__in____init__="",
        shop__in__pages="x = 1\n",
        unrelated="",
    )
    assert names_in(pack_bundle(job)) == ["deeper.py", "helpers.py", "job.py", "shop/__init__.py", "shop/pages.py"]


def test_the_same_files_make_the_same_bundle(tmp_path: Path) -> None:
    first = pack_bundle(write(tmp_path / "a", job="import helpers\n", helpers="x = 1\n"))
    second = pack_bundle(write(tmp_path / "b", helpers="x = 1\n", job="import helpers\n"))
    assert first == second
    assert first.digest == hashlib.sha256(first.archive).hexdigest()


def test_files_that_are_not_python_are_told_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(SourceSyntaxError, match=r"helpers\.py:2: SyntaxError"):
        pack_bundle(write(tmp_path, job="import helpers\n", helpers="\ndef (:\n"))


def test_a_module_that_would_hide_one_of_python_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, job="").with_name("random.py")
    path.write_text("")
    with pytest.raises(BundleError, match=r"random\.py"):
        pack_bundle(path)


def test_too_large_a_bundle_is_refused(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(MAX_BUNDLE_BYTES).hex()
    with pytest.raises(BundleError, match="at most"):
        pack_bundle(write(tmp_path, job=f"# {noise}", a=""))
    assert MAX_BUNDLE_BYTES <= 5 * 1024 * 1024


@pytest.mark.parametrize(
    "name",
    [
        "../job.py",
        "/etc/job.py",
        "a/../../job.py",
        "C:\\job.py",
        "job.pyc",
        "job",
        "a-b.py",
        "hyperscale/x.py",
        "json.py",
        "x\x00.py",
    ],
)
def test_names_that_lead_elsewhere_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError):
        unpack_bundle(bundle_of(("job.py", b""), (name, b"x = 1")), tmp_path / "inside")
    assert not list(tmp_path.rglob("*"))


def test_links_twins_and_crowds_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("job.py")
    link.external_attr = 0o120777 << 16
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(link, b"/etc/passwd")
    for bundle in (
        signed(archive.getvalue()),
        bundle_of(("job.py", b""), ("JOB.py", b"")),
        bundle_of(*((f"m{n}.py", b"") for n in range(MAX_FILES + 1))),
    ):
        with pytest.raises(BundleError):
            unpack_bundle(bundle, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_bomb_is_refused_whatever_its_header_says(tmp_path: Path) -> None:
    bomb = bundle_of(("job.py", b"#" * (MAX_UNPACKED_BYTES + 1)))
    assert len(bomb.archive) < 100_000
    with pytest.raises(BundleError, match="unpacked"):
        unpack_bundle(bomb, tmp_path)
    halves = bundle_of(("a.py", b"#" * (MAX_UNPACKED_BYTES // 2 + 1)), ("b.py", b"#" * (MAX_UNPACKED_BYTES // 2 + 1)))
    with pytest.raises(BundleError, match="unpacked"):
        unpack_bundle(halves, tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 10, 50])
def test_what_is_not_an_archive_is_refused(tmp_path: Path, cut: int) -> None:
    whole = bundle_of(("job.py", b"x = 1")).archive
    with pytest.raises(BundleError):
        unpack_bundle(signed(whole[: len(whole) - cut - 1]), tmp_path)
    with pytest.raises(BundleError, match="SHA-256"):
        unpack_bundle(SourceBundle(digest="0" * 64, archive=whole, module="job"), tmp_path)


def test_a_loaded_bundle_leaves_no_trace(tmp_path: Path) -> None:
    job = write(tmp_path, job="import helpers_of_a_test\nvalue = helpers_of_a_test.x\n", helpers_of_a_test="x = 7\n")
    before = (set(sys.modules), list(sys.path))
    loaded = LoadedBundle(pack_bundle(job))
    assert loaded.module.value == 7
    place = Path(loaded.module.__file__ or "")
    assert place.parent.stat().st_mode & 0o077 == 0
    loaded.unload()
    assert (set(sys.modules), list(sys.path)) == before
    assert not place.parent.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_module_anywhere\n", r"^job\.py:1: ModuleNotFoundError"),
        ("x = 1\n1 / 0\n", r"^job\.py:2: ZeroDivisionError"),
        ("import helpers_of_a_test\n", r"^helpers_of_a_test\.py:3: KeyError"),
        ("import sys\nsys.exit(3)\n", r"^job\.py:2: SystemExit"),
    ],
)
def test_errors_of_the_import_are_told_with_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    bundle = pack_bundle(write(tmp_path, job=text, helpers_of_a_test="\n\n{}['x']\n"))
    before = list(sys.path)
    with pytest.raises(UserCodeError, match=told):
        LoadedBundle(bundle)
    assert sys.path == before
