"""The datacenters that a job could go to, as the router is to see them: from heartbeats and probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hyperscale.gate.capacity import fresh_count, is_overloaded, spoken_for, takes_jobs
from hyperscale.gate.datacenter_calls import DatacenterCaller
from hyperscale.gate.federation import DatacenterWatch
from hyperscale.gate.models.managers import ConnectedManager, SpokenFor
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.routing.models.candidates import DatacenterCandidate, DatacenterCapacity, DatacenterStaff, RoundTrip
from hyperscale.runtime.clock import Clock
from hyperscale.v1.swim_pb2 import SwimCrossAck

_UNKNOWN: Final = DatacenterCapacity(total_cores=0, free_cores=0)
"""Nothing can be started on what is not known to be there."""


class DatacenterCandidates:
    """Puts together what is known of each datacenter."""

    def __init__(
        self, registry: ManagerRegistry, watch: DatacenterWatch, caller: DatacenterCaller, clock: Clock
    ) -> None:
        self._registry = registry
        self._watch = watch
        self._caller = caller
        self._clock = clock

    def all(self) -> list[DatacenterCandidate]:
        """Every datacenter that has ever registered, by name."""
        now = self._clock.monotonic()
        return [self._candidate(name, now) for name in self._registry.datacenter_names]

    def round_trip(self, datacenter: str) -> RoundTrip | None:
        """What probes have measured of the way to a datacenter; None when nothing."""
        return self._watch.round_trip(datacenter, self._clock.monotonic())

    def _candidate(self, name: str, now_seconds: float) -> DatacenterCandidate:
        managers = self._registry.connected(name)
        word = spoken_for(managers, now_seconds)
        heard_at = max((manager.heard_at_seconds for manager in managers), default=self._registry.heard_at(name))
        return DatacenterCandidate(
            name,
            staff=self._staff(name, managers, word, now_seconds),
            capacity=_UNKNOWN if word is None else word.capacity,
            is_reachable=not self._watch.is_lost(name),
            heard_seconds_ago=now_seconds - heard_at if word is None else word.capacity.age_seconds,
            round_trip=self.round_trip(name),
            slo=None if word is None else word.slo,
        )

    def _staff(
        self, name: str, managers: Sequence[ConnectedManager], word: SpokenFor | None, now_seconds: float
    ) -> DatacenterStaff:
        """The nodes of a datacenter, those included that its group misses. Managers are of no use without a leader that takes jobs."""
        group, open_circuits = self._watch.answer(name) or SwimCrossAck(), self._caller.open_circuits(name)
        is_callable = open_circuits < len(managers)
        staff = DatacenterStaff(
            managers=max(len(managers), group.managers) if is_callable else len(managers),
            healthy_managers=fresh_count(managers, now_seconds) if takes_jobs(word) else 0,
            overloaded_managers=sum(is_overloaded(manager.heartbeat) for manager in managers),
            open_circuits=open_circuits,
        )
        if word is None:
            return staff
        news = word.heartbeat
        # Without workers it makes no difference who else was there.
        workers = max(news.worker_count, group.workers) if news.worker_count else 0
        return replace(
            staff,
            workers=workers,
            healthy_workers=news.healthy_worker_count,
            overloaded_workers=news.overloaded_worker_count,
            is_leader_overloaded=news.is_leader and is_overloaded(news),
        )
