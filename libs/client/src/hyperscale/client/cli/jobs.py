"""Commands about jobs that were submitted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import click

from hyperscale.client.cli.following import verdict_exit_code
from hyperscale.client.cli.interruption import run_interruptibly
from hyperscale.client.cli.options import GateChoice, echo_json, gate_options, json_option, note
from hyperscale.client.client import Client
from hyperscale.client.errors import JobNotFinishedError
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.names import status_name, workflow_status_name
from hyperscale.client.results import iso_utc, result_json, status_json, summary_json
from hyperscale.client.views.routing import COLUMNS, fallback_lines, routing_json, routing_rows
from hyperscale.client.views.summary import summary_text
from hyperscale.v1.gate_service_pb2 import DatacenterWorkflowStatus
from hyperscale.v1.job_pb2 import GlobalJobStatus, WorkflowStatusInfo


def run_with_client(where: GateChoice, work: Callable[[Client], Awaitable[ExitCode]]) -> ExitCode:
    """Run one command that needs a connection."""
    addresses = where.addresses()

    async def connected() -> ExitCode:
        async with Client(addresses) as client:
            return await work(client)

    return run_interruptibly(lambda _: connected())


@click.command("cancel")
@click.argument("job_id")
@gate_options
@click.option("--reason", default="", help="Recorded with the job.")
@json_option
def cancel_command(job_id: str, where: GateChoice, reason: str, as_json: bool) -> ExitCode:
    """Stop the job JOB_ID; when this returns, the cancellation is durable."""

    async def cancel(client: Client) -> ExitCode:
        response = await client.cancel(job_id, reason)
        status = status_name(response.status)
        if as_json:
            echo_json({"job_id": job_id, "status": status})
        else:
            click.echo(f"{job_id} {status}")
        return ExitCode.PASSED

    return run_with_client(where, cancel)


@click.command("jobs")
@gate_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most jobs to show.")
@json_option
def jobs_command(where: GateChoice, limit: int, as_json: bool) -> ExitCode:
    """List jobs, newest first."""

    async def list_jobs(client: Client) -> ExitCode:
        summaries = [summary_json(job) for job in await client.jobs(limit)]
        if as_json:
            echo_json({"jobs": summaries})
        else:
            columns = ("job_id", "status", "verdict", "submitted_at", "name")
            echo_table(columns, [tuple(summary[column] or "-" for column in columns) for summary in summaries])
        return ExitCode.PASSED

    return run_with_client(where, list_jobs)


@click.command("result")
@click.argument("job_id")
@gate_options
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for the job to end; `inf` is as long as it takes.",
)
@click.option(
    "--routing", "shows_routing", is_flag=True, help="Show why the job runs in its datacenters, ended or not."
)
@json_option
def result_command(job_id: str, where: GateChoice, wait_seconds: float, shows_routing: bool, as_json: bool) -> ExitCode:
    """Show the result of the job JOB_ID, its verdict is the exit code; or how it stands, with exit code 1."""

    async def show(client: Client) -> ExitCode:
        if shows_routing:
            _echo_routing(await client.get(job_id), as_json)
            return ExitCode.PASSED
        try:
            result = await client.result(job_id, wait_seconds)
        except JobNotFinishedError as error:
            status = await client.get(job_id)
            if not status.HasField("result"):
                if as_json:
                    echo_json(status_json(status))
                note(str(error))
                return ExitCode.ERROR
            # It has ended since.
            result = status.result
        if as_json:
            echo_json(result_json(job_id, result))
        else:
            click.echo(summary_text(job_id, result))
        return verdict_exit_code(result)

    return run_with_client(where, show)


def _echo_routing(status: GlobalJobStatus, as_json: bool) -> None:
    if as_json:
        echo_json({"job_id": status.job_id, "routing": routing_json(status.routing)})
        return
    click.echo(status.routing.reason)
    echo_table(COLUMNS, [*routing_rows(status.routing)])
    for line in fallback_lines(status.routing.fallbacks):
        click.echo(line)


@click.command("query")
@click.argument("job_id", default="")
@gate_options
@click.option("--workflow", "workflows", multiple=True, help="Only workflows of this name.")
@json_option
def query_command(job_id: str, where: GateChoice, workflows: tuple[str, ...], as_json: bool) -> ExitCode:
    """Show workflows as their datacenters have them now: of JOB_ID, or of all jobs that have not ended."""

    async def query(client: Client) -> ExitCode:
        datacenters = [_datacenter_json(part) for part in await client.query_workflows(job_id, workflows)]
        if as_json:
            echo_json({"datacenters": datacenters})
        else:
            _echo_workflows(datacenters)
        return ExitCode.PASSED

    return run_with_client(where, query)


def _datacenter_json(part: DatacenterWorkflowStatus) -> dict[str, Any]:
    document: dict[str, Any] = {
        "datacenter": part.datacenter,
        "workflows": [_workflow_json(workflow) for workflow in part.workflows],
    }
    return document | ({"error": part.error} if part.error else {})


def _workflow_json(workflow: WorkflowStatusInfo) -> dict[str, Any]:
    return {
        "workflow": workflow.workflow_name,
        "job_id": workflow.job_id,
        "status": workflow_status_name(workflow.status),
        "reason": workflow.reason,
        "cores": workflow.provisioned_cores,
        "vus": workflow.vus,
        "workers": list(workflow.assigned_workers),
        "history": [
            {"status": workflow_status_name(change.status), "at": iso_utc(change.at), "reason": change.reason}
            for change in workflow.history
        ],
    }


def _echo_workflows(datacenters: list[dict[str, Any]]) -> None:
    columns = ("workflow", "status", "cores", "vus", "job_id", "reason")
    rows = [
        (part["datacenter"], *(workflow[column] for column in columns))
        for part in datacenters
        for workflow in part["workflows"]
    ]
    echo_table(("datacenter", *columns), rows)
    for part in datacenters:
        if "error" in part:
            click.echo(f"{part['datacenter']} could not be asked: {part['error']}", err=True)


def echo_table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Write rows in columns as wide as their longest cell."""
    cells = [header, *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
