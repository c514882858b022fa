"""Datagrams on their way out: each filled up with news to its byte budget, and sealed."""

from __future__ import annotations

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.dissemination import Dissemination
from hyperscale.swim.journal import Traffic
from hyperscale.swim.local import LocalNode
from hyperscale.swim.members import MemberTable
from hyperscale.swim.models import Datagram, NodeAddress
from hyperscale.swim.seal import Seal


class DatagramOutbox:
    """Keeps what is to be sent until it is taken."""

    def __init__(
        self,
        config: SwimConfig,
        local: LocalNode,
        table: MemberTable,
        *,
        news: Dissemination,
        seal: Seal | None,
        traffic: Traffic,
    ) -> None:
        self._local = local
        self._table = table
        self._news = news
        self._seal = seal
        self._traffic = traffic
        self._budget_bytes = config.payload_max_bytes - (0 if seal is None else seal.overhead_bytes)
        self._datagrams: list[Datagram] = []

    def send(self, address: NodeAddress, body: bytes, first: bytes = b"") -> None:
        """Send a body; `first` are encoded updates that this receiver must hear, before all other news."""
        head = self._local.prefix() + body + first
        if self._news:
            head = b"".join([head, *self._news.take(self._budget_bytes - len(head), self._table.size)])
        self._queue(address, head)

    def send_bare(self, address: NodeAddress, body: bytes) -> None:
        """Send a body and nothing else, to somebody who is no member."""
        self._queue(address, self._local.prefix() + body)

    def send_news(self, address: NodeAddress, body: bytes) -> bool:
        """Send a body with news; false, and nothing sent, when there is none that fits."""
        head = self._local.prefix() + body
        updates = self._news.take(self._budget_bytes - len(head), self._table.size)
        if updates:
            self._queue(address, b"".join([head, *updates]))
        return bool(updates)

    def take(self) -> list[Datagram]:
        """Return what is to be sent."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def _queue(self, address: NodeAddress, plain: bytes) -> None:
        data = plain if self._seal is None else self._seal.seal(plain)
        self._traffic.datagrams_sent += 1
        self._traffic.bytes_sent += len(data)
        self._datagrams.append(Datagram(address, data))
