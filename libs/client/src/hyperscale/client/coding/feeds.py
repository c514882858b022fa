"""Files of data feeds, which a job written in Python names and its submission brings along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hyperscale.v1.protocol import MAX_SUBMISSION_BYTES
from hyperscale.workload.faults import Fault


class FeedFileError(ValueError):
    """A file that cannot be the rows of a feed; the text says why."""


def read_feed_files(document: dict[str, Any], directory: Path) -> list[Fault]:
    """Put the content of the feeds' files into the document of a job, and tell of those that cannot be read.

    Parameters
    ----------
    directory
        Where names of files begin.
    """
    faults: list[Fault] = []
    for at, workflow in enumerate(document["workflows"]):
        for index, feed in enumerate(workflow.get("feeds", ())):
            if "file" not in feed:
                continue
            name = feed.pop("file")
            try:
                feed.update(_content(directory / name))
            except FeedFileError as error:
                faults.append(Fault(f"workflows[{at}].feeds[{index}]", f"{name} {error}"))
    return faults


def _content(path: Path) -> dict[str, Any]:
    text = _text(path)
    if path.suffix == ".csv":
        return {"csv": text}
    try:
        return {"json": json.loads(text)}
    except ValueError as error:
        raise FeedFileError(f"is not JSON: {error}") from error


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SUBMISSION_BYTES + 1)
        if len(content) > MAX_SUBMISSION_BYTES:
            raise FeedFileError(f"has more than {MAX_SUBMISSION_BYTES:,} bytes, the most that a job may have in all")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise FeedFileError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FeedFileError(f"is not UTF-8 (line {content.count(bytes([10]), 0, error.start) + 1})") from error
