"""``hyperscale run``: a cluster of its own, one job, one verdict, nothing left behind."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import click

from hyperscale.client.cli.failures import BadConfigurationError
from hyperscale.client.cli.following import JobFollower, open_view
from hyperscale.client.cli.interruption import Interruption, run_interruptibly
from hyperscale.client.cli.jobfiles import read_job, uses_bundled_target
from hyperscale.client.cli.options import (
    NodeCounts,
    ViewChoice,
    count_options,
    file_argument,
    note,
    override_options,
    view_options,
)
from hyperscale.client.client import Client
from hyperscale.client.cluster.local import LocalCluster, default_cores
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.models.cluster import ClusterLayout, ClusterState, Lifetime
from hyperscale.client.reporters.outputs import Output
from hyperscale.client.views.interface import JobView
from hyperscale.v1.job_pb2 import DatacenterSelection, JobSubmission
from hyperscale.workload.faults import Fault
from hyperscale.workload.overrides import JobOverrides

_GRACE_SECONDS: Final = 5.0
_LOCAL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")


@click.command("run")
@file_argument
@count_options("those of the job, else 1")
@override_options
@view_options
def run_command(file: Path, counts: NodeCounts, overrides: JobOverrides, choice: ViewChoice) -> ExitCode:
    """Run the job FILE on a cluster of its own on this machine, which is gone afterwards."""
    submission, outputs = read_job(file, overrides, choice.outs)
    layout = plan_layout(str(file), submission, counts)
    view = open_view(choice, submission)
    if not choice.quiet:
        note(f"starting a local cluster: {layout}")
    return run_interruptibly(lambda interruption: _LocalRun(submission, view, outputs, interruption).run(layout))


def plan_layout(subject: str, submission: JobSubmission, counts: NodeCounts) -> ClusterLayout:
    """The cluster that a job needs: datacenters have the names the job mentions, others are dc-1, dc-2, …

    Raises
    ------
    BadConfigurationError
        The job mentions datacenters that the cluster asked for does not have.
    """
    named = _named_datacenters(submission.datacenters)
    required = list(named)
    least = max(1, len(required), submission.datacenters.count + len(submission.datacenters.exclude))
    wanted = counts.datacenters if counts.datacenters is not None else least
    faults = [*_unknown_datacenters(named, wanted), *_unusable_names(named), *_too_few(submission.datacenters, wanted)]
    if faults:
        raise BadConfigurationError(subject, faults)
    spare = (name for number in range(1, wanted + len(required) + 1) if (name := f"dc-{number}") not in required)
    datacenters = (*required, *(next(spare) for _ in range(wanted - len(required))))
    cores = counts.cores if counts.cores is not None else default_cores(wanted * counts.workers)
    return ClusterLayout(counts.gates, datacenters, counts.managers, counts.workers, cores)


def _named_datacenters(selection: DatacenterSelection) -> dict[str, str]:
    """Where the job mentions each datacenter first, by its name."""
    fields = (("required", selection.required), ("preferred", selection.preferred), ("exclude", selection.exclude))
    places = [(name, f"datacenters.{field}[{index}]") for field, names in fields for index, name in enumerate(names)]
    named: dict[str, str] = {}
    for name, path in places:
        named.setdefault(name, path)
    return named


def _unknown_datacenters(named: dict[str, str], wanted: int) -> Iterator[Fault]:
    for name in list(named)[wanted:]:
        message = f"there is no datacenter {name!r}: the cluster has {wanted}, the job requires {len(named)}"
        yield Fault(named[name], message)


def _unusable_names(named: dict[str, str]) -> Iterator[Fault]:
    for name, path in named.items():
        if not _LOCAL_NAME.fullmatch(name):
            message = "a local datacenter's name begins with a letter or digit and has at most 48 characters"
            yield Fault(path, message)


def _too_few(selection: DatacenterSelection, wanted: int) -> Iterator[Fault]:
    left = wanted - len(selection.exclude)
    if selection.count > left:
        yield Fault(
            "datacenters.count", f"the job asks for {selection.count}, the cluster has {max(0, left)} that it may use"
        )


class _LocalRun:
    """One job on a cluster that lives as long as it."""

    def __init__(
        self, submission: JobSubmission, view: JobView, outputs: tuple[Output, ...], interruption: Interruption
    ) -> None:
        self._submission = submission
        self._view = view
        self._outputs = outputs
        self._interruption = interruption

    async def run(self, layout: ClusterLayout) -> ExitCode:
        """Start, run, stop, remove."""
        with _temporary_directory() as directory:
            cluster = LocalCluster(layout, directory, Lifetime.WITH_PARENT, _keep_nothing)
            async with _stopped_at_the_end(cluster, self._interruption):
                state = await self._start(cluster)
                return await self._run_job(state.gates)

    async def _start(self, cluster: LocalCluster) -> ClusterState:
        async with asyncio.TaskGroup() as group:
            if uses_bundled_target(self._submission):
                group.create_task(self._provide_target(cluster))
            start = group.create_task(cluster.start())
        return start.result()

    async def _provide_target(self, cluster: LocalCluster) -> None:
        self._submission.target = await cluster.start_target()

    async def _run_job(self, gates: tuple[str, ...]) -> ExitCode:
        async with Client(gates) as client:
            ack = await client.submit(self._submission)
            return await JobFollower(client, self._view, self._outputs, self._interruption).follow(ack.job_id)


def _keep_nothing(state: ClusterState) -> None:
    """The cluster of a run is known to this process alone."""


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="hyperscale-run-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def _stopped_at_the_end(cluster: LocalCluster, interruption: Interruption) -> AsyncIterator[None]:
    try:
        yield
    finally:
        left = await cluster.stop(0.0 if interruption.hurried else _GRACE_SECONDS)
        for process in left:
            note(f"{process.node_id} (pid {process.pid}) could not be stopped")
