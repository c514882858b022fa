"""Follows a job to its end on whichever view fits where the output goes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import aclosing

import click

from hyperscale.client.cli.interruption import Interruption
from hyperscale.client.cli.options import ViewChoice, note
from hyperscale.client.client import Client
from hyperscale.client.errors import ClientError
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.reporters.interface import JobReport
from hyperscale.client.reporters.outputs import Output, ReporterFailures, send_to_all
from hyperscale.client.results import result_json
from hyperscale.client.views.interface import JobView
from hyperscale.client.views.progress import JobProgress, expected_seconds
from hyperscale.client.views.texts import TextOutput, json_view, plain_view, quiet_view
from hyperscale.v1.job_pb2 import GlobalJobResult, JobSubmission, Verdict


def open_view(choice: ViewChoice, submission: JobSubmission | None) -> JobView:
    """The view that fits: JSON lines, the summary alone, a live screen on a terminal, plain lines elsewhere."""
    output = TextOutput(click.echo, note)
    if choice.as_json:
        return json_view(output)
    if choice.quiet:
        return quiet_view(output)
    progress = JobProgress(expected_seconds(submission) if submission is not None else None)
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return _terminal_view(progress)
    return plain_view(progress, output)


def _terminal_view(progress: JobProgress) -> JobView:
    from hyperscale.client.views.live import terminal_view  # noqa: PLC0415 - rich is slow to import

    return terminal_view(progress)


class JobFollower:
    """Watches one job until it ends, shows it, and reports it.

    Parameters
    ----------
    client
        Connection to the gates.
    view
        Where it is shown.
    outputs
        Where the result goes besides.
    interruption
        Cancels the job when it comes; None: the job is somebody else's and runs on.
    """

    def __init__(
        self, client: Client, view: JobView, outputs: Sequence[Output], interruption: Interruption | None
    ) -> None:
        self._client = client
        self._view = view
        self._outputs = outputs
        self._interruption = interruption

    async def follow(self, job_id: str) -> ExitCode:
        """Show the job to its end; a job that is cancelled on the way still shows what was measured."""
        with self._view:
            self._view.submitted(job_id)
            result = await self._watch(job_id)
        self._view.ended(job_id, result)
        report = JobReport(job_id, result_json(job_id, result))
        await send_to_all(self._outputs, report, ReporterFailures(note))
        return verdict_exit_code(result)

    async def _watch(self, job_id: str) -> GlobalJobResult:
        if self._interruption is None:
            return await self._show_events(job_id)
        async with asyncio.TaskGroup() as group:

            def cancel() -> None:
                group.create_task(self._cancel(job_id))

            with self._interruption.gently(cancel):
                return await self._show_events(job_id)

    async def _show_events(self, job_id: str) -> GlobalJobResult:
        async with aclosing(self._client.watch(job_id)) as events:
            async for event in events:
                self._view.happened(event)
                if event.HasField("result"):
                    return event.result
        raise AssertionError("a watch ends with the result or raises")

    async def _cancel(self, job_id: str) -> None:
        self._view.noted("cancelling the job; Ctrl-C once more leaves at once")
        try:
            await self._client.cancel(job_id, reason="interrupted by its user")
        except ClientError as error:
            self._view.noted(f"the job could not be cancelled: {error}")


def verdict_exit_code(result: GlobalJobResult) -> ExitCode:
    """0 for a job that passed, 99 for any other end."""
    return ExitCode.PASSED if result.verdict == Verdict.VERDICT_PASSED else ExitCode.FAILED
