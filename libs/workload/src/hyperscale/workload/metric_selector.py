"""Names of metrics as thresholds write them: ``http_req_duration{workflow:browse,step:login}``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.limits import MAX_DECLARED_METRICS
from hyperscale.workload.metric_catalogue import METRICS, PROTOCOL_METRICS, MetricKind, MetricLevel
from hyperscale.workload.workflow_names import SETUP_SUFFIX, TEARDOWN_SUFFIX, is_load

MAX_SELECTOR_LENGTH: Final = 512

_SELECTOR: Final = re.compile(r"\s*(?P<metric>[A-Za-z_][A-Za-z0-9_]{0,63})\s*(?:\{(?P<tags>[^{}]*)\}\s*)?")
_PROTOCOLS: Final = {"websocket": "ws"}
"""Of the actions of steps that do not have the name of their protocol."""
_KINDS: Final[Mapping[workflow_pb2.CustomMetricKind.ValueType, MetricKind]] = {
    workflow_pb2.CUSTOM_METRIC_KIND_COUNTER: MetricKind.COUNTER,
    workflow_pb2.CUSTOM_METRIC_KIND_RATE: MetricKind.SHARE,
    workflow_pb2.CUSTOM_METRIC_KIND_TREND: MetricKind.TREND,
    workflow_pb2.CUSTOM_METRIC_KIND_GAUGE: MetricKind.GAUGE,
}
_EXAMPLE: Final = "http_req_duration{step:login}"
_SHOWN_NAME_LENGTH: Final = 80
_SHOWN_NAMES: Final = 10
_MAX_COMPARISONS: Final = 500
"""Of names for suggestions, over all thresholds of a job; names can be made so that each takes more than a millisecond."""


class MetricSelectorError(ValueError):
    """A name of a metric that cannot be read; the message says what would be valid."""


class MetricTag(Enum):
    """What a metric can be narrowed to; the value is how it is written."""

    DATACENTER = "datacenter"
    WORKFLOW = "workflow"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class MetricSelector:
    """A metric over everything, or narrowed to a datacenter, a workflow, steps of one name, or several of these.

    An empty name narrows nothing.
    """

    metric: str
    datacenter: str = ""
    workflow: str = ""
    step: str = ""


def parse_selector(text: str) -> MetricSelector:
    """Read a metric with its tags; raises MetricSelectorError.

    The metric need not be in the catalogue: which others there are only the job knows.
    """
    parsed = _SELECTOR.fullmatch(text) if len(text) <= MAX_SELECTOR_LENGTH else None
    if parsed is None:
        raise MetricSelectorError(f"must be a metric, or a metric with tags such as {_EXAMPLE!r}")
    metric, tags = parsed["metric"], _tags(parsed["tags"])
    known = METRICS.get(metric)
    if MetricTag.STEP in tags and known is not None and known.level is not MetricLevel.STEP:
        raise MetricSelectorError(f"{metric} is measured of workflows, not of steps")
    return MetricSelector(
        metric,
        datacenter=tags.get(MetricTag.DATACENTER, ""),
        workflow=tags.get(MetricTag.WORKFLOW, ""),
        step=tags.get(MetricTag.STEP, ""),
    )


class SelectorJudge:
    """Judges what the thresholds of a job name by what the job has, which is gone through once for all of them.

    Only so many names are compared for what may have been meant: a job may have thousands that take long to compare.
    """

    def __init__(self, submission: job_pb2.JobSubmission) -> None:
        self._custom = _custom_metrics(submission)
        self._own = {**_protocol_metrics(submission), **self._custom}
        self._may_measure_anything = _measures_in_secret(submission)
        self._steps_by_workflow = dict(_steps_by_workflow(submission))
        loads = (names for workflow, names in self._steps_by_workflow.items() if is_load(workflow))
        self._steps_of_loads = dict.fromkeys(name for names in loads for name in names)
        self._datacenters = dict.fromkeys(submission.datacenters.required)
        self._comparisons_left = _MAX_COMPARISONS

    @property
    def own_metrics(self) -> Mapping[str, MetricKind | None]:
        """Metrics that not every job has: those of its protocols, and those that code declares.

        Of which kind, unless two workflows do not agree on it.
        """
        return self._own

    def faults(self, selector: MetricSelector) -> Iterator[str]:
        """What the selector names that the job does not have.

        Datacenters are known only when the job requires some.
        """
        metric = selector.metric
        if metric not in METRICS and metric not in self._own and not self._may_measure_anything:
            yield f"no metric {_shown(metric)}{self._suggestion(metric, [*self._own, *METRICS])}"
        if selector.step and metric in self._custom:
            yield f"{metric} is measured of workflows, not of steps"
        if selector.workflow and selector.workflow not in self._steps_by_workflow:
            yield self._unknown(MetricTag.WORKFLOW, selector.workflow, self._steps_by_workflow)
        elif selector.step:
            steps = self._steps_by_workflow[selector.workflow] if selector.workflow else self._steps_of_loads
            if selector.step not in steps:
                yield self._unknown(MetricTag.STEP, selector.step, steps)
        if selector.datacenter and self._datacenters and selector.datacenter not in self._datacenters:
            yield self._unknown(MetricTag.DATACENTER, selector.datacenter, self._datacenters)

    def _unknown(self, tag: MetricTag, name: str, known: Iterable[str]) -> str:
        return f"the job has no {tag.value} {_shown(name)}{self._suggestion(name, known)}"

    def _suggestion(self, name: str, known: Iterable[str]) -> str:
        names = list(known)
        compared = names[: self._comparisons_left]
        self._comparisons_left -= len(compared)
        return _suggestion(name, names, compared)


def _custom_metrics(submission: job_pb2.JobSubmission) -> dict[str, MetricKind | None]:
    kinds: dict[str, MetricKind | None] = {}
    for workflow in submission.workflows:
        for metric in workflow.metrics.declared[:MAX_DECLARED_METRICS] if workflow.class_name else ():
            kind = _KINDS.get(metric.kind)
            kinds[metric.name] = kind if kinds.get(metric.name, kind) is kind else None
    return kinds


def _steps_by_workflow(submission: job_pb2.JobSubmission) -> Iterator[tuple[str, list[str]]]:
    """Names of steps by workflow, setups and teardowns included."""
    for workflow in submission.workflows:
        yield workflow.name, [step.name for step in workflow.steps]
        if workflow.setup:
            yield workflow.name + SETUP_SUFFIX, [step.name for step in workflow.setup]
        if workflow.teardown:
            yield workflow.name + TEARDOWN_SUFFIX, [step.name for step in workflow.teardown]


def _protocol_metrics(submission: job_pb2.JobSubmission) -> dict[str, MetricKind]:
    """Of the protocols that declared steps speak; code may speak all of them."""
    if any(workflow.class_name for workflow in submission.workflows):
        return {name: kind for metrics in PROTOCOL_METRICS.values() for name, kind in metrics.items()}
    actions = {step.WhichOneof("action") or "" for workflow in submission.workflows for step in workflow.steps}
    spoken = {_PROTOCOLS.get(action, action) for action in actions}
    return {
        name: kind
        for protocol, metrics in PROTOCOL_METRICS.items()
        if protocol in spoken
        for name, kind in metrics.items()
    }


def _measures_in_secret(submission: job_pb2.JobSubmission) -> bool:
    """Whether there is code that says nothing of what it measures, and so may measure whatever it likes."""
    return any(workflow.class_name and not workflow.HasField("metrics") for workflow in submission.workflows)


def _tags(text: str | None) -> dict[MetricTag, str]:
    tags: dict[MetricTag, str] = {}
    for entry in text.split(",") if text is not None else ():
        name, _, value = (part.strip() for part in entry.partition(":"))
        tag = _tag(name, value)
        if tag in tags:
            raise MetricSelectorError(f"the tag {name} is given twice")
        tags[tag] = value
    return tags


def _tag(name: str, value: str) -> MetricTag:
    tags = {tag.value: tag for tag in MetricTag}
    if not value:
        raise MetricSelectorError(f"tags are name:value pairs, as in {_EXAMPLE!r}")
    if name not in tags:
        known = list(tags)
        raise MetricSelectorError(f"no tag {_shown(name)}{_suggestion(name, known, known)}")
    return tags[name]


def _shown(name: str) -> str:
    return repr(name[:_SHOWN_NAME_LENGTH])


def _suggestion(name: str, names: Sequence[str], compared: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:_SHOWN_NAME_LENGTH], compared, n=1)
    more = ", …" if len(names) > _SHOWN_NAMES else ""
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names[:_SHOWN_NAMES])}{more}"
