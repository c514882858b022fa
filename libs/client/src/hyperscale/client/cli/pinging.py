"""``hyperscale ping``: whether nodes, or a URL, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import click

from hyperscale.client.cli.failures import BadConfigurationError
from hyperscale.client.cli.jobs import echo_table, run_with_client
from hyperscale.client.cli.options import GateChoice, addresses_option, echo_json, gate_options, json_option
from hyperscale.client.client import Client
from hyperscale.client.exit_codes import ExitCode
from hyperscale.client.models.pings import Answer, NodePing
from hyperscale.client.models.probes import Probe
from hyperscale.client.names import error_class_name
from hyperscale.client.probing import probe_url
from hyperscale.workload.faults import Fault
from hyperscale.workload.urls import is_path, url_fault

_PROBE_TIMEOUT_SECONDS: Final = 10.0
_MOST_PROBES: Final = 100


@click.command("ping")
@click.argument("url", required=False)
@gate_options
@addresses_option("manager", help_text="Managers to ask as well, HOST:PORT.")
@click.option("--count", type=click.IntRange(1, _MOST_PROBES), help="Requests to URL.  [default: 1]")
@json_option
def ping_command(
    where: GateChoice, url: str | None, managers: tuple[str, ...], count: int | None, as_json: bool
) -> ExitCode:
    """Ask every gate, and the managers named, whether they answer; or send a request to a URL, from this machine."""
    if url is None:
        if count is not None:
            raise click.UsageError("--count needs a URL")
        return _ping_nodes(where, managers, as_json)
    if managers:
        raise click.UsageError("--manager and a URL exclude each other")
    return _ping_url(url, count or 1, as_json)


def _ping_url(url: str, count: int, as_json: bool) -> ExitCode:
    fault = "must be an http:// or https:// URL" if is_path(url) else url_fault(url)
    if fault is not None:
        raise BadConfigurationError("options", [Fault("URL", fault)])
    probes = asyncio.run(_probes(url, count))
    if as_json:
        echo_json({"url": url, "requests": [_probe_json(probe) for probe in probes]})
    else:
        echo_table(("status", "size_bytes", *probes[0].phases_ms, "answer"), [_probe_row(probe) for probe in probes])
    return ExitCode.ERROR if any(probe.error for probe in probes) else ExitCode.PASSED


async def _probes(url: str, count: int) -> list[Probe]:
    """One after the other, each on a connection of its own."""
    return [await probe_url(url, _PROBE_TIMEOUT_SECONDS) for _ in range(count)]


def _probe_json(probe: Probe) -> dict[str, Any]:
    return {
        "status": probe.status,
        "size_bytes": probe.size_bytes,
        **probe.phases_ms,
        "error_class": None if probe.error_class is None else error_class_name(probe.error_class),
        "error": probe.error,
    }


def _probe_row(probe: Probe) -> tuple[object, ...]:
    answer = "ok" if probe.error_class is None else f"{error_class_name(probe.error_class)}: {probe.error}"
    shown = ["-" if time_ms is None else f"{time_ms:.2f}" for time_ms in probe.phases_ms.values()]
    return (probe.status or "-", probe.size_bytes, *shown, answer)


def _ping_nodes(where: GateChoice, managers: tuple[str, ...], as_json: bool) -> ExitCode:
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
