"""Makes a job file of captured requests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from hyperscale.client.conversion.errors import ConversionError
from hyperscale.client.conversion.requests import http_of
from hyperscale.client.models.captures import Capture, ConstantLoad
from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.faults import Fault, FaultCollector
from hyperscale.workload.jobfile import JobFileError, parse_job
from hyperscale.workload.limits import MAX_STEPS

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9.]+")
_LONGEST_STEM: Final = 56
_WIDTH: Final = 120


def job_text(capture: Capture, load: ConstantLoad, notes: FaultCollector) -> str:
    """A valid job file in YAML; what of the requests it does not say goes to `notes`.

    Raises
    ------
    ConversionError
        No request is left, or the job would not be valid.
    """
    https = _possible(capture, notes)
    if not https:
        raise ConversionError([*notes.faults(), Fault("", "has no request that can be represented")])
    target = _common_origin(https)
    document: dict[str, Any] = {
        "name": "converted",
        "target": target,
        **({"http_options": dict(capture.http_options)} if capture.http_options else {}),
        "workflows": [
            {
                "name": "requests",
                "constant_vus": {"vus": load.vus, "duration": load.duration},
                "steps": _steps(https, target),
            }
        ],
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDTH)
    try:
        parse_job(text, DocumentFormat.YAML)
    except JobFileError as error:
        raise ConversionError(error.faults) from error
    return text


def _possible(capture: Capture, notes: FaultCollector) -> list[dict[str, Any]]:
    """The requests that a workflow can have."""
    https: list[dict[str, Any]] = []
    for request in capture.requests:
        if len(https) == MAX_STEPS:
            notes.add(request.where, f"left out, with all that follow: a workflow has at most {MAX_STEPS} steps")
            break
        http = http_of(request, notes)
        if http is not None:
            https.append(http)
    return https


def _common_origin(https: Iterable[dict[str, Any]]) -> str:
    """The origin of most requests; of several, the first."""
    return Counter(_origin(http["url"]) for http in https).most_common(1)[0][0]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _steps(https: Sequence[dict[str, Any]], target: str) -> list[dict[str, Any]]:
    used: Counter[str] = Counter()
    return [{"name": _name(http, used), "http": {**http, "url": _within(http["url"], target)}} for http in https]


def _within(url: str, target: str) -> str:
    """The URL as a path where the target has the rest of it."""
    return url[len(target) :] if _origin(url) == target else url


def _name(http: dict[str, Any], used: Counter[str]) -> str:
    """Method and path as a name, with a number when it is not the first one of its kind."""
    words = _NOT_IN_NAMES.sub("-", f"{http.get('method', 'get')} {unquote(urlsplit(http['url']).path)}")
    stem = words.strip("-")[:_LONGEST_STEM].rstrip("-")
    used[stem] += 1
    # Stems have no "_", so that no number makes a name of another stem.
    return stem if used[stem] == 1 else f"{stem}_{used[stem]}"
