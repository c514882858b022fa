"""All users of one run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Protocol

from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.models.plan import Plan
from hyperscale.worker.engine.recorder import UserGauge

_SWEEPS_PER_TIMEOUT: Final = 20
_SHORTEST_SWEEP_SECONDS: Final = 0.005
_LONGEST_SWEEP_SECONDS: Final = 0.25
_SWEEP_SECONDS_PER_USER: Final = 2e-5
"""Keeps the sweep below 2 % of the core, however many users there are."""
_CLOSE_POLLS: Final = 100
_CLOSE_POLL_SECONDS: Final = 0.01


class User(Protocol):
    """One virtual user, of whatever kind."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that it has opened last."""

    def start(self) -> None:
        """Begin the first iteration, if there is one."""

    def expire(self, now: float) -> None:
        """Give up a request that has taken too long."""

    def interrupt(self) -> None:
        """End; calls under way count as cancelled."""


UserMaker = Callable[[Callable[[], None]], User]
"""Makes a user, which calls what it is given once, when it has ended."""


class Population:
    """Starts users, looks after their timeouts, and sees them all to their end."""

    def __init__(self, plan: Plan) -> None:
        self.gauge = UserGauge()
        self._plan = plan
        self._users: list[User] = []
        self._all_ended = asyncio.Event()

    def start(self, make_user: UserMaker) -> None:
        """Start all users at once; they get their connections as fast as the connectors open them."""
        self._users = [make_user(self._user_ended) for _ in range(self._plan.vus)]
        for _ in self._users:
            self.gauge.started()
        for user in self._users:
            user.start()
        if not self._users:
            self._all_ended.set()

    def interrupt(self) -> None:
        """End every user now."""
        for user in self._users:
            user.interrupt()

    async def wait_ended(self) -> None:
        """Wait until no user runs."""
        await self._all_ended.wait()

    async def sweep(self) -> None:
        """Give up requests that have taken longer than their timeouts, for ever: one timer for all of them."""
        while True:
            await asyncio.sleep(self._sweep_seconds())
            now = perf_counter()
            for user in self._users:
                user.expire(now)

    async def close(self) -> None:
        """Wait until what was written has left, for a second at most, then drop the connections."""
        connections = [connection for user in self._users for connection in user.connections]
        for _ in range(_CLOSE_POLLS):
            if all(connection.is_lost for connection in connections):
                return
            await asyncio.sleep(_CLOSE_POLL_SECONDS)
        for connection in connections:
            if not connection.is_lost:
                connection.abort()

    def _user_ended(self) -> None:
        self.gauge.ended()
        if not self.gauge.running:
            self._all_ended.set()

    def _sweep_seconds(self) -> float:
        shortest = min((step.first_byte_timeout_seconds for step in self._plan.steps), default=0.0)
        interval = min(max(shortest / _SWEEPS_PER_TIMEOUT, _SHORTEST_SWEEP_SECONDS), _LONGEST_SWEEP_SECONDS)
        return max(interval, len(self._users) * _SWEEP_SECONDS_PER_USER)
