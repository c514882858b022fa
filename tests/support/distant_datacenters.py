"""A gate, and datacenters of one manager and one core each that are as far away as a test says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperscale.v1.gate_service_pb2 import DatacenterInfo
from tests.support.delay_relay import DelayRelay, delay_relay
from tests.support.local_cluster import LocalCluster
from tests.support.processes import eventually
from tests.support.services import Service, Services, services

_CALM = 0.2
"""Share of a round trip that the longest one measured lately may be above it."""
_SAMPLES = 5
"""Probes of a datacenter after which scores, and no longer free cores, rank it."""


@dataclass(frozen=True, slots=True)
class DistantDatacenters:
    """Processes of this machine, and the ways between them."""

    cluster: LocalCluster
    gate: Service
    ways: Mapping[str, DelayRelay]

    def infos(self) -> dict[str, dict[str, Any]]:
        """What `hyperscale datacenters` shows, by name."""
        shown = self.cluster.command("datacenters", "--json").last_json["datacenters"]
        return {info["datacenter"]: info for info in shown}

    def until_calm(self) -> None:
        """Wait until every datacenter can be reached, has its core free and is ranked by its distance, and no probe of it has taken unusually long lately."""
        eventually(
            lambda: all(map(_is_calm, self.gate.datacenters().values())), what="steady round trips", within_seconds=120
        )

    def routing(self, job_id: str) -> dict[str, Any]:
        """Why a job runs where it does."""
        decision: dict[str, Any] = self.cluster.command("result", job_id, "--routing", "--json").last_json["routing"]
        return decision


def _is_calm(info: DatacenterInfo) -> bool:
    is_measured = info.rtt_samples >= _SAMPLES and info.rtt_upper_ms <= (1 + _CALM) * info.rtt_ms
    return bool(info.available_cores) and is_measured


@contextmanager
def distant_datacenters(
    directory: Path, round_trips_seconds: Mapping[str, float], *gate_options: str
) -> Iterator[DistantDatacenters]:
    """Datacenters for the length of the block; gate and workers reach managers by ways that take half a round trip each way."""
    with ExitStack() as stack:
        ways = {
            name: stack.enter_context(delay_relay(f"127.0.1.{number}", seconds / 2))
            for number, (name, seconds) in enumerate(round_trips_seconds.items(), start=1)
        }
        nodes = stack.enter_context(services(directory, "--membership-profile", "local"))
        gate = nodes.gate("gate", *gate_options)
        for manager in [_start_manager(nodes, directory, name, way, gate) for name, way in ways.items()]:
            nodes.ready(manager)
        for worker in [_start_worker(nodes, name, way) for name, way in ways.items()]:
            nodes.ready(worker)
        yield DistantDatacenters(LocalCluster(directory, (gate.address,), ()), gate, ways)


def _start_manager(nodes: Services, directory: Path, name: str, way: DelayRelay, gate: Service) -> Service:
    place = ("--host", way.target_host, "--port", str(way.port), "--advertise-host", way.host)
    store = ("--store-url", f"sqlite://{directory / name}.db")
    return nodes.start("manager", f"manager-{name}", "--datacenter", name, *store, *place, "--gates", gate.address)


def _start_worker(nodes: Services, name: str, way: DelayRelay) -> Service:
    manager = f"{way.target_host}:{way.port}"
    return nodes.start("worker", f"worker-{name}", "--datacenter", name, "--managers", manager, "--cores", "1")
