"""Every number of the protocol, with presets for the usual networks."""

from __future__ import annotations

from dataclasses import dataclass, fields

PAYLOAD_MIN_BYTES = 1000
"""Least room that holds envelope, identity and 512 bytes of metadata."""

_MAY_BE_ZERO = frozenset(
    {"indirect_probes", "gossip_to_dead_seconds", "push_pull_interval_seconds", "dead_retry_interval_seconds"}
)


@dataclass(frozen=True, slots=True)
class SwimConfig:
    """How a node probes, suspects, gossips and forgets. All nodes of a group should have the same.

    Defaults are those of `lan`. Intervals are seconds; a fault in any field raises `ValueError` that names all of them.
    """

    probe_interval_seconds: float = 1.0
    """Each member is probed about once in this time by somebody. Shorter detects sooner and costs more messages."""
    probe_timeout_seconds: float = 0.4
    """Wait for the answer before others are asked to try. Above the usual round trip; distance and load stretch it."""
    indirect_probes: int = 3
    """Helpers asked when the direct way gave no answer. 0: none, only the stream is tried."""
    stream_probe: bool = True
    """Whether a TCP probe goes out beside the helpers, so that lost UDP alone kills nobody."""
    probes_per_interval_max: int = 16
    """Most probes in one interval when few may probe many, as managers do workers. Lower saves messages, detects later."""

    suspicion_multiplier: float = 4.0
    """α: least suspicion is α · log10 n · probe interval. Lower detects sooner, with more false alarms."""
    suspicion_max_multiplier: float = 6.0
    """β: a suspicion nobody else confirms lasts β times as long. 1: confirmations count for nothing."""
    suspicion_confirmations: bool = True
    """Whether suspicions start long and shrink with independent confirmations. Off: always the least time, as plain SWIM."""
    awareness_max: int = 8
    """Health scores are 0 to one less; intervals and timeouts are multiplied by score + 1. 1: off, as plain SWIM."""
    buddy: bool = True
    """Whether a suspect is told of the suspicion with whatever is sent to it, so that it can refute at once."""
    nacks: bool = True
    """Whether helpers say that they got no answer either, at 80 % of the timeout: silence then speaks against this node."""
    adaptive_timeouts: bool = True
    """Whether timeouts follow distance, its certainty, and what load the peer reports."""

    retransmit_multiplier: int = 4
    """An update is sent this often times log10 of the number of members. Higher survives more loss, costs bytes."""
    gossip_nodes: int = 3
    """Members that each round of gossip goes to."""
    gossip_interval_seconds: float = 0.2
    """Between rounds; there are none while there is nothing to say. Shorter spreads news faster."""
    gossip_to_dead_seconds: float = 30.0
    """How long the dead are still gossiped to, so that they can refute. 0: not at all."""
    payload_max_bytes: int = 1400
    """Largest datagram sent, encryption included: below the path's MTU less headers. At least 1000."""

    push_pull_interval_seconds: float = 30.0
    """Between exchanges of whole tables with a random member; grows with the logarithm of members above 32. 0: none."""
    stream_timeout_seconds: float = 10.0
    """For one exchange or probe over TCP, connecting included."""
    join_retry_seconds: float = 2.0
    """Between attempts to reach seeds while no other member is known to be alive."""
    dead_retry_interval_seconds: float = 10.0
    """A dead member, or a seed that is no member, is tried again so often: healed partitions merge by it. 0: never."""
    dead_retention_seconds: float = 86_400.0
    """The dead are forgotten after this time: no longer partition heals by itself."""
    left_retention_seconds: float = 3_600.0
    """Who left, or was never heard from, is remembered so long, so that stale news does not bring it back."""
    leave_timeout_seconds: float = 5.0
    """Most that a graceful leave waits for its last message to have been spread."""

    members_max: int = 10_000
    """Rows of the table. When it is full, the dead and gone make room first; else newcomers are refused and counted."""
    updates_max: int = 10_000
    """Updates waiting to be spread; beyond it the most transmitted is dropped and counted."""
    relays_max: int = 1_024
    """Probes for others under way at a time; more are refused and counted."""
    events_max: int = 10_000
    """Events waiting to be taken; beyond it the oldest is dropped and counted."""
    stream_max_bytes: int = 8 * 1024 * 1024
    """Largest table exchanged: 10,000 members with full metadata."""

    @classmethod
    def lan(cls) -> SwimConfig:
        """One datacenter."""
        return cls()

    @classmethod
    def wan(cls) -> SwimConfig:
        """Several datacenters: patient, and sparing with messages."""
        return cls(
            probe_interval_seconds=5.0,
            probe_timeout_seconds=3.0,
            suspicion_multiplier=6.0,
            gossip_nodes=4,
            gossip_interval_seconds=0.5,
            gossip_to_dead_seconds=60.0,
            push_pull_interval_seconds=60.0,
            stream_timeout_seconds=30.0,
        )

    @classmethod
    def local(cls) -> SwimConfig:
        """Processes of one machine."""
        return cls(
            probe_timeout_seconds=0.2,
            indirect_probes=1,
            suspicion_multiplier=3.0,
            retransmit_multiplier=2,
            gossip_interval_seconds=0.1,
            gossip_to_dead_seconds=15.0,
            push_pull_interval_seconds=15.0,
            stream_timeout_seconds=1.0,
            dead_retry_interval_seconds=5.0,
        )

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        numbers = {name: value for name, value in values.items() if not isinstance(value, bool)}
        faults = [
            f"{name} must be above 0" for name, value in numbers.items() if name not in _MAY_BE_ZERO and not value > 0
        ]
        faults += [f"{name} must not be below 0" for name in _MAY_BE_ZERO if not numbers[name] >= 0]
        if not self.suspicion_max_multiplier >= 1:
            faults.append("suspicion_max_multiplier must not be below 1")
        if not self.probe_timeout_seconds <= self.probe_interval_seconds:
            faults.append("probe_timeout_seconds must not be above probe_interval_seconds")
        if not PAYLOAD_MIN_BYTES <= self.payload_max_bytes <= 65_507:
            faults.append(f"payload_max_bytes must be {PAYLOAD_MIN_BYTES} to 65507")
        if faults:
            raise ValueError("; ".join(sorted(faults)))
