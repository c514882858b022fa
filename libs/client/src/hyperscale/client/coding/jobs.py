"""Reads a job that is written in Python: packs its source, and has a process of its own say what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from hyperscale.client.coding.errors import CodedJobError
from hyperscale.client.coding.feeds import read_feed_files
from hyperscale.client.coding.variables import missing_variables
from hyperscale.v1.job_pb2 import JobSubmission, SourceBundle
from hyperscale.workload.bundles import BundleError, SourceSyntaxError, pack_bundle
from hyperscale.workload.faults import Fault
from hyperscale.workload.jobfile import JobFileError, job_of_document
from hyperscale.workload.overrides import JobOverrides

_IMPORT_TIMEOUT_SECONDS: Final = 30.0
_OUTPUT_LINES: Final = 20


def load_coded_job(path: Path, overrides: JobOverrides) -> JobSubmission:
    """Read and judge a Python file, as `load_job_file` does a job file.

    Raises
    ------
    CodedJobError
        The code fails when it is imported.
    JobFileError
        With every fault of the job that the code describes.
    """
    try:
        bundle = pack_bundle(path)
    except SourceSyntaxError as error:
        raise CodedJobError(str(error)) from error
    except BundleError as error:
        raise JobFileError([Fault("", str(error))]) from error
    except OSError as error:
        raise JobFileError([Fault("", f"{path} cannot be read: {error.strerror or error}")]) from error
    document = _described(path, bundle)
    faults = read_feed_files(document, path.parent)
    if faults:
        raise JobFileError(faults)
    submission = job_of_document(document, overrides, bundle, path.parent)
    faults = missing_variables(bundle, submission.variables)
    if faults:
        raise JobFileError(faults)
    return submission


def _described(path: Path, bundle: SourceBundle) -> dict[str, Any]:
    """The document of the job."""
    try:
        child = subprocess.run(
            [sys.executable, "-m", f"{__package__}.describe"],
            input=bundle.SerializeToString(),
            capture_output=True,
            timeout=_IMPORT_TIMEOUT_SECONDS,
            check=False,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise CodedJobError(f"{path.name}: its import takes longer than {_IMPORT_TIMEOUT_SECONDS:g} s") from error
    answer = _answer(child.stdout)
    if answer is None:
        said = "\n".join(child.stderr.decode(errors="replace").splitlines()[-_OUTPUT_LINES:])
        raise CodedJobError(
            f"{path.name}: its import ended the process (exit code {child.returncode}){said and chr(10)}{said}"
        )
    if "error" in answer:
        raise CodedJobError(str(answer["error"]))
    document: dict[str, Any] = answer["job"]
    return document


def _answer(output: bytes) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        return None
    return answer
