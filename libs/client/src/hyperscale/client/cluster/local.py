"""Starts a local cluster in three waves, and stops everything it started."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from hyperscale.client.cluster.launching import Launched, LaunchPlan, launch, wait_until_all_ready
from hyperscale.client.cluster.processes import stop_processes
from hyperscale.client.models.cluster import ClusterLayout, ClusterState, Lifetime, LocalRole, NodeProcess, ReadyNode

_HOST: Final = "127.0.0.1"
_MEMBERSHIP: Final = ("--membership-profile", "local")
_DRAIN_TIMEOUT_SECONDS: Final = "5"


def default_cores(workers_in_all: int) -> int:
    """Cores for each local worker, so that all of them together use the machine once."""
    return max(1, usable_cpus() // workers_in_all)


def usable_cpus() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalCluster:
    """The processes of one local cluster.

    Parameters
    ----------
    layout
        What to start.
    directory
        Existing directory for logs, stores and ready files; nothing outside it is written.
    lifetime
        Whether the processes end with this one.
    changed
        Is told the state whenever a process was started or a wave became ready, so that it can be written down.
    """

    def __init__(
        self, layout: ClusterLayout, directory: Path, lifetime: Lifetime, changed: Callable[[ClusterState], None]
    ) -> None:
        self._layout = layout
        self._directory = directory
        self._lifetime = lifetime
        self._changed = changed
        self._launched: list[Launched] = []
        self._ready: tuple[ReadyNode, ...] = ()

    @property
    def state(self) -> ClusterState:
        """What was started, and what of it is ready."""
        return ClusterState(tuple(one.process for one in self._launched), self._ready)

    async def start(self) -> ClusterState:
        """Start gates, then managers, then workers; every wave at once.

        Raises
        ------
        NodeStartError
            A node did not become ready (within an ExceptionGroup); what was started still runs, `stop` ends it.
        """
        gates = await self._start_gates()
        gate_addresses = _addresses(gates)
        managers = await self._wave(list(self._manager_plans(gate_addresses)))
        await self._wave(list(self._worker_plans(managers)))
        return self.state

    async def start_target(self) -> str:
        """Start the bundled target server; returns its base URL."""
        plan = self._plan(LocalRole.TARGET, "target", "hyperscale.client.target", ())
        launched = self._start(plan)
        (target,) = await wait_until_all_ready([launched])
        return target.address if "://" in target.address else f"http://{target.address}"

    async def stop(self, grace_seconds: float) -> tuple[NodeProcess, ...]:
        """Stop everything, at once when the wait is cancelled; returns what could not be stopped."""
        processes = self.state.processes
        try:
            return await stop_processes(processes, grace_seconds)
        except asyncio.CancelledError:
            _ = await stop_processes(processes, 0.0)
            raise
        finally:
            for one in self._launched:
                one.ended()

    async def _wave(self, plans: Sequence[LaunchPlan]) -> tuple[ReadyNode, ...]:
        launched = [self._start(plan) for plan in plans]
        ready = await wait_until_all_ready(launched)
        self._ready += ready
        self._changed(self.state)
        return ready

    def _start(self, plan: LaunchPlan) -> Launched:
        launched = launch(plan, self._directory)
        self._launched.append(launched)
        self._changed(self.state)
        return launched

    async def _start_gates(self) -> tuple[ReadyNode, ...]:
        """The first one by itself: it tells the others of each other."""
        first, *others = self._layout.gates * [("--store-url", self._store_url("gates"))]
        gates = await self._wave([self._node(LocalRole.GATE, "gate-1", first)])
        seeds = ("--gates", _addresses(gates))
        plans = [self._node(LocalRole.GATE, f"gate-{n}", (*store, *seeds)) for n, store in enumerate(others, 2)]
        return gates + await self._wave(plans) if plans else gates

    def _manager_plans(self, gate_addresses: str) -> Iterator[LaunchPlan]:
        for datacenter in self._layout.datacenters:
            store_url = self._store_url(f"datacenter-{datacenter}")
            arguments = ("--datacenter", datacenter, "--store-url", store_url, "--gates", gate_addresses)
            for number in range(1, self._layout.managers + 1):
                yield self._node(LocalRole.MANAGER, f"{datacenter}-manager-{number}", arguments)

    def _worker_plans(self, managers: Sequence[ReadyNode]) -> Iterator[LaunchPlan]:
        cores = str(self._layout.cores)
        for datacenter in self._layout.datacenters:
            mine = _addresses([manager for manager in managers if manager.datacenter == datacenter])
            arguments = ("--datacenter", datacenter, "--managers", mine, "--cores", cores, "--allow-python")
            for number in range(1, self._layout.workers + 1):
                yield self._node(LocalRole.WORKER, f"{datacenter}-worker-{number}", arguments)

    def _node(self, role: LocalRole, node_id: str, arguments: tuple[str, ...]) -> LaunchPlan:
        own = (
            "--node-id",
            node_id,
            "--host",
            _HOST,
            "--drain-timeout-seconds",
            _DRAIN_TIMEOUT_SECONDS,
            *_MEMBERSHIP,
            *arguments,
        )
        return self._plan(role, node_id, f"hyperscale.{role}", own)

    def _plan(self, role: LocalRole, node_id: str, module: str, arguments: tuple[str, ...]) -> LaunchPlan:
        with_parent = ("--parent-pid", str(os.getpid())) if self._lifetime is Lifetime.WITH_PARENT else ()
        return LaunchPlan(role, node_id, module, (*arguments, "--port", "0", *with_parent))

    def _store_url(self, name: str) -> str:
        return f"sqlite://{quote(str(self._directory / name))}.db"


def _addresses(nodes: Sequence[ReadyNode]) -> str:
    return ",".join(node.address for node in nodes)
