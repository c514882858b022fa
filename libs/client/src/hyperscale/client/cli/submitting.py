"""Commands that hand a job to a cluster that runs, and follow it."""

from __future__ import annotations

from pathlib import Path

import click

from hyperscale.client.cli.following import JobFollower, open_view
from hyperscale.client.cli.interruption import Interruption, run_interruptibly
from hyperscale.client.cli.jobfiles import read_job, refuse_bundled_target, usable_outputs
from hyperscale.client.cli.options import (
    GateChoice,
    ViewChoice,
    echo_json,
    file_argument,
    gate_options,
    override_options,
    view_options,
)
from hyperscale.client.client import Client
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.reporters.outputs import Output
from hyperscale.client.results import iso_utc
from hyperscale.client.views.interface import JobView
from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.workload.overrides import JobOverrides


@click.command("submit")
@file_argument
@gate_options
@override_options
@click.option("--key", "idempotency_key", help="Submissions with the same key are one job.  [default: generated]")
@click.option(
    "--watch", is_flag=True, help="Follow the job to its end; its verdict is the exit code. Ctrl-C cancels it."
)
@view_options
def submit_command(
    *,
    file: Path,
    where: GateChoice,
    overrides: JobOverrides,
    idempotency_key: str | None,
    watch: bool,
    choice: ViewChoice,
) -> ExitCode:
    """Submit the job FILE."""
    submission, outputs = read_job(file, overrides, choice.outs)
    refuse_bundled_target(file, submission)
    submission.idempotency_key = idempotency_key or submission.idempotency_key
    gates = where.addresses()
    if not watch:
        return run_interruptibly(lambda _: _submit(gates, submission, choice))
    view = open_view(choice, submission)

    async def submit_and_follow(interruption: Interruption) -> ExitCode:
        async with Client(gates) as client:
            ack = await client.submit(submission)
            return await JobFollower(client, view, outputs, interruption).follow(ack.job_id)

    return run_interruptibly(submit_and_follow)


async def _submit(gates: tuple[str, ...], submission: JobSubmission, choice: ViewChoice) -> ExitCode:
    async with Client(gates) as client:
        ack = await client.submit(submission)
    if choice.as_json:
        echo_json({"job_id": ack.job_id, "gate_id": ack.gate_id, "submitted_at": iso_utc(ack.submitted_at)})
    else:
        click.echo(ack.job_id)
    return ExitCode.PASSED


@click.command("watch")
@click.argument("job_id")
@gate_options
@view_options
def watch_command(job_id: str, where: GateChoice, choice: ViewChoice) -> ExitCode:
    """Follow the job JOB_ID to its end; its verdict is the exit code. Ctrl-C leaves it running."""
    outputs = usable_outputs(choice.outs)
    gates, view = where.addresses(), open_view(choice, None)
    return run_interruptibly(lambda _: _watch(gates, job_id, view, outputs))


async def _watch(gates: tuple[str, ...], job_id: str, view: JobView, outputs: tuple[Output, ...]) -> ExitCode:
    async with Client(gates) as client:
        # Asked first, so that a wrong id is an error before anything is drawn.
        await client.get(job_id)
        return await JobFollower(client, view, outputs, None).follow(job_id)
