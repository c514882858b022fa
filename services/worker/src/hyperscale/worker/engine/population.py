"""All users of one run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Protocol

from hyperscale.worker.engine.admission import IterationStock, Seat
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

    @property
    def has_ended(self) -> bool:
        """Whether it runs nothing any more."""

    def begin(self, started: float) -> None:
        """Begin an iteration, whose time counts from `started`; it takes further ones from its stock."""

    def retire(self) -> None:
        """Think no longer of an iteration that will not come."""

    def expire(self, now: float) -> None:
        """Give up a request that has taken too long."""

    def interrupt(self) -> None:
        """End; calls under way count as cancelled."""


UserMaker = Callable[[IterationStock, Seat], User]
"""Makes a user with its stock and its seat."""


class _TakenSeat:
    """The seat of one user."""

    __slots__ = ("_on_ended", "_on_rested", "user")

    def __init__(self, on_rested: Callable[[User], None], on_ended: Callable[[], None]) -> None:
        self.user: User | None = None
        self._on_rested = on_rested
        self._on_ended = on_ended

    def rested(self) -> None:
        """See `Seat`."""
        if self.user is not None:
            self._on_rested(self.user)

    def ended(self) -> None:
        """See `Seat`."""
        self._on_ended()


class Population:
    """Keeps the users, looks after their timeouts, and sees them all to their end."""

    def __init__(self, plan: Plan, gauge: UserGauge) -> None:
        self._gauge = gauge
        self._plan = plan
        self._users: list[User] = []
        self._make_user: UserMaker | None = None
        self._is_sealed = False
        self._all_ended = asyncio.Event()

    def admit(self, make_user: UserMaker) -> None:
        """Let users be added, made in this way."""
        self._make_user = make_user

    def add(self, stock: IterationStock, on_rested: Callable[[User], None]) -> User:
        """One more user, at rest; `on_rested` is told whenever it is again, and may let it begin or end it."""
        if self._make_user is None:
            raise RuntimeError("users are added before they are admitted")
        seat = _TakenSeat(on_rested, self._user_ended)
        user = seat.user = self._make_user(stock, seat)
        self._users.append(user)
        self._gauge.started()
        return user

    def seal(self) -> None:
        """No user is added any more: the population has ended when its last user has."""
        self._is_sealed = True
        self._note_end()

    def retire(self) -> None:
        """Let users think no longer of iterations that will not come."""
        for user in self._users:
            user.retire()

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
            self._forget_ended()
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
        self._gauge.ended()
        self._note_end()

    def _note_end(self) -> None:
        if self._is_sealed and not self._gauge.running:
            self._all_ended.set()

    def _forget_ended(self) -> None:
        """Users of a ramp come and go: those that are gone, with their connections, are of no interest any more."""
        if len(self._users) > self._gauge.running:
            self._users = [user for user in self._users if not _is_gone(user)]

    def _sweep_seconds(self) -> float:
        shortest = min((step.first_byte_timeout_seconds for step in self._plan.steps), default=0.0)
        interval = min(max(shortest / _SWEEPS_PER_TIMEOUT, _SHORTEST_SWEEP_SECONDS), _LONGEST_SWEEP_SECONDS)
        return max(interval, len(self._users) * _SWEEP_SECONDS_PER_USER)


def _is_gone(user: User) -> bool:
    return user.has_ended and all(connection.is_lost for connection in user.connections)
