"""Requests over TCP: asked for here, carried by whoever drives the node, each answered once, failed, or given up in time."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.local import LocalNode
from hyperscale.swim.members import MemberRecord, MemberTable
from hyperscale.swim.models import MemberState, NodeAddress, StreamRequest
from hyperscale.swim.seal import Seal
from hyperscale.swim.timers import TimerKind, Timers
from hyperscale.swim.wire import encode_ping, encode_push_pull

_PUSH_PULL = encode_push_pull()


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A request under way."""

    address: NodeAddress
    target_id: str
    """Node whose answer is a probe's; empty for an exchange of tables."""
    sequence: int


class Streams:
    """Streams that this node wants to open, and those it has opened."""

    def __init__(
        self, config: SwimConfig, local: LocalNode, table: MemberTable, timers: Timers, seal: Seal | None
    ) -> None:
        self._timeout_seconds = config.stream_timeout_seconds
        self._local = local
        self._table = table
        self._timers = timers
        self._seal = seal
        self._last_id = 0
        self._open: dict[int, OpenStream] = {}
        self._requests: list[StreamRequest] = []

    def open_probe(self, target: MemberRecord, sequence: int, now: float) -> None:
        """Ask a member over TCP whether it is there."""
        plain = self._local.prefix() + encode_ping(sequence, target.node_id, target.metadata_version)
        self._request(OpenStream(target.address, target.node_id, sequence), plain, now)

    def open_push_pull(self, address: NodeAddress, now: float) -> None:
        """Exchange tables with whoever listens at an address."""
        self._request(OpenStream(address, "", 0), self.table_message(), now)

    def table_message(self) -> bytes:
        """Return all this node knows, but for what it has by hearsay only; not yet sealed."""
        records = (record for record in self._table if record.state is not MemberState.UNCONFIRMED)
        return b"".join([self._local.prefix(), _PUSH_PULL, self._local.update(), *(r.update() for r in records)])

    def seal(self, plain: bytes) -> bytes:
        """Encrypt, if the node has keys."""
        return plain if self._seal is None else self._seal.seal(plain)

    def take(self) -> list[StreamRequest]:
        """Return the streams to open."""
        requests, self._requests = self._requests, []
        return requests

    def close(self, stream_id: int) -> OpenStream | None:
        """End a stream; none when it is not known, or given up already."""
        self._timers.cancel((TimerKind.STREAM, stream_id))
        return self._open.pop(stream_id, None)

    def _request(self, stream: OpenStream, plain: bytes, now: float) -> None:
        self._last_id += 1
        self._open[self._last_id] = stream
        self._timers.schedule((TimerKind.STREAM, self._last_id), now + self._timeout_seconds)
        request = StreamRequest(self._last_id, stream.address, self.seal(plain), self._timeout_seconds)
        self._requests.append(request)
