"""The one owner of what is known of workers: who is here, and which of their cores are reserved."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hyperscale.manager.models.allocation import WorkerCapacity
from hyperscale.manager.models.worker import ConnectedWorker, LostWorker
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.swim.events import Event, MemberConfirmed, MemberDied, MemberRecovered
from hyperscale.v1.manager_service_pb2 import WorkerStatus
from hyperscale.v1.node_pb2 import NODE_ROLE_WORKER, OverloadState
from hyperscale.v1.progress_pb2 import WorkerHeartbeat

MAX_WORKERS = 10_000


class WorkerRegistry:
    """Workers of this datacenter.

    A worker is here while it has a stream open. One whose stream has been closed for longer than the grace is lost, and one
    that the group declares dead is at once, unless its stream speaks.

    Parameters
    ----------
    loss_grace_seconds
        How long a worker may be away.
    on_change
        Called when a worker has come or gone, or its free cores are others.
    """

    def __init__(
        self, identity: NodeIdentity, clock: Clock, loss_grace_seconds: float, on_change: Callable[[], None]
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._loss_grace_seconds = loss_grace_seconds
        self._on_change = on_change
        self._workers: dict[str, ConnectedWorker] = {}
        self._last_connection = 0

    def __len__(self) -> int:
        return len(self._workers)

    def register(self, heartbeat: WorkerHeartbeat) -> None:
        """Admit a worker, which is then expected to open its stream.

        Raises INVALID_ARGUMENT, WRONG_CLUSTER or, when the datacenter is full, OVERLOADED.
        """
        self._identity.admit(heartbeat.node, NODE_ROLE_WORKER, datacenter=self._identity.datacenter)
        known = self._workers.get(heartbeat.node.node_id)
        if known is not None:
            known.heartbeat = heartbeat
            return
        if len(self._workers) >= MAX_WORKERS:
            raise HyperscaleError(ErrorReason.OVERLOADED, f"{MAX_WORKERS} workers have registered already")
        self._workers[heartbeat.node.node_id] = ConnectedWorker(heartbeat, away_since_seconds=self._clock.monotonic())

    def connect(self, worker_id: str) -> int:
        """A worker has opened its stream, which takes the place of an earlier one; returns the stream's number.

        Raises NOT_REGISTERED when it has not registered here.
        """
        worker = self._workers.get(worker_id)
        if worker is None:
            raise HyperscaleError(ErrorReason.NOT_REGISTERED, metadata={"caller": worker_id or "the worker"})
        self._last_connection += 1
        worker.connection = self._last_connection
        worker.heard_at_seconds = self._clock.monotonic()
        worker.away_since_seconds = None
        self._on_change()
        return self._last_connection

    def disconnect(self, worker_id: str, connection: int) -> None:
        """A stream has ended; nothing happens when the worker has opened another one."""
        worker = self._workers.get(worker_id)
        if worker is not None and worker.connection == connection:
            worker.connection = None
            worker.away_since_seconds = self._clock.monotonic()
            self._on_change()

    def update(self, heartbeat: WorkerHeartbeat) -> None:
        """Note what a worker says of itself."""
        worker = self._workers.get(heartbeat.node.node_id)
        if worker is None:
            return
        former, worker.heartbeat = worker.heartbeat, heartbeat
        worker.heard_at_seconds = self._clock.monotonic()
        if _gist(former) != _gist(heartbeat):
            self._on_change()

    def member_changed(self, event: Event) -> None:
        """Note what the group believes of a worker."""
        match event:
            case MemberDied(member, accuser_id):
                self._believe_dead(member.identity.node_id, accuser_id or "somebody")
            case MemberConfirmed(member) | MemberRecovered(member):
                self._believe_dead(member.identity.node_id, None)

    def remove_lost(self) -> list[LostWorker]:
        """Forget workers that are gone; returns who they were."""
        now = self._clock.monotonic()
        losses = [worker.loss(now, self._loss_grace_seconds) for worker in self._workers.values()]
        lost = [loss for loss in losses if loss is not None]
        for loss in lost:
            del self._workers[loss.worker_id]
        return lost

    def is_current(self, worker_id: str, connection: int) -> bool:
        """Whether a stream is still the one that its worker speaks on."""
        worker = self._workers.get(worker_id)
        return worker is not None and worker.connection == connection

    def note_missing(self, worker_id: str, shard_ids: Iterable[str]) -> list[str]:
        """Shards absent from a worker's last heartbeat; returns those that have been so for longer than the grace."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return []
        now = self._clock.monotonic()
        known = worker.missing_since_seconds
        worker.missing_since_seconds = {shard_id: known.get(shard_id, now) for shard_id in shard_ids}
        return [
            shard_id
            for shard_id, since in worker.missing_since_seconds.items()
            if now - since >= self._loss_grace_seconds
        ]

    def endpoint(self, worker_id: str) -> Endpoint | None:
        """Where a worker listens; None when it is lost."""
        worker = self._workers.get(worker_id)
        return None if worker is None else worker.endpoint

    def capacities(self) -> tuple[WorkerCapacity, ...]:
        """Free cores of the workers that take work now."""
        now = self._clock.monotonic()
        return tuple(
            WorkerCapacity(worker.worker_id, worker.free_cores, worker.overload)
            for worker in self._workers.values()
            if worker.takes_work(now)
        )

    @property
    def total_cores(self) -> int:
        """Cores of the workers that are here."""
        return sum(worker.heartbeat.total_cores for worker in self._workers.values() if worker.connection is not None)

    @property
    def free_cores(self) -> int:
        """Cores that nobody has reserved, of the workers that take work now."""
        return sum(worker.free_cores for worker in self.capacities())

    @property
    def idle_cores(self) -> int:
        """Cores without work of the workers that take some now, as these say: whoever does not lead reserves none."""
        now = self._clock.monotonic()
        return sum(worker.heartbeat.available_cores for worker in self._workers.values() if worker.takes_work(now))

    @property
    def present_count(self) -> int:
        """Workers that are here."""
        return sum(worker.connection is not None for worker in self._workers.values())

    @property
    def healthy_count(self) -> int:
        """Of these, workers that take work and that the group does not take for dead."""
        return sum(worker.is_healthy for worker in self._workers.values())

    def overload_count(self, overload: OverloadState.ValueType) -> int:
        """Workers that are here and in a state."""
        return sum(worker.connection is not None and worker.overload == overload for worker in self._workers.values())

    def reserve(self, worker_id: str, shard_id: str, cores: int) -> None:
        """Set cores aside for a shard; raises ValueError, and nothing happens, when the worker has fewer."""
        worker = self._workers.get(worker_id)
        if worker is None or worker.free_cores < cores or shard_id in worker.reservations:
            raise ValueError(f"worker {worker_id} has no {cores} free cores for shard {shard_id}")
        worker.reservations[shard_id] = cores
        self._on_change()

    def release(self, worker_id: str, shard_id: str) -> None:
        """Give the cores of a shard back."""
        worker = self._workers.get(worker_id)
        if worker is not None and worker.reservations.pop(shard_id, None) is not None:
            self._on_change()

    def release_all(self) -> None:
        """Give every core back: this manager does not lead any more."""
        for worker in self._workers.values():
            worker.reservations.clear()
            worker.missing_since_seconds.clear()
        self._on_change()

    def hold(self, worker_id: str, seconds: float) -> None:
        """Do not ask a worker for a while."""
        worker = self._workers.get(worker_id)
        if worker is not None:
            worker.held_until_seconds = self._clock.monotonic() + seconds

    def _believe_dead(self, worker_id: str, accuser_id: str | None) -> None:
        worker = self._workers.get(worker_id)
        if worker is not None:
            worker.declared_dead_by = accuser_id

    def statuses(self) -> list[WorkerStatus]:
        """The workers that are here, as others may see them."""
        return [
            WorkerStatus(heartbeat=worker.heartbeat, reserved_cores=worker.reserved_cores)
            for worker in self._workers.values()
            if worker.connection is not None
        ]


def _gist(heartbeat: WorkerHeartbeat) -> tuple[int, ...]:
    """What decides what a worker may be given."""
    return heartbeat.total_cores, heartbeat.node.state, heartbeat.node.overload
