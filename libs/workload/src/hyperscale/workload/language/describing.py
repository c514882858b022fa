"""Reads a module of coded workflows as a job file would say it: names, load, dependencies and steps, but no code."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any

from hyperscale.workload.language.errors import WorkflowDefinitionError
from hyperscale.workload.language.feeds import feeds_of
from hyperscale.workload.language.metrics import Metric
from hyperscale.workload.language.profiles import ConstantVus, Profile, load_document
from hyperscale.workload.language.steps import is_step, ordered_steps
from hyperscale.workload.language.workflow import DONE_ONCE, Job, OnceScope, ThresholdForm, Workflow, dependencies_of


def workflow_classes(module: ModuleType) -> list[type[Workflow]]:
    """The workflows that a module itself defines and that have steps, in the order in which they are written."""
    return [
        entry
        for entry in vars(module).values()
        if isinstance(entry, type)
        and issubclass(entry, Workflow)
        and entry.__module__ == module.__name__
        and ordered_steps(entry)
    ]


def describe_job(module: ModuleType) -> dict[str, Any]:
    """The module as the document of a job file. Raises WorkflowDefinitionError when it is not one."""
    jobs = [entry for entry in vars(module).values() if isinstance(entry, Job)]
    if len(jobs) > 1:
        raise WorkflowDefinitionError("there is more than one Job")
    workflows = [_workflow(entry) for entry in workflow_classes(module)]
    if not workflows:
        raise WorkflowDefinitionError("there is no class that is based on Workflow and has steps")
    return (_job(jobs[0]) if jobs else {}) | {"workflows": workflows}


def metrics_of_class(workflow_class: type[Workflow]) -> list[Metric]:
    """The metrics that a class declares, by name. Raises WorkflowDefinitionError when two have one name."""
    declared = {
        id(entry): entry
        for base in workflow_class.__mro__
        for entry in vars(base).values()
        if isinstance(entry, Metric)
    }
    metrics = sorted(declared.values(), key=lambda metric: metric.name)
    for first, second in pairwise(metrics):
        if first.name == second.name:
            raise WorkflowDefinitionError(f"{workflow_class.__name__} has two metrics named {first.name!r}")
    return metrics


def _workflow(workflow_class: type[Workflow]) -> dict[str, Any]:
    metrics = [{"name": metric.name, "kind": metric.kind.value} for metric in metrics_of_class(workflow_class)]
    document: dict[str, Any] = {
        "name": workflow_class.__name__,
        "class_name": workflow_class.__name__,
        "steps": [{"name": bound.definition.name} for bound in ordered_steps(workflow_class)],
        "metrics": {"declared": metrics},
        **load_document(_profile(workflow_class)),
    }
    feeds = [feed.document(name) for name, feed in feeds_of(workflow_class).items()]
    if feeds:
        document["feeds"] = feeds
    if dependencies_of(workflow_class):
        document["depends_on"] = list(dependencies_of(workflow_class))
    document |= _once(workflow_class)
    if workflow_class.graceful_stop:
        document["graceful_stop"] = workflow_class.graceful_stop
    if workflow_class.descriptor_set:
        document["descriptor_set"] = workflow_class.descriptor_set
    if workflow_class.think_time:
        document["think_time"] = {"constant": workflow_class.think_time}
    return document


def _once(workflow_class: type[Workflow]) -> dict[str, Any]:
    """Setup and teardown."""
    names = [name for name in DONE_ONCE if getattr(workflow_class, name) is not getattr(Workflow, name)]
    document: dict[str, Any] = {name: [{"name": name}] for name in names}
    for name in names:
        function = getattr(workflow_class, name)
        if not inspect.iscoroutinefunction(function):
            raise WorkflowDefinitionError(f"{name} of {workflow_class.__name__} must be written as `async def`")
        if is_step(function):
            raise WorkflowDefinitionError(f"{name} of {workflow_class.__name__} is done once, and cannot be a step too")
        timeout = getattr(workflow_class, f"{name}_timeout")
        document |= {f"{name}_timeout": timeout} if timeout else {}
    scope = OnceScope(workflow_class.once_per)
    return document | ({"once_per": scope.value} if names and scope is not OnceScope.JOB else {})


def _profile(workflow_class: type[Workflow]) -> Profile:
    profile = workflow_class.profile
    if profile is None:
        return ConstantVus(workflow_class.vus, workflow_class.duration)
    if not isinstance(profile, Profile):
        raise WorkflowDefinitionError(f"profile of {workflow_class.__name__} is not a load profile")
    return profile


def _job(job: Job) -> dict[str, Any]:
    document: dict[str, Any] = {
        name: value for name in ("name", "target", "distribution", "timeout") if (value := getattr(job, name))
    }
    if job.http_options:
        document["http_options"] = dict(job.http_options)
    if job.variables:
        document["variables"] = dict(job.variables)
    if job.datacenters:
        places = job.datacenters
        document["datacenters"] = dict(places) if isinstance(places, Mapping) else {"required": list(places)}
    if job.thresholds:
        document["thresholds"] = _thresholds(job.thresholds)
    return document


def _thresholds(thresholds: Mapping[str, ThresholdForm | Sequence[ThresholdForm]]) -> list[dict[str, Any]]:
    return [
        {"metric": metric} | (dict(form) if isinstance(form, Mapping) else {"expression": form})
        for metric, forms in thresholds.items()
        for form in (forms if isinstance(forms, list | tuple) else [forms])
    ]
