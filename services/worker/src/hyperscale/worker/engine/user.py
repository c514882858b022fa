"""One virtual user: runs the steps in order, again and again, driven by what happens to its requests.

A failed request does not end the iteration: the next step follows. After connections that failed, the user pauses
(see `pacing`); a timeout has taken its time already. A request is counted once it was written or its connection failed.

The path of a plain request, run for each one and measured by `make bench-engine`, is `HttpConnection.data_received` →
`VirtualUser.on_response` → `Samples.add` → `VirtualUser._advance` → `HttpConnection.send`: about 1 µs of Python beside 5 µs of
kernel. What only some steps need is decided when the plan is compiled, and leaves this path as short as it is: no call into C
that parses arguments, no container or closure made, no property, no second reading of the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.browsing import Browsing, RedirectError
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.load import IterationStock
from hyperscale.worker.engine.models.http import Answer, ConnectPhases
from hyperscale.worker.engine.models.plan import EncodedStep, Plan
from hyperscale.worker.engine.origins import OriginConnectors
from hyperscale.worker.engine.pacing import pause_seconds
from hyperscale.worker.engine.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Stage:
    """What all users of a run share."""

    plan: Plan
    stock: IterationStock
    recorder: Recorder
    connectors: OriginConnectors


class VirtualUser:
    """A state machine over its connections, one per origin."""

    __slots__ = (
        "_browsing",
        "_stock",
        "_connections",
        "_connectors",
        "_failures_in_a_row",
        "_iteration_started",
        "_on_ended",
        "_origins",
        "_pause",
        "_position",
        "_request",
        "_recorder",
        "_samples",
        "_step_count",
        "_steps",
        "has_ended",
    )

    def __init__(self, stage: Stage, on_ended: Callable[[], None]) -> None:
        """`on_ended` is called once, when no iteration may start any more or the user is interrupted."""
        self.has_ended = False
        self._steps = stage.plan.steps
        self._step_count = len(stage.plan.steps)
        self._stock = stage.stock
        self._recorder = stage.recorder
        self._samples = stage.recorder.samples
        self._origins = stage.connectors
        self._connectors = stage.connectors.by_index
        self._connections: list[HttpConnection | None] = [None] * len(stage.plan.origins)
        self._on_ended = on_ended
        self._position = 0
        self._iteration_started = 0.0
        self._failures_in_a_row = 0
        self._pause: asyncio.TimerHandle | None = None
        # The request that waits for its connection.
        self._request = self._steps[0]
        self._browsing: Browsing | None = None

    @property
    def connections(self) -> list[HttpConnection]:
        """Those it has opened last, one per origin."""
        return [connection for connection in self._connections if connection is not None]

    def start(self) -> None:
        """Begin the first iteration, if there is one."""
        if not self._stock.take():
            self._end()
            return
        self._iteration_started = perf_counter()
        self._send(self._steps[0], self._iteration_started)

    def expire(self, now: float) -> None:
        """Give up a request that has taken too long."""
        for connection in self._connections:
            if connection is not None:
                connection.expire(now)

    def interrupt(self) -> None:
        """End at once; a request under way counts as cancelled."""
        if not self.has_ended:
            self._end()

    def on_response(self, status: int, started: float, ended: float, received_bytes: int) -> None:
        """A whole response came back."""
        position = self._position
        step = self._steps[position]
        self._samples[position].add(started, ended, received_bytes)
        if status not in step.expected_statuses:
            self._recorder.unexpected_status(step, ended)
        self._failures_in_a_row = 0
        self._advance(ended)

    def on_answer(self, answer: Answer) -> None:
        """A whole response came back that is to be looked at."""
        step = self._steps[self._position]
        self._recorder.answered(step, answer)
        self._failures_in_a_row = 0
        self._share(answer.request.origin_index)
        if self._origins.network.keeps_cookies and answer.values_of(b"set-cookie"):
            self._browse().learn(answer)
        location = answer.redirect_location
        if location is not None and step.max_redirects:
            self._follow(step, answer, location)
            return
        if answer.status not in step.expected_statuses:
            self._recorder.unexpected_status(step, answer.ended)
        self._arrive(answer.ended)

    def on_failure(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int, received_bytes: int) -> None:
        """The request under way got no whole response."""
        self._recorder.failure(self._steps[self._position], error_class, sent_bytes, received_bytes)
        self._recover(error_class)

    def on_connected(self, connection: HttpConnection, phases: ConnectPhases) -> None:
        """The connection for the current request is open."""
        if self.has_ended:
            connection.close()
            return
        request = self._request
        self._connections[request.origin_index] = connection
        self._recorder.connected(self._steps[self._position], phases)
        if connection.is_usable:
            connection.send(request, perf_counter())
        else:
            self.on_failure(pb.ERROR_CLASS_RESET, 0, 0)

    def on_connect_failed(self, error_class: pb.ErrorClass.ValueType, blocked_seconds: float) -> None:
        """There is no connection for the current request."""
        if not self.has_ended:
            self._recorder.connected(self._steps[self._position], ConnectPhases(blocked_seconds, 0.0, None))
            self.on_failure(error_class, 0, 0)

    def _follow(self, step: EncodedStep, answer: Answer, location: bytes) -> None:
        try:
            hop = self._browse().follow(answer, location, step)
        except RedirectError:
            self._recorder.rejected(step, pb.ERROR_CLASS_REDIRECT, answer.ended)
            self._arrive(answer.ended)
            return
        self._connections += [None] * (hop.origin_index + 1 - len(self._connections))
        self._send(self._browse().dress(hop), answer.ended)

    def _arrive(self, now: float) -> None:
        """The step has its response, after all redirects."""
        if self._browsing is not None:
            self._browsing.arrive()
        self._advance(now)

    def _browse(self) -> Browsing:
        browsing = self._browsing
        if browsing is None:
            browsing = self._browsing = Browsing(self._origins)
        return browsing

    def _share(self, origin_index: int) -> None:
        """Leave the connection to others, where they are limited."""
        connection = self._connections[origin_index]
        if self._origins.network.max_connections and connection is not None:
            self._connections[origin_index] = None
            self._connectors[origin_index].give_back(connection)

    def _send(self, request: EncodedStep, now: float) -> None:
        connection = self._connections[request.origin_index]
        if connection is not None and connection.is_usable:
            connection.send(request, now)
        else:
            self._request = request
            self._connectors[request.origin_index].want(self, request)

    def _recover(self, error_class: pb.ErrorClass.ValueType) -> None:
        if self.has_ended:
            return
        if self._browsing is not None:
            self._browsing.arrive()
        if error_class == pb.ERROR_CLASS_TIMEOUT:
            self._advance(perf_counter())
            return
        self._failures_in_a_row += 1
        self._pause = asyncio.get_running_loop().call_later(pause_seconds(self._failures_in_a_row), self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._advance(perf_counter())

    def _advance(self, now: float) -> None:
        position = self._position + 1
        if position == self._step_count:
            if not self._next_iteration(now):
                self._end()
                return
            position = 0
        self._position = position
        step = self._steps[position]
        if self._browsing is not None:
            step = self._browsing.dress(step)
        connection = self._connections[step.origin_index]
        if connection is not None and connection.is_usable:
            connection.send(step, now)
        else:
            self._request = step
            self._connectors[step.origin_index].want(self, step)

    def _next_iteration(self, now: float) -> bool:
        """End the iteration; whether another one has begun."""
        self._recorder.iterations.add(self._iteration_started, now, 0)
        self._iteration_started = now
        return self._stock.take()

    def _end(self) -> None:
        self.has_ended = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for connection in self.connections:
            connection.interrupt()
        self._on_ended()
