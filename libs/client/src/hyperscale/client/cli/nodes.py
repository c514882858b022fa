"""Commands about the nodes of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from google.protobuf.json_format import MessageToDict

from hyperscale.client.cli.jobs import echo_table, run_with_client
from hyperscale.client.cli.options import GateChoice, addresses_option, echo_json, gate_options, json_option
from hyperscale.client.client import Client
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.models.pings import Answer, NodePing
from hyperscale.v1.gate_service_pb2 import DatacenterInfo

_COLUMNS = (
    "datacenter",
    "available",
    "leader_id",
    "manager_count",
    "worker_count",
    "total_cores",
    "available_cores",
    "active_jobs",
)


@click.command("datacenters")
@gate_options
@json_option
def datacenters_command(where: GateChoice, as_json: bool) -> ExitCode:
    """List the datacenters that have registered."""

    async def list_datacenters(client: Client) -> ExitCode:
        infos = [_info_json(info) for info in await client.datacenters()]
        if as_json:
            echo_json({"datacenters": infos})
        else:
            echo_table(_COLUMNS, [tuple(info[column] for column in _COLUMNS) for info in infos])
        return ExitCode.PASSED

    return run_with_client(where, list_datacenters)


def _info_json(info: DatacenterInfo) -> dict[str, Any]:
    return MessageToDict(info, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


@click.command("ping")
@gate_options
@addresses_option("manager", help_text="Managers to ask as well, HOST:PORT.")
@json_option
def ping_command(where: GateChoice, managers: tuple[str, ...], as_json: bool) -> ExitCode:
    """Ask every gate, and the managers named, whether they answer."""

    async def ping(client: Client) -> ExitCode:
        async with asyncio.TaskGroup() as group:
            of_gates = group.create_task(client.ping())
            of_managers = group.create_task(client.ping_managers(managers))
        answers = [*_pings_json("gate", of_gates.result()), *_pings_json("manager", of_managers.result())]
        if as_json:
            echo_json({"nodes": answers})
        else:
            rows = [(a["role"], a["address"], f"{a['round_trip_ms']:.1f}ms", a["error"] or "ok") for a in answers]
            echo_table(("role", "address", "round_trip", "answer"), rows)
        silent = any(answer["error"] for answer in answers)
        return ExitCode.UNREACHABLE if silent else ExitCode.PASSED

    return run_with_client(where, ping)


def _pings_json(role: str, pings: Sequence[NodePing[Answer]]) -> list[dict[str, Any]]:
    return [
        {"role": role, "address": ping.address, "round_trip_ms": ping.round_trip_ms, "error": ping.error}
        for ping in pings
    ]
