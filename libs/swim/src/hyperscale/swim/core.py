"""A node of the group without IO: bytes, addresses and the time go in; datagrams, streams, a deadline and events come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from hyperscale.swim.awareness import Awareness
from hyperscale.swim.beliefs import Beliefs
from hyperscale.swim.config import SwimConfig
from hyperscale.swim.coordinates import Coordinate, NetworkCoordinates
from hyperscale.swim.dissemination import Dissemination
from hyperscale.swim.events import Event
from hyperscale.swim.gossip import Gossip
from hyperscale.swim.hearsay import Hearsay
from hyperscale.swim.joining import Joining
from hyperscale.swim.journal import Counters, Journal
from hyperscale.swim.local import LocalNode
from hyperscale.swim.members import MemberRecord, MemberTable
from hyperscale.swim.models import Datagram, Identity, Member, NodeAddress, StreamRequest
from hyperscale.swim.outbox import DatagramOutbox
from hyperscale.swim.ports import RandomSource
from hyperscale.swim.probe import Prober
from hyperscale.swim.push_pull import PushPull
from hyperscale.swim.reception import Reception, Unreadable
from hyperscale.swim.refusals import RefusalReason
from hyperscale.swim.relay import Relays
from hyperscale.swim.seal import Seal
from hyperscale.swim.shared import Shared
from hyperscale.swim.streams import Streams
from hyperscale.swim.timeouts import Timeouts
from hyperscale.swim.timers import TimerKind, Timers
from hyperscale.swim.timing_wheel import TimingWheel
from hyperscale.swim.wire import encode_ack, encode_gossip, read_coordinate
from hyperscale.v1.swim_pb2 import SwimEnvelope

_GOSSIP: Final = encode_gossip()
_UNOPENED: Final = frozenset({RefusalReason.UNDECRYPTABLE, RefusalReason.WRONG_GROUP})


class Swim:
    """One member of a group.

    Whoever drives it gives it what arrives, sends what `datagrams_to_send` and `streams_to_open` return, and calls
    `handle_timer` at `next_deadline`. After each call of any of them there may be something to send, a new deadline and new
    events. Times are seconds of a clock that never goes back. No input raises.

    Parameters
    ----------
    incarnation
        Which life of the node this is. Best is something that rises with each start, as milliseconds of a clock do; a lower
        one than the group remembers is raised when the node hears of it.
    keyring
        Encrypts and decrypts; none for plain text.
    coordinates
        Knows distances, for timeouts that follow them.
    """

    def __init__(
        self,
        identity: Identity,
        config: SwimConfig,
        rng: RandomSource,
        now: float,
        *,
        incarnation: int = 0,
        keyring: Seal | None = None,
        coordinates: NetworkCoordinates | None = None,
    ) -> None:
        self._config = config
        shared = _assemble(
            identity, config, rng, now, incarnation=incarnation, keyring=keyring, coordinates=coordinates
        )
        self._shared = shared
        self._reception = Reception(identity, keyring)
        self._beliefs = Beliefs(shared)
        self._hearsay = Hearsay(shared, self._beliefs)
        self._streams = Streams(config, shared.local, shared.table, shared.timers, keyring)
        self._push_pull = PushPull(shared, self._streams, self._hearsay)
        self._joining = Joining(shared, self._beliefs, self._streams)
        self._relays = Relays(shared)
        self._prober = Prober(shared, self._beliefs, self._streams)
        self._readers = self._make_readers()
        self._member_timers = self._make_member_timers()
        self._sequence_timers = self._make_sequence_timers()
        self._prober.start(now)
        self._push_pull.start(now)
        self._joining.start(now)

    # What arrives.

    def receive_datagram(self, data: bytes, source: NodeAddress, now: float) -> None:
        """Take in a datagram."""
        shared = self._shared
        shared.journal.traffic.datagrams_received += 1
        shared.journal.traffic.bytes_received += len(data)
        envelope = self._reception.read(data, self._config.payload_max_bytes)
        if isinstance(envelope, Unreadable):
            told = shared.journal.refuse(envelope.reason, source, now, envelope.detail)
            # An answer to what cannot be decrypted could not be read either, and its source may be forged.
            if told and envelope.reason not in _UNOPENED and (answer := envelope.answer()):
                shared.outbox.send_bare(source, answer)
            return
        reader = self._readers.get(envelope.WhichOneof("body") or "")
        if reader is None:
            shared.journal.refuse(RefusalReason.MALFORMED, source, now, "no body that belongs into a datagram")
            return
        sender = self._hearsay.greet(envelope.sender, source, now)
        if sender is None:
            return
        for update in envelope.updates:
            self._hearsay.take(update, source, now)
            self._hearsay.rebut(update, source)
        reader(envelope, sender, source, now)

    def receive_stream_request(self, data: bytes, source: NodeAddress, now: float) -> bytes:
        """Take in what arrived first on a stream; return the answer, empty when there is none."""
        envelope = self._reception.read(data, self._config.stream_max_bytes)
        prefix = self._shared.local.prefix
        if isinstance(envelope, Unreadable):
            self._shared.journal.refuse(envelope.reason, source, now, envelope.detail)
            answer = envelope.answer()
            return self._streams.seal(prefix() + answer) if answer else b""
        sender = self._hearsay.greet(envelope.sender, source, now)
        if sender is None:
            return self._answer_stranger(envelope)
        if envelope.HasField("push_pull"):
            answer = self._streams.table_message()
            self._push_pull.merge(envelope, sender, source, now)
            return self._streams.seal(answer)
        if envelope.HasField("ping"):
            ack = encode_ack(envelope.ping.sequence, "", self._position())
            return self._streams.seal(prefix() + ack + self._hearsay.correction(sender, envelope.sender))
        self._shared.journal.refuse(RefusalReason.MALFORMED, source, now, "no body that belongs into a stream")
        return b""

    def receive_stream_reply(self, stream_id: int, data: bytes, now: float) -> None:
        """Take in the answer on a stream this node opened."""
        stream = self._streams.close(stream_id)
        if stream is None or not data:
            return
        envelope = self._reception.read(data, self._config.stream_max_bytes)
        if isinstance(envelope, Unreadable):
            self._shared.journal.refuse(envelope.reason, stream.address, now, envelope.detail)
            return
        sender = self._hearsay.greet(envelope.sender, stream.address, now)
        if sender is None:
            return
        self._joining.note_owner(stream.address, sender.node_id)
        if envelope.HasField("push_pull"):
            self._push_pull.merge(envelope, sender, stream.address, now)
            return
        for update in envelope.updates:
            self._hearsay.take(update, stream.address, now)
        if envelope.HasField("ack") and sender.node_id == stream.target_id:
            self._prober.acknowledge_by_stream(stream.sequence, sender.node_id)

    def stream_failed(self, stream_id: int, _now: float) -> None:
        """Note that a stream could not be opened, or broke before its answer came."""
        self._streams.close(stream_id)

    # What leaves.

    def datagrams_to_send(self, _now: float) -> list[Datagram]:
        """Return what is to be sent, and forget it."""
        return self._shared.outbox.take()

    def streams_to_open(self, _now: float) -> list[StreamRequest]:
        """Return the requests to carry over TCP, and forget them."""
        return self._streams.take()

    def events(self) -> list[Event]:
        """Return what has happened since the last call."""
        return self._shared.journal.take_events()

    # Time.

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` is to be called; it may be that nothing is due then."""
        return self._shared.timers.next_deadline()

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for kind, subject in self._shared.timers.expire(now):
            if isinstance(subject, int):
                self._sequence_timers[kind](subject, now)
            else:
                self._member_timers[kind](subject, now)

    # What the owner says.

    def join(self, seeds: Sequence[NodeAddress], now: float) -> None:
        """Look for the group at these addresses, until a member is found; they replace those of an earlier call."""
        self._joining.join(seeds, now)

    def leave(self, now: float) -> None:
        """Tell the group that this node goes for good; keep driving it until `has_left`."""
        shared = self._shared
        if shared.local.is_leaving:
            return
        shared.local.leave(now)
        for kind in (TimerKind.PROBE, TimerKind.PUSH_PULL, TimerKind.JOIN, TimerKind.DEAD_RETRY):
            shared.timers.cancel((kind, ""))
        shared.timers.schedule((TimerKind.LEAVE, ""), now + self._config.leave_timeout_seconds)
        shared.gossip.spread_record(shared.local.node_id, shared.local.update(), now)

    @property
    def has_left(self) -> bool:
        """Whether the group has been told, or has not been there to be told in time."""
        shared = self._shared
        if not shared.local.is_leaving:
            return False
        is_told = not shared.table.present or not shared.gossip.is_spreading(shared.local.node_id)
        return is_told or (TimerKind.LEAVE, "") not in shared.timers

    def set_metadata(self, metadata: bytes, now: float) -> None:
        """Say something new of this node, at most 512 bytes; it spreads as news does."""
        local = self._shared.local
        if local.set_metadata(metadata) and not local.is_leaving:
            self._shared.gossip.spread_record(local.node_id, local.update(), now)

    def set_load(self, factor: float) -> None:
        """Ask peers to stretch their timeouts for this node, 1 to 4 times."""
        self._shared.local.set_load(factor)

    def introduce(self, identity: Identity, now: float) -> None:
        """Make a peer known that configuration names; it is unconfirmed until something comes from it."""
        if identity.node_id != self._shared.local.node_id and self._shared.table.get(identity.node_id) is None:
            self._beliefs.discover(identity, 0, now)

    def assume(self, identity: Identity, incarnation: int, now: float) -> None:
        """Begin with a member that is known to be there, as from a table kept over a restart. It is suspected like any other."""
        if identity.node_id != self._shared.local.node_id and self._shared.table.get(identity.node_id) is None:
            self._beliefs.assume(identity, incarnation, now)

    # What the owner asks.

    def members(self) -> list[Member]:
        """Return all members, this node first."""
        return [self._own_view(), *(record.view() for record in self._shared.table)]

    def member(self, node_id: str) -> Member | None:
        """Return one member."""
        if node_id == self._shared.local.node_id:
            return self._own_view()
        record = self._shared.table.get(node_id)
        return None if record is None else record.view()

    @property
    def config(self) -> SwimConfig:
        """The numbers this node runs with."""
        return self._config

    @property
    def incarnation(self) -> int:
        """Present incarnation of this node."""
        return self._shared.local.incarnation

    @property
    def health_score(self) -> int:
        """0 when this node hears from others as it should, up to 7 when it does not."""
        return self._shared.awareness.score

    def counters(self) -> Counters:
        """Return what was counted so far."""
        return self._shared.journal.counters()

    # Bodies of datagrams.

    def _make_readers(self) -> dict[str, _Reader]:
        return {
            "ping": self._read_ping,
            "ping_request": self._read_ping_request,
            "ack": self._read_ack,
            "nack": self._read_nack,
            "gossip": self._read_gossip,
        }

    def _read_ping(self, envelope: SwimEnvelope, sender: MemberRecord, source: NodeAddress, now: float) -> None:
        shared, ping = self._shared, envelope.ping
        if ping.target_id and ping.target_id != shared.local.node_id:
            shared.journal.refuse(RefusalReason.WRONG_TARGET, source, now, f"a ping for {ping.target_id!r}")
            return
        first = self._hearsay.correction(sender, envelope.sender)
        if ping.metadata_version < shared.local.metadata_version:
            first += shared.local.update()
        shared.outbox.send(source, encode_ack(ping.sequence, "", self._position()), first)

    def _read_ping_request(self, envelope: SwimEnvelope, sender: MemberRecord, source: NodeAddress, now: float) -> None:
        self._relays.start(envelope.ping_request, self._prober.next_sequence(), source, now)
        self._read_gossip(envelope, sender, source, now)

    def _read_ack(self, envelope: SwimEnvelope, sender: MemberRecord, source: NodeAddress, now: float) -> None:
        ack = envelope.ack
        rtt = self._prober.acknowledge(ack.sequence, sender, ack.target_id, source, now)
        if rtt is not None and ack.HasField("coordinate"):
            self._locate(sender, read_coordinate(ack.coordinate), rtt, source, now)
        if not ack.target_id:
            self._relays.acknowledge(ack.sequence, sender)
            self._joining.acknowledge(ack.sequence, sender, now)

    def _read_nack(self, envelope: SwimEnvelope, sender: MemberRecord, _source: NodeAddress, now: float) -> None:
        self._prober.note_nack(envelope.nack.sequence, sender.node_id, now)

    def _read_gossip(self, envelope: SwimEnvelope, sender: MemberRecord, source: NodeAddress, _now: float) -> None:
        first = self._hearsay.correction(sender, envelope.sender)
        if first:
            self._shared.outbox.send(source, _GOSSIP, first)

    def _locate(
        self, sender: MemberRecord, said: Coordinate, rtt_seconds: float, source: NodeAddress, now: float
    ) -> None:
        coordinates = self._shared.coordinates
        if coordinates is None:
            return
        fault = coordinates.observe(sender.node_id, said, rtt_seconds, now)
        if fault is None:
            sender.coordinate = said
        else:
            self._shared.journal.refuse(RefusalReason.BAD_COORDINATE, source, now, fault)

    def _position(self) -> Coordinate | None:
        coordinates = self._shared.coordinates
        return None if coordinates is None else coordinates.coordinate

    def _own_view(self) -> Member:
        return self._shared.local.view(self._position())

    def _answer_stranger(self, envelope: SwimEnvelope) -> bytes:
        """Tell a sender with the id of a known member what is known, so that it can rise above it."""
        record = self._shared.table.get(envelope.sender.node_id)
        if record is None:
            return b""
        return self._streams.seal(self._shared.local.prefix() + _GOSSIP + record.update())

    # Timers.

    def _make_member_timers(self) -> dict[TimerKind, Callable[[str, float], None]]:
        shared, beliefs = self._shared, self._beliefs
        return {
            TimerKind.PROBE: lambda _, now: self._prober.probe_next(now),
            TimerKind.SUSPICION: beliefs.suspicion_ended,
            TimerKind.CONFIRM: beliefs.attempt_confirmation,
            TimerKind.UNCONFIRMED_END: lambda node_id, now: beliefs.give_up(node_id, 0, now),
            TimerKind.GOSSIP_TO_DEAD_END: lambda node_id, _: shared.table.reachable.discard(node_id),
            TimerKind.FORGET: lambda node_id, _: beliefs.forget(node_id),
            TimerKind.TOMBSTONE: lambda node_id, _: beliefs.drop_tombstone(node_id),
            TimerKind.GOSSIP: lambda _, now: shared.gossip.round(now),
            TimerKind.PUSH_PULL: lambda _, now: self._push_pull.exchange_next(now),
            TimerKind.JOIN: lambda _, now: self._joining.try_seeds(now),
            TimerKind.DEAD_RETRY: lambda _, now: self._joining.retry(self._prober.next_sequence(), now),
            TimerKind.LEAVE: lambda _, now: None,
        }

    def _make_sequence_timers(self) -> dict[TimerKind, Callable[[int, float], None]]:
        return {
            TimerKind.PROBE_INDIRECT: self._prober.ask_helpers,
            TimerKind.PROBE_END: self._prober.end,
            TimerKind.RELAY_NACK: lambda sequence, _: self._relays.nack(sequence),
            TimerKind.RELAY_END: lambda sequence, _: self._relays.end(sequence),
            TimerKind.STREAM: self.stream_failed,
        }


_Reader: TypeAlias = Callable[[SwimEnvelope, MemberRecord, NodeAddress, float], None]


def _assemble(
    identity: Identity,
    config: SwimConfig,
    rng: RandomSource,
    now: float,
    *,
    incarnation: int,
    keyring: Seal | None,
    coordinates: NetworkCoordinates | None,
) -> Shared:
    journal = Journal(config.events_max)
    local = LocalNode(identity, incarnation, now)
    table = MemberTable(identity.role, config.members_max)
    timers: Timers = TimingWheel(now)
    news = Dissemination(config.retransmit_multiplier, config.updates_max)
    outbox = DatagramOutbox(config, local, table, news=news, seal=keyring, traffic=journal.traffic)
    awareness = Awareness(config.awareness_max)
    return Shared(
        config=config,
        rng=rng,
        local=local,
        table=table,
        timers=timers,
        journal=journal,
        outbox=outbox,
        gossip=Gossip(config, rng, table, timers=timers, news=news, outbox=outbox, journal=journal),
        awareness=awareness,
        timeouts=Timeouts(config, awareness, coordinates),
        coordinates=coordinates,
    )
