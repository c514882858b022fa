"""Job files: a JobSubmission as YAML or JSON, with every fault told at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from hyperscale.v1.job_pb2 import JobSubmission, SourceBundle
from hyperscale.v1.protocol import MAX_SUBMISSION_BYTES
from hyperscale.workload.attachments import attach_files
from hyperscale.workload.documents import DocumentError, DocumentFormat, read_document
from hyperscale.workload.faults import Fault, FaultCollector
from hyperscale.workload.mapping import merge_into_message
from hyperscale.workload.overrides import JobOverrides
from hyperscale.workload.validation import validate_job_file

_FORMATS: Final = {
    ".yaml": DocumentFormat.YAML,
    ".yml": DocumentFormat.YAML,
    ".json": DocumentFormat.JSON,
}
_PATH_PART: Final = re.compile(r"[.\[]")


class JobFileError(ValueError):
    """A job file that cannot be used; carries every fault found."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


_NO_OVERRIDES: Final = JobOverrides()


def load_job_file(path: Path, overrides: JobOverrides = _NO_OVERRIDES) -> JobSubmission:
    """Read and judge a job file; its extension says how it is written.

    Returns
    -------
    JobSubmission
        Valid, except that its target may be ``urls.BUNDLED_TARGET``: who runs the job replaces it by a real one.
    """
    document_format = _FORMATS.get(path.suffix.lower())
    if document_format is None:
        raise JobFileError([Fault("", f"{path}: a job file ends in {', '.join(_FORMATS)}, a job in Python in .py")])
    return job_of_document(_document(_read_text(path), document_format), overrides, directory=path.parent)


def parse_job(text: str, document_format: DocumentFormat, overrides: JobOverrides = _NO_OVERRIDES) -> JobSubmission:
    """Read and judge the text of a job file, as `load_job_file` does; it cannot name files."""
    return job_of_document(_document(text, document_format), overrides)


def _document(text: str, document_format: DocumentFormat) -> object:
    size_bytes = len(text.encode(errors="surrogatepass"))
    if size_bytes > MAX_SUBMISSION_BYTES:
        raise JobFileError([_too_large(size_bytes)])
    try:
        data = read_document(text, document_format)
    except DocumentError as error:
        raise JobFileError(error.faults) from error
    return {} if data is None else data


def job_of_document(
    document: object,
    overrides: JobOverrides = _NO_OVERRIDES,
    bundle: SourceBundle | None = None,
    directory: Path | None = None,
) -> JobSubmission:
    """Judge the document of a job file as `load_job_file` does.

    Parameters
    ----------
    bundle
        Source of its coded workflows.
    directory
        Where the names of files in it begin; None: it cannot name any.
    """
    submission = JobSubmission(bundle=bundle)
    structural = FaultCollector()
    if directory is not None:
        attach_files(document, directory, structural)
    merge_into_message(document, submission, structural)
    if overrides.target is not None:
        submission.target = overrides.target
    submission.variables.update(overrides.variables)
    faults = _all_faults(structural.faults(), validate_job_file(submission))
    if faults:
        raise JobFileError(faults)
    return submission


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SUBMISSION_BYTES + 1)
            if len(content) > MAX_SUBMISSION_BYTES:
                raise JobFileError([_too_large(path.stat().st_size)])
    except OSError as error:
        raise JobFileError([Fault("", f"{path} cannot be read: {error.strerror or error}")]) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise JobFileError([Fault(f"line {line}", "is not UTF-8")]) from error


def _too_large(size_bytes: int) -> Fault:
    return Fault("", f"has {size_bytes:,} bytes, the limit is {MAX_SUBMISSION_BYTES:,}")


def _all_faults(structural: list[Fault], judged: list[Fault]) -> list[Fault]:
    """Both kinds, without what only follows from a field that could not be read."""
    unread = [_PATH_PART.split(fault.path) for fault in structural]
    collector = FaultCollector()
    collector.extend(structural)
    collector.extend(
        fault for fault in judged if not any(_is_within(_PATH_PART.split(fault.path), parts) for parts in unread)
    )
    return collector.faults()


def _is_within(parts: list[str], outer: list[str]) -> bool:
    """Whether a path is the other one or leads on from it; the document as a whole contains every path."""
    return outer == [""] or parts[: len(outer)] == outer
