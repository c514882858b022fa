"""Whether a worker's control process answers while its engines have every core busy."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from bench.engine.machine import GENERATOR_CORE, TARGET_CORE, machine_busy_seconds
from bench.engine.nginx_target import nginx_on
from bench.engine.percentiles import percentile
from bench.engine.settings import Settings
from bench.rows import Bound, Row
from hyperscale.v1 import node_pb2, worker_service_pb2_grpc
from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import local_cluster

USERS = 256
PING_EVERY_SECONDS = 0.01
RAMP_SECONDS = 2.0
PING_ROUNDS = 3
PING_TIMEOUT_SECONDS = 10.0


def measure(settings: Settings) -> list[Row]:
    """Ping of the worker, a hundred times a second, from a client on the same busy cores."""
    with (
        tempfile.TemporaryDirectory() as name,
        # A target on each core, and each user goes to both in turn, so that no engine waits while a core is free.
        nginx_on(TARGET_CORE) as first,
        nginx_on(GENERATOR_CORE) as second,
        local_cluster(Path(name)) as cluster,
    ):
        job_id = cluster.submit(_write_endless_job(Path(name), (first.url, second.url)))
        time.sleep(RAMP_SECONDS)
        before = machine_busy_seconds()
        pings_ms = asyncio.run(_ping(cluster.node("worker")["address"], PING_ROUNDS * settings.seconds))
        busy = (machine_busy_seconds() - before) / (PING_ROUNDS * settings.seconds) / (os.cpu_count() or 1)
        cluster.command("cancel", job_id)
    note = f"{len(pings_ms)} pings, slowest {max(pings_ms):.0f} ms, cores busy {busy:.0%}"
    return [Row("worker Ping p99 with all engines busy", percentile(pings_ms, 99), Bound.AT_MOST, 50, "ms", note)]


def _write_endless_job(directory: Path, urls: Sequence[str]) -> Path:
    steps = [{"name": f"target{number}", "http": {"url": f"{url}/"}} for number, url in enumerate(urls)]
    return write_job(directory, urls[0], workflow(steps=steps, constant_vus={"vus": USERS, "duration": "600s"}))


async def _ping(address: str, seconds: float) -> list[float]:
    """How long each took, for as long as asked: one that is slow keeps no other from being sent."""
    pings_ms: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as pings:
        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)

        async def ping() -> None:
            started = time.perf_counter()
            _ = await stub.Ping(node_pb2.PingRequest(), timeout=PING_TIMEOUT_SECONDS)
            pings_ms.append((time.perf_counter() - started) * 1000)

        due = time.perf_counter()
        for _ in range(round(seconds / PING_EVERY_SECONDS)):
            await asyncio.sleep(due - time.perf_counter())
            pings.create_task(ping())
            due += PING_EVERY_SECONDS
    return pings_ms
