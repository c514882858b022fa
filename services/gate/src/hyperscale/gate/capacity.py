"""What a datacenter can take, by the word of its managers. Pure.

Laws: what managers said counts for as long as the router trusts it, and not at all afterwards; what time has passed since they said it
is taken into account.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hyperscale.gate.models.managers import ConnectedManager, SpokenFor
from hyperscale.routing.capacity import aggregated, wait_seconds
from hyperscale.routing.models.candidates import CapacityReport, DatacenterCapacity, QueuedWork, RunningShard
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.v1 import gate_service_pb2, node_pb2, progress_pb2
from hyperscale.workload.timestamps import seconds_of

FRESH_SECONDS: Final = RoutingConfig().health_ttl_seconds


def capacity_of(news: progress_pb2.ManagerHeartbeat) -> DatacenterCapacity:
    """What a manager has just said of its datacenter's cores."""
    return DatacenterCapacity(
        news.total_cores,
        news.available_cores,
        news.queued_jobs,
        tuple(RunningShard(use.cores, seconds_of(use.ends_in)) for use in news.busy),
        tuple(QueuedWork(work.cores, seconds_of(work.lasts)) for work in news.waiting),
    )


def spoken_for(managers: Sequence[ConnectedManager], now_seconds: float) -> SpokenFor | None:
    """The word that counts for a datacenter, of all that its managers say; None when nothing is fresh enough."""
    report = aggregated([_report(manager, now_seconds) for manager in managers], FRESH_SECONDS)
    if report is None:
        return None
    manager = next(one for one in managers if one.heartbeat.node.node_id == report.manager)
    capacity = replace(report.capacity, age_seconds=report.age_seconds)
    return SpokenFor(manager.heartbeat, capacity, manager.slo)


def takes_jobs(word: SpokenFor | None) -> bool:
    """Whether a datacenter is known to have a leader that takes jobs."""
    return word is not None and word.heartbeat.is_leader and word.heartbeat.node.state == node_pb2.NODE_STATE_ACTIVE


def is_overloaded(news: progress_pb2.ManagerHeartbeat) -> bool:
    """Whether a manager does not keep up with its own work."""
    return news.node.overload == node_pb2.OVERLOAD_STATE_OVERLOADED


def fresh_count(managers: Sequence[ConnectedManager], now_seconds: float) -> int:
    """Managers that have spoken lately."""
    return sum(now_seconds - manager.heard_at_seconds <= FRESH_SECONDS for manager in managers)


def described(
    datacenter: str, managers: Sequence[ConnectedManager], now_seconds: float
) -> gate_service_pb2.DatacenterInfo:
    """A datacenter as people are shown it."""
    info = gate_service_pb2.DatacenterInfo(datacenter=datacenter, manager_count=fresh_count(managers, now_seconds))
    word = spoken_for(managers, now_seconds)
    if word is None:
        return info
    news, capacity = word.heartbeat, word.capacity
    info.available = takes_jobs(word)
    info.leader_id = news.node.node_id if news.is_leader else ""
    info.worker_count = news.worker_count
    info.total_cores = news.total_cores
    info.available_cores = news.available_cores
    info.active_jobs = news.active_jobs
    info.queued_jobs = news.queued_jobs
    info.busy_cores = sum(shard.cores for shard in capacity.running)
    info.waiting_cores = sum(work.cores for work in capacity.queued)
    wait = wait_seconds(capacity, 1)
    if math.isfinite(wait):
        info.core_wait_seconds = wait
    if news.HasField("request_latency"):
        info.request_latency.CopyFrom(news.request_latency)
    return info


def _report(manager: ConnectedManager, now_seconds: float) -> CapacityReport:
    news = manager.heartbeat
    age_seconds = now_seconds - manager.heard_at_seconds
    return CapacityReport(news.node.node_id, news.is_leader, news.term, age_seconds, manager.capacity)
