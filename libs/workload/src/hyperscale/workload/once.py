"""What a workflow does once, before or after all load of its job, as workflows of one user and one iteration.

Pure. The names tell them from load: whatever measures load leaves them out by `workflow_names.is_load`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.defaults import once_per, setup_timeout_seconds, teardown_timeout_seconds
from hyperscale.workload.graph import WorkflowGraph
from hyperscale.workload.template_validation import variables_in
from hyperscale.workload.timestamps import duration
from hyperscale.workload.workflow_names import SETUP_SUFFIX, TEARDOWN_SUFFIX


def extracted_by(steps: Iterable[workflow_pb2.Step]) -> set[str]:
    """Names of the variables that steps extract."""
    return {extraction.variable for step in steps for extraction in step.extract}


def setups_of(
    workflows: Collection[workflow_pb2.Workflow], *, is_first_datacenter: bool
) -> list[workflow_pb2.Workflow]:
    """The setups that one datacenter runs; that of a workflow waits for those of the workflows it depends on."""
    graph = WorkflowGraph(workflows)
    found = [workflow for workflow in workflows if workflow.setup and _is_here(workflow, is_first_datacenter)]
    setups = [_setup_of(workflow) for workflow in found]
    for workflow in found:
        dependents = graph.dependents_of(workflow.name)
        for other, setup in zip(found, setups, strict=True):
            if other.name in dependents:
                setup.depends_on.append(workflow.name + SETUP_SUFFIX)
    return setups


def teardown_of(workflow: workflow_pb2.Workflow, provided: Collection[str]) -> workflow_pb2.Workflow | None:
    """The teardown of a workflow, as far as it can be done with what its setup has provided; None when nothing is left."""
    steps = list(workflow.teardown) if workflow.class_name else list(_possible(workflow.teardown, set(provided)))
    if not steps:
        return None
    teardown = _once(workflow, workflow_pb2.WORKFLOW_ROLE_TEARDOWN, steps, teardown_timeout_seconds(workflow))
    teardown.name = workflow.name + TEARDOWN_SUFFIX
    # Which variables its templates may name.
    teardown.setup.extend(workflow.setup)
    return teardown


def is_once_per_job(workflow: workflow_pb2.Workflow) -> bool:
    """Whether setup and teardown of a workflow are done in one datacenter for all."""
    return once_per(workflow) == workflow_pb2.ONCE_SCOPE_JOB


def _is_here(workflow: workflow_pb2.Workflow, is_first_datacenter: bool) -> bool:
    return is_first_datacenter or not is_once_per_job(workflow)


def _setup_of(workflow: workflow_pb2.Workflow) -> workflow_pb2.Workflow:
    seconds = setup_timeout_seconds(workflow)
    setup = _once(workflow, workflow_pb2.WORKFLOW_ROLE_SETUP, workflow.setup, seconds)
    setup.name = workflow.name + SETUP_SUFFIX
    return setup


def _once(
    workflow: workflow_pb2.Workflow,
    role: workflow_pb2.WorkflowRole.ValueType,
    steps: Iterable[workflow_pb2.Step],
    timeout_seconds: float,
) -> workflow_pb2.Workflow:
    load = workflow_pb2.SharedIterations(vus=1, iterations=1, max_duration=duration(timeout_seconds))
    once = workflow_pb2.Workflow(shared_iterations=load, steps=steps, class_name=workflow.class_name, role=role)
    once.descriptor_set = workflow.descriptor_set
    once.graceful_stop.FromSeconds(0)
    return once


def _possible(steps: Iterable[workflow_pb2.Step], variables: set[str]) -> Iterable[workflow_pb2.Step]:
    """The steps whose variables are there."""
    for step in steps:
        if variables_in(step) <= variables:
            variables |= extracted_by([step])
            yield step
