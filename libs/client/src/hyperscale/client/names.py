"""Enum values of the contract as the short lower-case names that people and pipelines read."""

from __future__ import annotations

from hyperscale.v1.gate_service_pb2 import DatacenterReachability
from hyperscale.v1.job_pb2 import JobStatus, Verdict, WorkflowStatus
from hyperscale.v1.node_pb2 import NodeRole, OverloadState
from hyperscale.v1.routing_pb2 import RoutingHealth, RoutingOutcome, RoutingRanking, RoutingScope
from hyperscale.v1.statistics_pb2 import ErrorClass
from hyperscale.v1.swim_pb2 import SwimDatacenterHealth, SwimState


def status_name(status: JobStatus.ValueType) -> str:
    """``JOB_STATUS_COMPLETED`` as ``completed``; a value of a newer release as its number."""
    return _short(JobStatus.Name(status), "JOB_STATUS_") if status in JobStatus.values() else str(status)


def workflow_status_name(status: WorkflowStatus.ValueType) -> str:
    """``WORKFLOW_STATUS_RUNNING`` as ``running``."""
    return _short(WorkflowStatus.Name(status), "WORKFLOW_STATUS_") if status in WorkflowStatus.values() else str(status)


def verdict_name(verdict: Verdict.ValueType) -> str:
    """``VERDICT_PASSED`` as ``passed``."""
    return _short(Verdict.Name(verdict), "VERDICT_") if verdict in Verdict.values() else str(verdict)


def routing_scope_name(scope: RoutingScope.ValueType) -> str:
    """``ROUTING_SCOPE_ALL`` as ``all``."""
    return _short(RoutingScope.Name(scope), "ROUTING_SCOPE_") if scope in RoutingScope.values() else str(scope)


def routing_ranking_name(ranking: RoutingRanking.ValueType) -> str:
    """``ROUTING_RANKING_SCORE`` as ``score``."""
    return (
        _short(RoutingRanking.Name(ranking), "ROUTING_RANKING_") if ranking in RoutingRanking.values() else str(ranking)
    )


def routing_outcome_name(outcome: RoutingOutcome.ValueType) -> str:
    """``ROUTING_OUTCOME_CHOSEN`` as ``chosen``."""
    return (
        _short(RoutingOutcome.Name(outcome), "ROUTING_OUTCOME_") if outcome in RoutingOutcome.values() else str(outcome)
    )


def routing_health_name(health: RoutingHealth.ValueType) -> str:
    """``ROUTING_HEALTH_BUSY`` as ``busy``."""
    return _short(RoutingHealth.Name(health), "ROUTING_HEALTH_") if health in RoutingHealth.values() else str(health)


def error_class_name(error_class: ErrorClass.ValueType) -> str:
    """``ERROR_CLASS_TIMEOUT`` as ``timeout``."""
    return (
        _short(ErrorClass.Name(error_class), "ERROR_CLASS_") if error_class in ErrorClass.values() else str(error_class)
    )


def role_name(role: NodeRole.ValueType) -> str:
    """``NODE_ROLE_WORKER`` as ``worker``."""
    return _short(NodeRole.Name(role), "NODE_ROLE_") if role in NodeRole.values() else str(role)


def overload_name(overload: OverloadState.ValueType) -> str:
    """``OVERLOAD_STATE_BUSY`` as ``busy``; ``unspecified`` from a node that does not say."""
    return (
        _short(OverloadState.Name(overload), "OVERLOAD_STATE_") if overload in OverloadState.values() else str(overload)
    )


def member_state_name(state: SwimState.ValueType) -> str:
    """``SWIM_STATE_ALIVE`` as ``alive``."""
    return _short(SwimState.Name(state), "SWIM_STATE_") if state in SwimState.values() else str(state)


def reachability_name(reachability: DatacenterReachability.ValueType) -> str:
    """``DATACENTER_REACHABILITY_REACHABLE`` as ``reachable``; ``unspecified`` from a gate that does not probe."""
    if reachability not in DatacenterReachability.values():
        return str(reachability)
    return _short(DatacenterReachability.Name(reachability), "DATACENTER_REACHABILITY_")


def health_name(health: SwimDatacenterHealth.ValueType) -> str:
    """``SWIM_DATACENTER_HEALTH_BUSY`` as ``busy``; ``unspecified`` when nothing is known."""
    if health not in SwimDatacenterHealth.values():
        return str(health)
    return _short(SwimDatacenterHealth.Name(health), "SWIM_DATACENTER_HEALTH_")


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
