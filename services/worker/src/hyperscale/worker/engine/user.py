"""One virtual user: runs the steps in order, again and again, driven by what happens to its requests.

A failed request does not end the iteration: the next step follows. After connections that failed, the user pauses
(see `pacing`); a timeout has taken its time already. A request is counted once it was written or its connection failed.

The path of a plain request, run for each one and measured by `make bench-engine`, is `Http1Connection.data_received` →
`VirtualUser.on_response` → `Samples.add` → `VirtualUser._advance` → `Http1Connection.send`: about 1 µs of Python beside 5 µs of
kernel. What only some steps need is decided when the plan is compiled, and leaves this path as short as it is: no call into C
that parses arguments, no container or closure made, no property, no second reading of the clock.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.admission import IterationStock, Seat
from hyperscale.worker.engine.browsing import Browsing, RedirectError
from hyperscale.worker.engine.commons import Commons
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.dialogue import Dialogue
from hyperscale.worker.engine.models.http import Answer, ConnectPhases
from hyperscale.worker.engine.models.load import ArrivalLoad
from hyperscale.worker.engine.models.plan import EncodedStep, Plan
from hyperscale.worker.engine.origins import OriginConnectors
from hyperscale.worker.engine.pacing import pause_seconds
from hyperscale.worker.engine.recorder import Recorder


@dataclass(frozen=True, slots=True)
class RunParts:
    """What all users of a run share."""

    plan: Plan
    recorder: Recorder
    connectors: OriginConnectors
    commons: Commons = field(default_factory=Commons)


class VirtualUser:
    """A state machine over its connections, one per origin."""

    __slots__ = (
        "_browsing",
        "_stock",
        "_connections",
        "_connectors",
        "_dialogue",
        "_due",
        "_failures_in_a_row",
        "_go_on",
        "_is_open_model",
        "_is_thinking",
        "_iteration_started",
        "_origins",
        "_pause",
        "_position",
        "_request",
        "_recorder",
        "_samples",
        "_seat",
        "_step_count",
        "_step_think_times",
        "_steps",
        "_think_time",
        "has_ended",
    )

    def __init__(self, parts: RunParts, stock: IterationStock, seat: Seat, dialogue: Dialogue | None) -> None:
        """`dialogue`: for workflows whose requests are not always the same, or whose responses are looked into."""
        self.has_ended = False
        self._steps = parts.plan.steps
        self._step_count = len(parts.plan.steps)
        self._stock = stock
        self._recorder = parts.recorder
        self._samples = parts.recorder.samples
        self._origins = parts.connectors
        self._connectors = parts.connectors.by_index
        self._connections: list[HttpConnection | None] = [None] * len(parts.plan.origins)
        self._seat = seat
        self._position = 0
        self._iteration_started = 0.0
        self._is_open_model = isinstance(parts.plan.load, ArrivalLoad)
        # From when the request counts that waits for its connection; 0: from when it is sent.
        self._due = 0.0
        self._think_time = parts.plan.think_time
        self._step_think_times = parts.plan.step_think_times
        # Decided here, so that steps without think time pay nothing for it.
        self._go_on = self._think_then_advance if any(self._step_think_times) else self._advance
        self._is_thinking = False
        self._failures_in_a_row = 0
        self._pause: asyncio.TimerHandle | None = None
        # The request that waits for its connection, and the one sent last by a user that remembers something.
        self._request = self._steps[0]
        self._dialogue = dialogue
        # With a dialogue from the start: one look here tells whether the request is the plan's own.
        self._browsing = Browsing(self._origins) if dialogue is not None else None

    @property
    def connections(self) -> list[HttpConnection]:
        """Those it has opened last, one per origin."""
        return [connection for connection in self._connections if connection is not None]

    def begin(self, started: float) -> None:
        """Begin an iteration, whose time counts from `started`; in the open model that of its first request does too."""
        if self._dialogue is not None and not self._is_fed(self._dialogue):
            return
        self._iteration_started = started
        self._position = 0
        first = self._steps[0]
        if self._browsing is not None:
            first = self._dressed(first, self._browsing)
        self._due = started if self._is_open_model else 0.0
        self._send(first, started)

    def retire(self) -> None:
        """Think no longer of an iteration that will not come."""
        if self._is_thinking and self._pause is not None:
            self._pause.cancel()
            self._has_thought()

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
        if self._browsing is None:
            self._samples[position].add(started, ended, received_bytes)
        else:
            self._recorder.answered_promptly(self._request, started, ended, received_bytes)
        if status not in step.expected_statuses:
            self._recorder.unexpected_status(step, ended)
        self._failures_in_a_row = 0
        self._go_on(ended)

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
        is_expected = answer.status in step.expected_statuses
        if not is_expected:
            self._recorder.unexpected_status(step, answer.ended)
        self._arrive(step, answer, is_expected=is_expected)

    def on_failure(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int, received_bytes: int) -> None:
        """The request under way got no whole response."""
        step = self._steps[self._position]
        self._recorder.failure(step, error_class, sent_bytes, received_bytes)
        if self._dialogue is not None and not self.has_ended and not self._dialogue.missed(step.name):
            self._skip_rest()
        self._recover(error_class)

    def on_connected(self, connection: HttpConnection, phases: ConnectPhases) -> None:
        """The connection for the current request is open."""
        if self.has_ended:
            connection.close()
            return
        request = self._request
        due, self._due = self._due, 0.0
        self._connections[request.origin_index] = connection
        self._recorder.connected(self._steps[self._position], phases)
        if connection.is_usable:
            connection.send(request, due or perf_counter())
        else:
            self.on_failure(pb.ERROR_CLASS_RESET, 0, 0)

    def on_connect_failed(self, error_class: pb.ErrorClass.ValueType, blocked_seconds: float) -> None:
        """There is no connection for the current request."""
        if not self.has_ended:
            self._due = 0.0
            self._recorder.connected(self._steps[self._position], ConnectPhases(blocked_seconds, 0.0, None))
            address = self._origins.blamed_address(self._request.origin_index, error_class)
            self._recorder.unreachable(address, error_class)
            self.on_failure(error_class, 0, 0)

    def _follow(self, step: EncodedStep, answer: Answer, location: bytes) -> None:
        try:
            sent = self._dialogue.filled if self._dialogue is not None else step
            hop = self._browse().follow(answer, location, sent or step)
        except RedirectError:
            self._recorder.rejected(step, pb.ERROR_CLASS_REDIRECT, answer.ended)
            self._arrive(step, answer, is_expected=False)
            return
        self._connections += [None] * (hop.origin_index + 1 - len(self._connections))
        self._send(self._browse().dress(hop), answer.ended)

    def _arrive(self, step: EncodedStep, answer: Answer, *, is_expected: bool) -> None:
        """The step has its response, after all redirects."""
        if self._browsing is not None:
            self._browsing.arrive()
        if self._dialogue is not None:
            finding = self._dialogue.heard(step.name, answer)
            if finding.rejection is not None and is_expected:
                self._recorder.rejected(step, finding.rejection, answer.ended)
            if not finding.goes_on:
                self._skip_rest()
        self._go_on(answer.ended)

    def _skip_rest(self) -> None:
        """Let the iteration end with the step it is in: later ones need what this one did not find."""
        self._position = self._step_count - 1

    def _is_fed(self, dialogue: Dialogue) -> bool:
        """Whether there is data for the iteration that is to begin; otherwise the user ends."""
        if dialogue.begin():
            return True
        self._end()
        return False

    def _dressed(self, step: EncodedStep, browsing: Browsing) -> EncodedStep:
        """The request of a step as this user sends it."""
        return browsing.dress(step if self._dialogue is None else self._dialogue.request(step))

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
        self._request = request
        if connection is not None and connection.is_usable:
            self._due = 0.0
            connection.send(request, now)
        else:
            self._connectors[request.origin_index].want(self, request)

    def _recover(self, error_class: pb.ErrorClass.ValueType) -> None:
        if self.has_ended:
            return
        if self._browsing is not None:
            self._browsing.arrive()
        if error_class == pb.ERROR_CLASS_TIMEOUT:
            self._go_on(perf_counter())
            return
        self._failures_in_a_row += 1
        self._pause = asyncio.get_running_loop().call_later(pause_seconds(self._failures_in_a_row), self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._go_on(perf_counter())

    def _think_then_advance(self, now: float) -> None:
        think_time = self._step_think_times[self._position]
        if think_time is None:
            self._advance(now)
            return
        self._pause = asyncio.get_running_loop().call_later(think_time.draw_seconds(), self._advance_after_thought)

    def _advance_after_thought(self) -> None:
        self._pause = None
        self._advance(perf_counter())

    def _advance(self, now: float) -> None:
        position = self._position + 1
        if position == self._step_count:
            if not self._next_iteration(now):
                return
            position = 0
        self._position = position
        step = self._steps[position]
        if self._browsing is not None:
            step = self._request = self._dressed(step, self._browsing)
        connection = self._connections[step.origin_index]
        if connection is not None and connection.is_usable:
            connection.send(step, now)
        else:
            self._request = step
            self._connectors[step.origin_index].want(self, step)

    def _next_iteration(self, now: float) -> bool:
        """End the iteration; whether another one has begun at once."""
        self._recorder.iterations.add(self._iteration_started, now, 0)
        if self._think_time is not None and not self._stock.is_used_up:
            self._is_thinking = True
            seconds = self._think_time.draw_seconds()
            self._pause = asyncio.get_running_loop().call_later(seconds, self._has_thought)
            return False
        if not self._stock.take():
            self._seat.rested()
            return False
        if self._dialogue is not None and not self._is_fed(self._dialogue):
            self._stock.put_back()
            return False
        self._iteration_started = now
        return True

    def _has_thought(self) -> None:
        self._pause = None
        self._is_thinking = False
        if not self._stock.take():
            self._seat.rested()
            return
        self.begin(perf_counter())
        if self.has_ended:
            self._stock.put_back()

    def _end(self) -> None:
        self.has_ended = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for connection in self.connections:
            connection.interrupt()
        self._seat.ended()
