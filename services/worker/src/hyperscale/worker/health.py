"""What the worker says of itself: to managers every second, and to whoever pings it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1.progress_pb2 import ExtensionAnswer, ExtensionRequest, WorkerHeartbeat
from hyperscale.worker.state import WorkerState


class TimeSeeker(Protocol):
    """Whoever may need more time than there is."""

    def extension_requests(self) -> Sequence[ExtensionRequest]:
        """What is asked of managers now."""
        ...

    def extension_answered(self, answer: ExtensionAnswer) -> None:
        """A manager has answered."""
        ...


class Pulse:
    """Makes heartbeats of the worker's present state, and hands on what managers answer."""

    def __init__(self, node: NodeLifecycle, state: WorkerState, seeker: TimeSeeker) -> None:
        self._node = node
        self._state = state
        self._seeker = seeker

    def heartbeat(self) -> WorkerHeartbeat:
        """The state now."""
        return WorkerHeartbeat(
            node=self._node.info(),
            total_cores=self._state.total_cores,
            available_cores=self._state.available_cores,
            active_shard_ids=self._state.active_shards,
            extension_requests=self._seeker.extension_requests(),
        )

    def answered(self, answers: Iterable[ExtensionAnswer]) -> None:
        """A manager has answered what a heartbeat asked for."""
        for answer in answers:
            self._seeker.extension_answered(answer)

    def vitals(self) -> WorkerHeartbeat:
        """What the group is told: the state without what it knows anyway."""
        return WorkerHeartbeat(
            node=self._node.vitals(), total_cores=self._state.total_cores, available_cores=self._state.available_cores
        )
