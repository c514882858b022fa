"""What a manager is given and told, made in one line: workflows, statistics, workers and their reports."""

from typing import Any

from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.job_pb2 import JobFinalResult
from hyperscale.v1.node_pb2 import NODE_ROLE_WORKER, NODE_STATE_ACTIVE, Endpoint, NodeInfo
from hyperscale.v1.progress_pb2 import WorkerHeartbeat, WorkflowProgress
from hyperscale.v1.statistics_pb2 import StepStats, WorkflowStats
from hyperscale.v1.workflow_pb2 import HttpRequest, Priority, SharedIterations, Step, Workflow

CLUSTER, ENVIRONMENT, DATACENTER = "hyperscale", "default", "dc-1"


def workflow(
    name: str = "browse",
    *after: str,
    users: int = 4,
    iterations: int = 100,
    priority: Priority.ValueType = Priority.PRIORITY_AUTO,
) -> Workflow:
    return Workflow(
        name=name,
        depends_on=after,
        priority=priority,
        shared_iterations=SharedIterations(vus=users, iterations=iterations),
        steps=[Step(name="get", http=HttpRequest(url="/"))],
    )


def stats(workflow_name: str, requests: int) -> WorkflowStats:
    """Statistics with a number of requests."""
    return WorkflowStats(
        workflow_name=workflow_name, iterations=requests, steps=[StepStats(step_name="get", total_count=requests)]
    )


def requests_of(result: JobFinalResult) -> int:
    """Requests of a result."""
    return sum(step.total_count for workflow in result.statistics for step in workflow.steps)


def worker_heartbeat(worker_id: str, port: int, cores: int, *active: str) -> WorkerHeartbeat:
    """What a worker of the datacenter says of itself."""
    node = NodeInfo(
        node_id=worker_id,
        role=NODE_ROLE_WORKER,
        datacenter=DATACENTER,
        endpoint=Endpoint(host="127.0.0.1", port=port),
        state=NODE_STATE_ACTIVE,
        cluster_id=CLUSTER,
        environment_id=ENVIRONMENT,
    )
    return WorkerHeartbeat(node=node, total_cores=cores, active_shard_ids=active)


def progress_of(order: WorkflowDispatch, sequence: int, requests: int, **fields: Any) -> WorkflowProgress:
    """A report on a shard, as the worker that was given it would send."""
    return WorkflowProgress(
        job_id=order.job_id,
        shard_id=order.shard_id,
        attempt=order.attempt,
        fence_token=order.fence_token,
        progress_sequence=sequence,
        totals=stats(order.workflow.name, requests),
        **fields,
    )
