"""Who may start an iteration when: one driver per load profile, over users of any kind.

Closed models admit a user again as soon as its iteration has ended, by its stock. In the open model a schedule hands out
iterations when they are due: to a user at rest, to a new one while there may be more, or to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Protocol

from hyperscale.worker.engine.admission import IterationStock
from hyperscale.worker.engine.models.load import ArrivalLoad, FixedLoad, RampLoad
from hyperscale.worker.engine.models.plan import Plan
from hyperscale.worker.engine.population import Population, User
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.workload.schedule import RampChange

_NS_PER_SECOND = 1e9


class LoadDriver(Protocol):
    """Makes users start iterations."""

    def start(self, started: float) -> None:
        """Begin; times of the profile count from `started`, a reading of `perf_counter`."""

    def finish(self) -> None:
        """The load's time is up: what was due until now has started, and nothing starts any more."""

    def close(self) -> None:
        """Nothing starts any more, at once; users end with the iteration they are in."""


class FixedUsers:
    """A number of users that stays, with a common stock of iterations or one each."""

    def __init__(self, load: FixedLoad, population: Population) -> None:
        self._load = load
        self._population = population
        self._stocks: list[IterationStock] = []

    def start(self, started: float) -> None:
        """See `LoadDriver`."""
        load = self._load
        count = load.vus if load.is_stock_per_user else 1
        # Users think no longer of the last iteration once another one has taken it.
        on_used_up = None if load.is_stock_per_user else self._population.retire
        self._stocks = [IterationStock(load.iterations, on_used_up) for _ in range(count)]
        users = [
            (self._population.add(stock, _end), stock)
            for stock in (self._stocks if load.is_stock_per_user else self._stocks * load.vus)
        ]
        self._population.seal()
        for user, stock in users:
            if not stock.take():
                user.interrupt()
                continue
            user.begin(perf_counter())
            if user.has_ended:
                stock.put_back()

    def finish(self) -> None:
        """See `LoadDriver`."""
        self.close()

    def close(self) -> None:
        """See `LoadDriver`."""
        for stock in self._stocks:
            stock.close()
        self._population.seal()
        self._population.retire()


class Ramp:
    """Users that come and go."""

    def __init__(self, load: RampLoad, population: Population) -> None:
        self._load = load
        self._population = population
        self._present: dict[int, _RampUser] = {}
        self._timer = _Timer(self._change)
        self._changes: Iterator[RampChange] = iter(())
        self._next: RampChange | None = None
        self._started = 0.0

    def start(self, started: float) -> None:
        """See `LoadDriver`."""
        self._started = started
        self._changes = self._load.schedule.changes_in(self._load.part)
        self._next = next(self._changes, None)
        self._change()

    def finish(self) -> None:
        """See `LoadDriver`."""
        self.close()

    def close(self) -> None:
        """See `LoadDriver`."""
        self._timer.cancel()
        self._next = None
        for present in self._present.values():
            present.leave(None)
        self._population.seal()
        self._population.retire()

    def _change(self) -> None:
        """Everything that is due."""
        while (change := self._next) is not None:
            due = self._started + change.at_ns / _NS_PER_SECOND
            if due > perf_counter():
                self._timer.set(due)
                return
            self._next = next(self._changes, None)
            self._apply(change)

    def _apply(self, change: RampChange) -> None:
        present = self._present.get(change.user)
        if not change.comes:
            if present is not None:
                present.leave(self._load.graceful_ramp_down_seconds)
        elif present is None or present.user.has_ended:
            stock = IterationStock(None)
            user = self._population.add(stock, _end)
            self._present[change.user] = _RampUser(user, stock)
            if stock.take():
                user.begin(perf_counter())
        else:
            present.stay()


class _RampUser:
    """One user of a ramp, who may come back before it has left."""

    def __init__(self, user: User, stock: IterationStock) -> None:
        self.user = user
        self._stock = stock
        self._deadline: asyncio.TimerHandle | None = None

    def leave(self, grace_seconds: float | None) -> None:
        """Go with the end of the iteration under way, within the grace; None: whenever that is."""
        self._stock.close()
        if grace_seconds is not None:
            self._cancel_deadline()
            self._deadline = asyncio.get_running_loop().call_later(grace_seconds, self.user.interrupt)
        self.user.retire()

    def stay(self) -> None:
        """Go on after all."""
        self._cancel_deadline()
        self._stock.reopen()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Arrivals:
    """The open model."""

    def __init__(self, load: ArrivalLoad, population: Population, recorder: Recorder) -> None:
        self._load = load
        self._population = population
        self._recorder = recorder
        # A user takes no iterations: it rests after each.
        self._stock = IterationStock.of_schedule()
        self._resting: list[User] = []
        self._users = 0
        self._due_ns: Iterator[int] = iter(())
        self._next: float | None = None
        self._timer = _Timer(self._hand_out)
        self._started = 0.0
        self._is_open = True

    def start(self, started: float) -> None:
        """See `LoadDriver`."""
        self._started = started
        self._due_ns = self._load.schedule.due_in(self._load.part)
        self._resting = [self._new_user() for _ in range(min(self._load.pre_allocated_vus, self._load.max_vus))]
        self._advance()
        self._hand_out()

    def finish(self) -> None:
        """See `LoadDriver`."""
        while self._next is not None:
            self._hand_out_one(self._next, perf_counter())
        self.close()

    def close(self) -> None:
        """See `LoadDriver`."""
        self._is_open = False
        self._stock.close()
        self._timer.cancel()
        self._next = None
        resting, self._resting = self._resting, []
        for user in resting:
            user.interrupt()
        self._population.seal()
        self._population.retire()

    def _hand_out(self) -> None:
        """Start what is due."""
        while self._next is not None:
            now = perf_counter()
            if self._next > now:
                self._timer.set(self._next)
                return
            self._hand_out_one(self._next, now)

    def _hand_out_one(self, due: float, now: float) -> None:
        self._advance()
        self._recorder.late(due, now)
        user = self._resting.pop() if self._resting else self._new_user() if self._users < self._load.max_vus else None
        if user is not None:
            user.begin(min(due, now))
        if user is None or user.has_ended:
            # Nobody is free, or there was no data for who was.
            self._recorder.dropped_iteration()

    def _advance(self) -> None:
        due_ns = next(self._due_ns, None)
        self._next = None if due_ns is None else self._started + due_ns / _NS_PER_SECOND

    def _new_user(self) -> User:
        self._users += 1
        return self._population.add(self._stock, self._rest)

    def _rest(self, user: User) -> None:
        if self._is_open:
            # The one that has rested for the shortest time comes next: its connections are the least likely to be stale.
            self._resting.append(user)
        else:
            user.interrupt()


class _Timer:
    """Calls back once, soon after the time it was set to last."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """Call back at a reading of `perf_counter`."""
        self.cancel()
        self._handle = asyncio.get_running_loop().call_later(max(0.0, due - perf_counter()), self._callback)

    def cancel(self) -> None:
        """Do not call back."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def driver_of(plan: Plan, population: Population, recorder: Recorder) -> LoadDriver:
    """The driver of the plan's load."""
    match plan.load:
        case FixedLoad():
            return FixedUsers(plan.load, population)
        case RampLoad():
            return Ramp(plan.load, population)
        case ArrivalLoad():
            return Arrivals(plan.load, population, recorder)


def _end(user: User) -> None:
    """A user for whom there is no iteration any more ends."""
    user.interrupt()
