"""``hyperscale cluster``: a cluster on this machine that stays until it is stopped."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click

from hyperscale.client.cli.failures import CommandFailedError
from hyperscale.client.cli.interruption import Interruption, run_interruptibly
from hyperscale.client.cli.options import GateChoice, NodeCounts, count_options, echo_json, json_option, state_options
from hyperscale.client.cluster.local import LocalCluster, default_cores
from hyperscale.client.cluster.processes import is_running, running, stop_processes
from hyperscale.client.cluster.state import StateDirectory, node_json
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.models.cluster import ClusterLayout, ClusterState, Lifetime

_GRACE_SECONDS: Final = 10.0


@click.group("cluster")
def cluster_command() -> None:
    """A cluster of real processes on this machine."""


@cluster_command.command("up")
@count_options("1")
@state_options
@json_option
def up_command(counts: NodeCounts, where: GateChoice, as_json: bool) -> ExitCode:
    """Start a cluster with the datacenters dc-1, dc-2, …; returns once every node is ready."""
    names = tuple(f"dc-{number}" for number in range(1, (counts.datacenters or 1) + 1))
    cores = counts.cores if counts.cores is not None else default_cores(len(names) * counts.workers)
    layout = ClusterLayout(counts.gates, names, counts.managers, counts.workers, cores)
    with where.files.locked():
        state = _start(layout, where.files)
    if state is None:
        return ExitCode.INTERRUPTED
    if as_json:
        echo_json(_state_json(state))
    else:
        _echo_state(state)
    return ExitCode.PASSED


def _start(layout: ClusterLayout, files: StateDirectory) -> ClusterState | None:
    """Start everything, or nothing; None when the user interrupted it."""
    alive = running(files.read().processes)
    if alive:
        raise CommandFailedError(
            f"a cluster runs already in {files.path} ({len(alive)} processes); `hyperscale cluster down --state-dir {files.path}` stops it"
        )
    files.prepare()
    cluster = LocalCluster(layout, files.nodes, Lifetime.UNTIL_STOPPED, files.write)
    code = run_interruptibly(lambda interruption: _start_or_stop(cluster, files, interruption))
    if code is ExitCode.PASSED:
        return cluster.state
    if files.read().processes:
        # The interruption came when everything had started.
        asyncio.run(_stop(cluster, files, _GRACE_SECONDS))
    return None


async def _start_or_stop(cluster: LocalCluster, files: StateDirectory, interruption: Interruption) -> ExitCode:
    try:
        await cluster.start()
    except BaseException:
        await _stop(cluster, files, 0.0 if interruption.hurried else _GRACE_SECONDS)
        raise
    return ExitCode.PASSED


async def _stop(cluster: LocalCluster, files: StateDirectory, grace_seconds: float) -> None:
    await cluster.stop(grace_seconds)
    files.clear()


@cluster_command.command("down")
@state_options
@json_option
def down_command(where: GateChoice, as_json: bool) -> ExitCode:
    """Stop the cluster that `cluster up` started, and remove its files."""
    files = where.files
    if not files.read().processes:
        raise CommandFailedError(f"no cluster runs in {files.path}")
    with files.locked():
        state = files.read()
        return run_interruptibly(lambda _: _down(state, files, as_json))


async def _down(state: ClusterState, files: StateDirectory, as_json: bool) -> ExitCode:
    left = await stop_processes(state.processes, _GRACE_SECONDS)
    if left:
        raise CommandFailedError(f"still running: {', '.join(f'{p.node_id} (pid {p.pid})' for p in left)}")
    files.clear()
    stopped = [process.node_id for process in state.processes]
    if as_json:
        echo_json({"stopped": stopped})
    else:
        click.echo(f"stopped {', '.join(stopped)}")
    return ExitCode.PASSED


@cluster_command.command("status")
@state_options
@json_option
def status_command(where: GateChoice, as_json: bool) -> ExitCode:
    """Show which nodes of the cluster live; exit code 1 when one does not, or there is no cluster."""
    files = where.files
    state = files.read()
    if not state.processes:
        raise CommandFailedError(f"no cluster runs in {files.path}")
    if as_json:
        echo_json(_state_json(state))
    else:
        _echo_state(state)
    complete = len(running(state.processes)) == len(state.processes) == len(state.nodes)
    return ExitCode.PASSED if complete else ExitCode.ERROR


def _state_json(state: ClusterState) -> dict[str, Any]:
    nodes = [node_json(node) | {"alive": is_running(node.process)} for node in state.nodes]
    return {"gates": list(state.gates), "nodes": nodes}


def _echo_state(state: ClusterState) -> None:
    for node in state.nodes:
        entry = node_json(node)
        alive = "alive" if is_running(node.process) else "dead"
        click.echo(
            f"{alive:<6} {entry['role']:<8} {entry['datacenter'] or '-':<12} {entry['node_id']:<24}"
            f" {entry['address']:<22} pid {entry['pid']}"
        )
    click.echo(f"gates: {','.join(state.gates)}")
