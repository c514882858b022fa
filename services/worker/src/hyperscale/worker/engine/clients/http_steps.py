"""Declared `http` and `graphql` steps of users that speak other protocols too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.clients.http import Exchange, RequestBook, UserHttp
from hyperscale.worker.engine.clients.protocol import ClientContext
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.models.plan import EncodedStep
from hyperscale.worker.engine.models.reply import CallReply
from hyperscale.worker.engine.plan import encode_step


@dataclass(frozen=True, slots=True)
class _Request:
    """A step, and how it is sent."""

    step: workflow_pb2.Step
    encoded: EncodedStep


@dataclass(frozen=True, slots=True)
class _Judged:
    """The request made last, as far as it may fail still."""

    request: EncodedStep
    ended: float


class UserHttpSteps:
    """The requests of one user, with its connections and cookies."""

    def __init__(self, context: ClientContext) -> None:
        self._parts = context.parts
        self._target = context.target
        self._http = UserHttp(context.parts, RequestBook(context.parts, context.target), context.measurement)
        self._indexes = {name: index for index, name in enumerate(context.parts.plan.client_steps)}
        self._requests: dict[str, _Request] = {}
        """Encoded last, by step."""
        self._last: _Judged | None = None

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """Those it has opened last."""
        return list(self._http.connections.values())

    async def run(self, step: workflow_pb2.Step) -> CallReply:
        """Send the request of a step, and what follows from redirects. Raises CallError, already counted."""
        self._last = None
        request = self._encoded(step)
        exchange = Exchange(self._http, request)
        response = await self._http.perform(exchange)
        if response.expected:
            self._last = _Judged(request, exchange.ended)
        body, fields = (b"", ()) if exchange.message is None else (exchange.message.body, exchange.message.fields)
        return CallReply(response.elapsed_seconds, body, response.status, fields)

    def reject(self, error_class: pb.ErrorClass.ValueType) -> None:
        """Count the request made last as failed, unless its status has failed it already."""
        if self._last is not None:
            self._parts.recorder.rejected(self._last.request, error_class, self._last.ended)

    async def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _encoded(self, step: workflow_pb2.Step) -> EncodedStep:
        known = self._requests.get(step.name)
        if known is None or known.step is not step:
            index_of = self._parts.connectors.index_of
            encoded = encode_step(self._indexes[step.name], step, self._target, index_of)
            known = self._requests[step.name] = _Request(step, encoded)
        return known.encoded
