"""Who leads the datacenter: a lease that is campaigned for, renewed, and given up the moment it is in doubt.

The holder writes where it listens beside the lease, so that followers can name the leader. Work that only the leader
may do starts with `require` and guards its writes with the lease it got.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import CoordinationUnavailableError, Coordinator, Lease
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import LEADER_KEY, ErrorReason, HyperscaleError, LeaseLostError
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.node_pb2 import NodeInfo

_RENEWALS_PER_TTL = 4
_TIMES_STOOD_BACK = _RENEWALS_PER_TTL
"""For how many attempts, four within the length of a lease."""


class Follower(Protocol):
    """Acts while this manager leads."""

    async def lead(self, lease: Lease) -> None:
        """Leadership has begun; take work only when this has returned."""
        ...

    def step_down(self, reason: str) -> None:
        """Leadership has ended: stop acting at once."""
        ...


@dataclass(frozen=True, slots=True)
class LeaderView:
    """The leader as a follower sees it; its address is empty until it has written it."""

    node_id: str
    address: str


class Leadership:
    """The part that one manager has in the leadership of its datacenter.

    Parameters
    ----------
    ttl_seconds
        Length of the lease; it is renewed four times within it.
    on_change
        Called when this manager has begun or ceased to lead.
    """

    def __init__(
        self,
        *,
        coordinator: Coordinator,
        node: NodeLifecycle,
        clock: Clock,
        supervisor: Supervisor,
        logger: FilteringBoundLogger,
        ttl_seconds: float,
        on_change: Callable[[], None],
    ) -> None:
        self._coordinator = coordinator
        self._node = node
        self._clock = clock
        self._supervisor = supervisor
        self._logger = logger
        self._ttl_seconds = ttl_seconds
        self._on_change = on_change
        self._lease: Lease | None = None
        self._is_ready = False
        self._times_stood_back = 0
        self._leader: LeaderView | None = None
        self._leader_known = asyncio.Event()

    @property
    def lease(self) -> Lease | None:
        """The lease while this manager leads."""
        return self._lease

    @property
    def is_ready(self) -> bool:
        """Whether this manager leads and has recovered what the last leader left."""
        return self._lease is not None and self._is_ready

    @property
    def leader(self) -> LeaderView | None:
        """The leader as far as it is known here."""
        return self._leader

    async def leader_known(self) -> None:
        """Wait until this manager leads and has recovered, or knows who leads instead."""
        await self._leader_known.wait()

    def require(self) -> Lease:
        """The lease, if this manager leads and has recovered.

        Raises NOT_LEADER with the leader's address, SYNCING while it recovers, DRAINING when it is shutting down.
        """
        self._node.require_active()
        if self._lease is None:
            address = self._leader.address if self._leader is not None else ""
            raise HyperscaleError(ErrorReason.NOT_LEADER, metadata={LEADER_KEY: address} if address else {})
        if not self._is_ready:
            raise HyperscaleError(ErrorReason.SYNCING)
        return self._lease

    def require_token(self, token: int) -> Lease:
        """The lease under which something was begun; raises `LeaseLostError` when this manager leads anew or not."""
        if self._lease is None or self._lease.token != token:
            raise LeaseLostError(self._lease_name, token)
        return self._lease

    def is_current(self, lease: Lease) -> bool:
        """Whether the lease is the one under which this manager leads now."""
        return self._lease is not None and self._lease.token == lease.token

    async def run(self, follower: Follower) -> None:
        """Campaign, lead, step down, over and over."""
        while not self._node.is_draining:
            try:
                lease = await self._take()
            except HyperscaleError as error:
                self._supervisor.report(error, "leadership-campaign")
                lease = None
            if lease is not None:
                await self._lead(lease, follower)
            await asyncio.sleep(self._ttl_seconds / _RENEWALS_PER_TTL)

    async def close(self) -> None:
        """Give the lease up, so that another manager leads at once; this one, which drains, does not campaign again."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await self._coordinator.release(lease)

    async def _take(self) -> Lease | None:
        """The lease if it is free; otherwise note who has it."""
        held = await self._coordinator.holder(self._lease_name)
        if held is None and self._stands_back():
            return None
        self._times_stood_back = 0
        if held is None or held.owner == self._node.identity.node_id:
            return await self._coordinator.acquire(self._lease_name, self._node.identity.node_id, self._ttl_seconds)
        self._leader = await self._view_of(held)
        self._leader_known.set()
        return None

    def _stands_back(self) -> bool:
        """Whether to leave the lease to another manager: an overloaded one does so for a while. A slow leader is better than none."""
        self._times_stood_back += 1
        return self._node.is_overloaded and self._times_stood_back <= _TIMES_STOOD_BACK

    async def _view_of(self, lease: Lease) -> LeaderView:
        entry = await self._coordinator.get(self._endpoint_key)
        info = NodeInfo.FromString(entry.value) if entry is not None else NodeInfo()
        if info.node_id != lease.owner:
            return LeaderView(lease.owner, "")
        return LeaderView(lease.owner, Endpoint(info.endpoint.host, info.endpoint.port).address)

    async def _lead(self, lease: Lease, follower: Follower) -> None:
        self._lease = lease
        self._leader = LeaderView(self._node.identity.node_id, self._node.endpoint.address)
        self._logger.info("leadership taken", token=lease.token)
        beginning = self._supervisor.start(self._begin(lease, follower), name="leadership-begin")
        reason = "the campaign was ended"
        try:
            await self._renew_until_lost(lease, beginning)
        except HyperscaleError as error:
            reason = str(error)
        finally:
            beginning.cancel()
            self._lease, self._leader, self._is_ready = None, None, False
            self._logger.warning("leadership ended", token=lease.token, reason=reason)
            follower.step_down(reason)
            self._on_change()

    async def _begin(self, lease: Lease, follower: Follower) -> None:
        info = self._node.info()
        await self._coordinator.put(self._endpoint_key, info.SerializeToString(), guard=lease)
        await follower.lead(lease)
        self._is_ready = True
        self._leader_known.set()
        self._on_change()

    async def _renew_until_lost(self, lease: Lease, beginning: asyncio.Task[None]) -> None:
        """Renew in time; raises before the lease has expired, or when the begin of leadership has failed."""
        held_until = self._clock.monotonic() + self._ttl_seconds
        while True:
            await asyncio.sleep(self._ttl_seconds / _RENEWALS_PER_TTL)
            if beginning.done():
                beginning.result()
            asked_at = self._clock.monotonic()
            if await self._renew(lease, held_until - asked_at):
                held_until = asked_at + self._ttl_seconds

    async def _renew(self, lease: Lease, seconds_left: float) -> bool:
        """Whether the store has renewed the lease; raises `LeaseLostError` when it has not, or there is no time left."""
        try:
            async with asyncio.timeout(max(0.0, seconds_left)):
                await self._coordinator.renew(lease, self._ttl_seconds)
        except TimeoutError as error:
            raise LeaseLostError(lease.name, lease.token) from error
        except CoordinationUnavailableError as error:
            self._supervisor.report(error, "leadership-renewal")
            return False
        return True

    @property
    def _lease_name(self) -> str:
        return f"datacenters/{self._node.identity.datacenter}/leader"

    @property
    def _endpoint_key(self) -> str:
        return f"datacenters/{self._node.identity.datacenter}/leader-node"
