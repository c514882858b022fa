"""Failure detection: each member in turn is pinged; without an answer others are asked to try, and a stream is; then it is suspect.

SWIM (Das et al., DSN 2002) with Lifeguard's nacks: helpers that got no answer either say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hyperscale.swim.beliefs import Beliefs
from hyperscale.swim.confirmation import UNTRACKED
from hyperscale.swim.members import MemberRecord
from hyperscale.swim.models import MemberState, NodeAddress, Role
from hyperscale.swim.refusals import RefusalReason
from hyperscale.swim.shared import Shared
from hyperscale.swim.streams import Streams
from hyperscale.swim.timers import TimerKind
from hyperscale.swim.wire import encode_ping, encode_ping_request

NACK_SHARE: Final = 0.8
"""Share of the timeout after which a helper gives up hope."""
_PACE_MIN: Final = 0.1


def probes_per_interval(role: Role, leaders: int, workers: int, most: float) -> float:
    """How many members a node probes per interval, so that each is probed about once in it by somebody.

    Parameters
    ----------
    leaders, workers
        Gates and managers, and workers, that are present, this node included. Everybody probes the former, managers the latter.
    most
        Bound, for the sake of a manager with very many workers.
    """
    everybody = max(1, leaders + workers - 1)
    if role is Role.WORKER:
        return max(_PACE_MIN, min(1.0, leaders / everybody))
    share = max(0, leaders - 1) / everybody
    return min(most, max(_PACE_MIN, share + (workers / max(1, leaders) if role is Role.MANAGER else 0.0)))


@dataclass(slots=True)
class _Probe:
    target_id: str
    sent_at: float
    timeout_seconds: float
    helpers: set[str] = field(default_factory=set)
    nacks: set[str] = field(default_factory=set)


class Prober:
    """The probes of this node that are under way."""

    def __init__(self, shared: Shared, beliefs: Beliefs, streams: Streams) -> None:
        self._shared = shared
        self._beliefs = beliefs
        self._streams = streams
        self._probes: dict[int, _Probe] = {}
        self._sequence = UNTRACKED

    def next_sequence(self) -> int:
        """Return a number no other ping of this node has."""
        self._sequence += 1
        return self._sequence

    def start(self, now: float) -> None:
        """Begin to probe, at a random time of the first interval so that nodes started together do not probe together."""
        self._schedule(now, self._shared.rng.random())

    def probe_next(self, now: float) -> None:
        """Probe whose turn it is."""
        self._schedule(now, 1.0)
        shared = self._shared
        node_id = shared.table.probed.next(shared.rng, self._is_probed)
        record = None if node_id is None else shared.table.get(node_id)
        if record is None:
            return
        sequence = self.next_sequence()
        timeout = shared.timeouts.probe_seconds(record, now)
        self._probes[sequence] = _Probe(record.node_id, now, timeout)
        # What helpers answer arrives after the direct timeout and most of another one.
        end = now + max(shared.timeouts.interval_seconds(), timeout * (1 + NACK_SHARE))
        shared.timers.schedule((TimerKind.PROBE_INDIRECT, sequence), now + timeout)
        shared.timers.schedule((TimerKind.PROBE_END, sequence), end)
        shared.journal.traffic.probes += 1
        is_suspect = record.state is MemberState.SUSPECT
        first = self._beliefs.accusation(record) if is_suspect and shared.config.buddy else b""
        shared.outbox.send(record.address, encode_ping(sequence, record.node_id, record.metadata_version), first)

    def ask_helpers(self, sequence: int, now: float) -> None:
        """Ask others to try, because the direct answer did not come; try a stream besides."""
        probe = self._probes.get(sequence)
        target = None if probe is None else self._shared.table.get(probe.target_id)
        if probe is None or target is None:
            return
        shared = self._shared
        body = encode_ping_request(sequence, target.node_id, probe.timeout_seconds * NACK_SHARE)
        for helper in self._choose_helpers(target):
            probe.helpers.add(helper.node_id)
            shared.outbox.send(helper.address, body)
        if shared.config.stream_probe:
            self._streams.open_probe(target, sequence, now)

    def end(self, sequence: int, now: float) -> None:
        """Suspect the target: no answer came on any way. Then doubt oneself, too."""
        probe = self._probes.pop(sequence, None)
        if probe is None:
            return
        shared = self._shared
        shared.timers.cancel((TimerKind.PROBE_END, sequence))
        shared.journal.traffic.probes_failed += 1
        record = shared.table.get(probe.target_id)
        if record is not None and not shared.local.is_leaving:
            # Before this node doubts itself for the same silence: it would wait twice as long for its suspect, too.
            self._beliefs.suspect(record, record.incarnation, shared.local.node_id, now)
        shared.awareness.probe_failed(len(probe.helpers) if shared.config.nacks else 0, len(probe.nacks))

    def acknowledge(
        self, sequence: int, prover: MemberRecord, target_id: str, source: NodeAddress, now: float
    ) -> float | None:
        """Take an answer to a probe.

        Parameters
        ----------
        prover
            Who sent it: the target, or a helper that asked the target.
        target_id
            Who is proven to be there; empty for the prover itself.

        Returns
        -------
        float or None
            Round trip in seconds, when the answer came directly and in time. A late one says more of a stall, of the target or
            of this node, than of the distance.
        """
        probe = self._probes.get(sequence)
        if probe is None:
            return None
        proven = target_id or prover.node_id
        if proven != probe.target_id or (prover.node_id != proven and prover.node_id not in probe.helpers):
            self._shared.journal.refuse(RefusalReason.FALSE_ACK, source, now, f"{prover.node_id!r} for {proven!r}")
            return None
        self._succeed(sequence)
        rtt = now - probe.sent_at
        return rtt if prover.node_id == proven and rtt <= self._shared.config.probe_timeout_seconds else None

    def acknowledge_by_stream(self, sequence: int, target_id: str) -> None:
        """Take an answer to a probe that came over TCP."""
        probe = self._probes.get(sequence)
        if probe is not None and probe.target_id == target_id:
            self._shared.journal.traffic.probes_saved_by_stream += 1
            self._succeed(sequence)

    def note_nack(self, sequence: int, helper_id: str, now: float) -> None:
        """Note that a helper got no answer either."""
        probe = self._probes.get(sequence)
        if probe is None or helper_id not in probe.helpers:
            return
        probe.nacks.add(helper_id)
        if len(probe.nacks) == len(probe.helpers):
            # Nobody is left who could still bring an answer.
            self.end(sequence, now)

    def _succeed(self, sequence: int) -> None:
        del self._probes[sequence]
        self._shared.timers.cancel((TimerKind.PROBE_INDIRECT, sequence))
        self._shared.timers.cancel((TimerKind.PROBE_END, sequence))
        self._shared.awareness.probe_succeeded()

    def _schedule(self, now: float, share: float) -> None:
        shared = self._shared
        role = shared.local.identity.role
        workers = len(shared.table.present_with(Role.WORKER)) + (role is Role.WORKER)
        leaders = len(shared.table.present) + 1 - workers
        pace = probes_per_interval(role, leaders, workers, shared.config.probes_per_interval_max)
        shared.timers.schedule((TimerKind.PROBE, ""), now + share * shared.timeouts.interval_seconds() / pace)

    def _is_probed(self, node_id: str) -> bool:
        record = self._shared.table.get(node_id)
        return record is not None and record.is_present

    def _choose_helpers(self, target: MemberRecord) -> list[MemberRecord]:
        table = self._shared.table
        helpers = table.present_with(Role.MANAGER) if target.identity.role is Role.WORKER else table.present

        def accept(node_id: str) -> bool:
            record = table.get(node_id)
            return record is not None and record is not target and record.state is MemberState.ALIVE

        chosen = helpers.sample(self._shared.config.indirect_probes, self._shared.rng, accept)
        return [record for node_id in chosen if (record := table.get(node_id)) is not None]
