"""Commands about the nodes of a cluster."""

from __future__ import annotations

from typing import Any

import click
from google.protobuf.json_format import MessageToDict

from hyperscale.client.cli.jobs import echo_table, run_with_client
from hyperscale.client.cli.options import GateChoice, echo_json, gate_options, json_option
from hyperscale.client.client import Client
from hyperscale.client.exit_codes import ExitCode
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
