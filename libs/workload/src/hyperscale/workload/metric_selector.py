"""Names of metrics as thresholds write them: ``http_req_duration{workflow:browse,step:login}``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.metric_catalogue import METRICS, MetricKind, MetricLevel
from hyperscale.workload.once import SETUP_SUFFIX, TEARDOWN_SUFFIX, is_load

MAX_SELECTOR_LENGTH: Final = 512

_SELECTOR: Final = re.compile(r"\s*(?P<metric>[A-Za-z_][A-Za-z0-9_]{0,63})\s*(?:\{(?P<tags>[^{}]*)\}\s*)?")
_HTTP_ACTIONS: Final = frozenset({"http", "graphql"})
_PREFIXES: Final = {"websocket": "ws"}
"""What the metrics of a step's action begin with, where it is not the name of the action."""
_ACTIONS: Final = workflow_pb2.Step.DESCRIPTOR.oneofs_by_name["action"].fields
_KINDS: Final[Mapping[workflow_pb2.CustomMetricKind.ValueType, MetricKind]] = {
    workflow_pb2.CUSTOM_METRIC_KIND_COUNTER: MetricKind.COUNTER,
    workflow_pb2.CUSTOM_METRIC_KIND_RATE: MetricKind.SHARE,
    workflow_pb2.CUSTOM_METRIC_KIND_TREND: MetricKind.TREND,
    workflow_pb2.CUSTOM_METRIC_KIND_GAUGE: MetricKind.GAUGE,
}
_EXAMPLE: Final = "http_req_duration{step:login}"
_SHOWN_NAME_LENGTH: Final = 80
_SHOWN_NAMES: Final = 10


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


def selection_faults(selector: MetricSelector, submission: job_pb2.JobSubmission) -> Iterator[str]:
    """What the selector names that the job does not have.

    Datacenters are known only when the job requires some; metrics of other protocols are known by the beginnings of their names.
    """
    custom = custom_metrics(submission)
    if (
        selector.metric not in METRICS
        and selector.metric not in custom
        and not _may_produce(submission, selector.metric)
    ):
        yield f"no metric {_shown(selector.metric)}{_suggestion(selector.metric, [*custom, *METRICS])}"
    if selector.step and selector.metric in custom:
        yield f"{selector.metric} is measured of workflows, not of steps"
    steps_by_workflow = dict(_steps_by_workflow(submission))
    if selector.workflow and selector.workflow not in steps_by_workflow:
        yield _unknown(MetricTag.WORKFLOW, selector.workflow, steps_by_workflow)
    elif selector.step:
        loads = (names for workflow, names in steps_by_workflow.items() if is_load(workflow))
        chosen = [steps_by_workflow[selector.workflow]] if selector.workflow else loads
        steps = dict.fromkeys(name for names in chosen for name in names)
        if selector.step not in steps:
            yield _unknown(MetricTag.STEP, selector.step, steps)
    datacenters = submission.datacenters.required
    if selector.datacenter and datacenters and selector.datacenter not in datacenters:
        yield _unknown(MetricTag.DATACENTER, selector.datacenter, datacenters)


def custom_metrics(submission: job_pb2.JobSubmission) -> dict[str, MetricKind | None]:
    """Metrics that code declares; of which kind, unless two workflows do not agree on it."""
    kinds: dict[str, MetricKind | None] = {}
    for workflow in submission.workflows:
        for metric in workflow.metrics.declared if workflow.class_name else ():
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


def _may_produce(submission: job_pb2.JobSubmission, metric: str) -> bool:
    """Whether a metric that nobody declares can come from code that says nothing of its metrics, or from another protocol.

    Code may speak all of them.
    """
    coded = [workflow for workflow in submission.workflows if workflow.class_name]
    if any(not workflow.HasField("metrics") for workflow in coded):
        return True
    actions = {step.WhichOneof("action") for workflow in submission.workflows for step in workflow.steps}
    spoken = {field.name for field in _ACTIONS} if coded else {action for action in actions if action}
    return any(metric.startswith(f"{_PREFIXES.get(action, action)}_") for action in spoken - _HTTP_ACTIONS)


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
        raise MetricSelectorError(f"no tag {_shown(name)}{_suggestion(name, tags)}")
    return tags[name]


def _unknown(tag: MetricTag, name: str, known: Iterable[str]) -> str:
    return f"the job has no {tag.value} {_shown(name)}{_suggestion(name, known)}"


def _shown(name: str) -> str:
    return repr(name[:_SHOWN_NAME_LENGTH])


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name[:_SHOWN_NAME_LENGTH], names, n=1)
    more = ", …" if len(names) > _SHOWN_NAMES else ""
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names[:_SHOWN_NAMES])}{more}"
