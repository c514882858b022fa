"""A job's events in order, over as many streams and gates as it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Final

import grpc
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from hyperscale.client.calls import GateCaller, is_transient
from hyperscale.client.errors import CallRefusedError, Refusal
from hyperscale.client.gates import Gate, GatePool
from hyperscale.client.models.settings import ClientSettings
from hyperscale.v1.gate_service_pb2 import JobEvent, WatchJobRequest

EventStream = grpc.aio.UnaryStreamCall[WatchJobRequest, JobEvent]

_ENDED_EARLY: Final = Refusal(grpc.StatusCode.UNAVAILABLE, "the stream ended before the job did")
_NO_CONNECTION: Final = Refusal(grpc.StatusCode.UNAVAILABLE, "the connection could not be made in time")
_GAP: Final = Refusal(grpc.StatusCode.UNAVAILABLE, "the stream left out an event")


def _kind(event: JobEvent) -> str | None:
    return event.WhichOneof("event")


class JobWatch:
    """Follows one job: reconnects, resumes by sequence, drops what was seen before.

    Parameters
    ----------
    pool
        Gates to stream from.
    caller
        Judges failures and decides which gate is next.
    settings
        How long an outage and a silence may last.
    request
        The job, and the sequence to go on from.
    """

    def __init__(self, pool: GatePool, caller: GateCaller, settings: ClientSettings, request: WatchJobRequest) -> None:
        self._pool = pool
        self._caller = caller
        self._settings = settings
        self._job_id = request.job_id
        self._sequence = request.after_sequence
        self._stream: EventStream | None = None
        self._gate: Gate | None = None
        self._down_since: float | None = None

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """Yield every event once, in order; the result is the last one."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(is_transient),
            wait=self._caller.wait_seconds,
            stop=self._out_of_patience,
            reraise=True,
        )
        try:
            while True:
                event: JobEvent | None = await retrying(self._next_event)
                if event is None:
                    continue
                yield event
                if _kind(event) == "result":
                    return
        except CallRefusedError as error:
            raise self._caller.verdict_on(error) from error.__cause__
        finally:
            self._drop_stream()

    async def _next_event(self) -> JobEvent | None:
        """Wait for the next event that is new; None after a silence, when the stream was dropped to be reopened."""
        gate = self._gate = self._pool.current if self._stream is None else self._gate or self._pool.current
        settings = self._settings
        try:
            async with asyncio.timeout(
                settings.watch_idle_seconds if gate.connected else settings.connect_timeout_seconds
            ):
                return await self._read_fresh(gate)
        except TimeoutError:
            self._accept_silence(gate)
            return None
        except grpc.aio.AioRpcError as error:
            self._note_outage()
            raise self._caller.refused(gate, error) from error

    async def _read_fresh(self, gate: Gate) -> JobEvent:
        stream = self._stream = self._stream or self._open(gate)
        while True:
            event: object = await stream.read()
            if not isinstance(event, JobEvent):
                raise self._interrupted(gate, _ENDED_EARLY)
            self._caller.heard(await stream.initial_metadata())
            if self._is_new(gate, event):
                self._sequence = max(self._sequence, event.sequence)
                self._down_since = None
                return event

    def _is_new(self, gate: Gate, event: JobEvent) -> bool:
        kind = _kind(event)
        if kind == "result":
            # A gate that answers from the store no longer knows the sequence the job had when it ended.
            return True
        if event.sequence <= self._sequence:
            return False
        if kind == "snapshot" or event.sequence == self._sequence + 1:
            return True
        raise self._interrupted(gate, _GAP)

    def _open(self, gate: Gate) -> EventStream:
        request = WatchJobRequest(job_id=self._job_id, after_sequence=self._sequence)
        return gate.stub.WatchJob(request, metadata=self._caller.offer)

    def _accept_silence(self, gate: Gate) -> None:
        if not gate.connected:
            raise self._interrupted(gate, _NO_CONNECTION)
        self._drop_stream()
        self._down_since = None

    def _interrupted(self, gate: Gate, refusal: Refusal) -> CallRefusedError:
        self._note_outage()
        self._pool.pass_over(gate.address)
        return CallRefusedError(refusal)

    def _note_outage(self) -> None:
        self._drop_stream()
        self._down_since = self._down_since or time.monotonic()

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    def _out_of_patience(self, state: RetryCallState) -> bool:
        if self._down_since is None or state.attempt_number < len(self._pool):
            return False
        limit = self._settings.watch_patience_seconds if self._caller.reached else self._settings.reach_timeout_seconds
        return time.monotonic() - self._down_since + state.upcoming_sleep >= limit
