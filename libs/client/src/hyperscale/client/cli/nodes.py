"""Commands about the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click
from google.protobuf.json_format import MessageToDict

from hyperscale.client.cli.jobs import echo_table, run_with_client
from hyperscale.client.cli.options import GateChoice, echo_json, gate_options, json_option, note
from hyperscale.client.client import Client
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.names import health_name, member_state_name, overload_name, reachability_name, role_name
from hyperscale.v1.gate_service_pb2 import DatacenterInfo
from hyperscale.v1.membership_service_pb2 import NodeListResponse, NodeStatus
from hyperscale.v1.node_pb2 import NodeInfo
from hyperscale.v1.progress_pb2 import RequestLatency

_DATACENTER_COLUMNS: Final = (
    "datacenter",
    "available",
    "reachability",
    "rtt_ms",
    "health",
    "leader_id",
    "manager_count",
    "worker_count",
    "total_cores",
    "available_cores",
    "busy_cores",
    "waiting_cores",
    "core_wait",
    "active_jobs",
    "health_reason",
)
_NODE_COLUMNS: Final = (
    "role",
    "datacenter",
    "node",
    "address",
    "state",
    "incarnation",
    "rtt_ms",
    "rtt_quality",
    "overload",
    "says",
)


@click.command("datacenters")
@gate_options
@json_option
def datacenters_command(where: GateChoice, as_json: bool) -> ExitCode:
    """List the datacenters that have registered, and whether they can be reached."""

    async def list_datacenters(client: Client) -> ExitCode:
        infos = [_info_json(info) for info in await client.datacenters()]
        if as_json:
            echo_json({"datacenters": infos})
        else:
            echo_table(_DATACENTER_COLUMNS, [_info_row(info) for info in infos])
        return ExitCode.PASSED

    return run_with_client(where, list_datacenters)


@click.command("nodes")
@gate_options
@json_option
def nodes_command(where: GateChoice, as_json: bool) -> ExitCode:
    """List every gate, manager and worker, and what the others of its group believe of it."""

    async def list_nodes(client: Client) -> ExitCode:
        answer = await client.nodes()
        if as_json:
            echo_json(_nodes_json(answer))
            return ExitCode.PASSED
        echo_table(_NODE_COLUMNS, [_node_row(status) for status in answer.nodes])
        for missing in answer.unanswered:
            note(f"the nodes of {missing.datacenter} are missing: {missing.error}")
        if answer.left_out:
            note(f"{answer.left_out} more nodes are not shown")
        return ExitCode.PASSED

    return run_with_client(where, list_nodes)


def _info_json(info: DatacenterInfo) -> dict[str, Any]:
    return {
        **MessageToDict(info, preserving_proto_field_name=True, always_print_fields_with_no_presence=True),
        "reachability": reachability_name(info.reachability),
        "rtt_ms": info.rtt_ms if info.HasField("rtt_ms") else None,
        "rtt_upper_ms": info.rtt_upper_ms if info.HasField("rtt_upper_ms") else None,
        "health": health_name(info.health) if info.health else None,
        "core_wait_seconds": info.core_wait_seconds if info.HasField("core_wait_seconds") else None,
        "request_latency": _latency_json(info.request_latency) if info.HasField("request_latency") else None,
    }


def _latency_json(latency: RequestLatency) -> dict[str, Any]:
    return {
        "count": latency.count,
        "p50_ms": latency.p50_ms,
        "p95_ms": latency.p95_ms,
        "p99_ms": latency.p99_ms,
    }


def _info_row(info: dict[str, Any]) -> tuple[object, ...]:
    shown = {
        **info,
        "rtt_ms": _span(info["rtt_ms"], info["rtt_upper_ms"]),
        "health": info["health"] or "-",
        "core_wait": _wait(info["core_wait_seconds"]),
    }
    return tuple(shown[column] for column in _DATACENTER_COLUMNS)


def _nodes_json(answer: NodeListResponse) -> dict[str, Any]:
    return {
        "nodes": [_node_json(status) for status in answer.nodes],
        "unanswered": {missing.datacenter: missing.error for missing in answer.unanswered},
        "left_out": answer.left_out,
    }


def _node_json(status: NodeStatus) -> dict[str, Any]:
    node = status.node
    return {
        "role": role_name(node.role),
        "datacenter": node.datacenter,
        "node_id": node.node_id,
        "address": _address(status),
        "state": member_state_name(status.state),
        "state_seconds": status.state_seconds,
        "incarnation": status.incarnation,
        "rtt_ms": status.rtt_ms if status.HasField("rtt_ms") else None,
        "rtt_upper_ms": status.rtt_upper_ms if status.HasField("rtt_upper_ms") else None,
        "rtt_quality": status.rtt_quality,
        "observer_id": status.observer_id,
        **_vitals_json(status),
    }


def _vitals_json(status: NodeStatus) -> dict[str, Any]:
    node = _told(status)
    return (
        {}
        if node is None
        else {"version": node.version, "overload": overload_name(node.overload), **_role_json(status)}
    )


def _role_json(status: NodeStatus) -> dict[str, Any]:
    match status.WhichOneof("vitals"):
        case "worker":
            return {"total_cores": status.worker.total_cores, "available_cores": status.worker.available_cores}
        case "manager":
            manager = status.manager
            return {
                "is_leader": manager.is_leader,
                "active_jobs": manager.active_jobs,
                "busy_workers": manager.busy_worker_count,
                "stressed_workers": manager.stressed_worker_count,
                "overloaded_workers": manager.overloaded_worker_count,
            }
        case _:
            return {"active_jobs": status.gate.active_jobs}


def _told(status: NodeStatus) -> NodeInfo | None:
    """What the node has said of itself, in any role; None when it has said nothing yet."""
    match status.WhichOneof("vitals"):
        case "worker":
            return status.worker.node
        case "manager":
            return status.manager.node
        case "gate":
            return status.gate.node
        case _:
            return None


def _node_row(status: NodeStatus) -> tuple[object, ...]:
    is_known, told = status.HasField("rtt_ms"), _told(status)
    return (
        role_name(status.node.role),
        status.node.datacenter,
        status.node.node_id,
        _address(status),
        member_state_name(status.state),
        status.incarnation,
        _span(status.rtt_ms, status.rtt_upper_ms) if is_known else "-",
        f"{status.rtt_quality:.2f}" if is_known else "-",
        "-" if told is None else overload_name(told.overload),
        _SAYINGS[status.WhichOneof("vitals")](status),
    )


_SAYINGS: Final[dict[str | None, Callable[[NodeStatus], str]]] = {
    "worker": lambda status: f"{status.worker.available_cores} of {status.worker.total_cores} cores free",
    "manager": lambda status: f"{'leads, ' if status.manager.is_leader else ''}{_jobs(status.manager.active_jobs)}",
    "gate": lambda status: _jobs(status.gate.active_jobs),
    None: lambda status: "-",
}


def _jobs(count: int) -> str:
    return f"{count} job{'s' if count != 1 else ''}"


def _address(status: NodeStatus) -> str:
    host = status.node.endpoint.host
    return f"[{host}]:{status.node.endpoint.port}" if ":" in host else f"{host}:{status.node.endpoint.port}"


def _wait(seconds: float | None) -> str:
    """When one core is free."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds else "none"


def _span(expected_ms: float | None, upper_ms: float | None) -> str:
    """What is usual, and what is seldom exceeded."""
    return "-" if expected_ms is None or upper_ms is None else f"{expected_ms:.2f} (to {upper_ms:.2f})"
