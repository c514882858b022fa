"""One call to whichever gate answers: deadlines, retries with full jitter, leader hints."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import grpc
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from hyperscale.client.errors import CallRefusedError, ClientError, GateUnreachableError, Refusal
from hyperscale.client.gates import Gate, GatePool
from hyperscale.client.misdirection import not_a_gate
from hyperscale.client.models.settings import ClientSettings
from hyperscale.client.negotiation import Negotiation
from hyperscale.client.status_details import refusal_of
from hyperscale.v1.gate_service_pb2_grpc import GateServiceStub

Request = TypeVar("Request")
Response = TypeVar("Response")

_ALWAYS_TRANSIENT: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED}
)
_SILENCE: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_BROKEN: Final = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL})
"""What a connection that ends in the middle of a call looks like; from a gate itself they carry a reason."""
_MAX_HOPS: Final = 3


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later or at another gate."""
    if not isinstance(error, CallRefusedError):
        return False
    refusal = error.refusal
    if refusal.status in _ALWAYS_TRANSIENT or refusal.leader is not None:
        return True
    if refusal.status in _BROKEN:
        return not refusal.answered
    # Without RetryInfo the resource that is exhausted is the message size, and stays so.
    return refusal.status is grpc.StatusCode.RESOURCE_EXHAUSTED and refusal.retry_after_seconds is not None


class GateCaller:
    """Calls gates on behalf of one client.

    Parameters
    ----------
    pool
        The gates; its order is changed by failures and hints.
    settings
        Deadlines and delays.
    negotiation
        Is told what each answer says about the gate.
    """

    def __init__(self, pool: GatePool, settings: ClientSettings, negotiation: Negotiation) -> None:
        self._pool = pool
        self._settings = settings
        self._negotiation = negotiation
        self._backoff = wait_random_exponential(
            multiplier=settings.backoff_initial_seconds, max=settings.backoff_max_seconds
        )
        self._reached = False

    async def call(
        self,
        method: Callable[[GateServiceStub], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
    ) -> Response:
        """Call a method that the contract allows to be retried.

        Raises
        ------
        GateUnreachableError
            No gate answered.
        NotAGateError
            Something else did.
        CallRefusedError
            A gate refused, or the deadline passed while gates answered.
        """
        deadline = time.monotonic() + self._settings.call_timeout_seconds

        async def attempt() -> Response:
            return await self._attempt(method, request, deadline)

        retrying = AsyncRetrying(
            retry=retry_if_exception(is_transient), wait=self.wait_seconds, stop=self._out_of_time, reraise=True
        )
        try:
            return await retrying(attempt)
        except CallRefusedError as error:
            raise await self._misdirected(error) or self.verdict_on(error) from error.__cause__

    async def _misdirected(self, error: CallRefusedError) -> ClientError | None:
        """What to say of an address that is not a gate's; None when that is not what is wrong."""
        if error.status is not grpc.StatusCode.UNIMPLEMENTED or error.refusal.answered:
            return None
        return await not_a_gate(self._pool.current, self._settings.connect_timeout_seconds)

    @property
    def reached(self) -> bool:
        """Whether any gate has ever answered this client."""
        return self._reached

    @property
    def offer(self) -> tuple[tuple[str, str], ...]:
        """Metadata every call carries."""
        return self._negotiation.offer

    def verdict_on(self, error: CallRefusedError) -> ClientError:
        """What the caller is told once no attempt is left: silence of every gate is an error of its own."""
        if error.refusal.answered or error.status not in _SILENCE:
            return error
        if self._reached and error.status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return error
        return GateUnreachableError(self._pool.addresses, error.refusal.message)

    def wait_seconds(self, state: RetryCallState) -> float:
        """Delay before the next attempt: none while there is another gate to ask, else full jitter and RetryInfo."""
        error = state.outcome.exception() if state.outcome is not None else None
        refusal = error.refusal if isinstance(error, CallRefusedError) else None
        if refusal is not None and self._ask_elsewhere_now(refusal, state.attempt_number):
            return 0.0
        asked_seconds = refusal.retry_after_seconds if refusal is not None else None
        return max(asked_seconds or 0.0, self._backoff(state))

    def _ask_elsewhere_now(self, refusal: Refusal, attempt_number: int) -> bool:
        if refusal.leader is not None:
            return attempt_number <= _MAX_HOPS
        return refusal.status in _SILENCE and attempt_number < len(self._pool)

    def _out_of_time(self, state: RetryCallState) -> bool:
        settings = self._settings
        if self._reached:
            return stop_before_delay(settings.call_timeout_seconds)(state)
        every_gate_was_asked = state.attempt_number >= len(self._pool)
        return every_gate_was_asked and stop_before_delay(settings.reach_timeout_seconds)(state)

    async def _attempt(
        self,
        method: Callable[[GateServiceStub], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
        deadline: float,
    ) -> Response:
        gate = self._pool.current
        timeout_seconds = max(0.001, min(self._attempt_limit_seconds(gate), deadline - time.monotonic()))
        call = method(gate.stub)(request, timeout=timeout_seconds, metadata=self.offer)
        try:
            response = await call
            self.heard(await call.initial_metadata())
            self.heard(await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise self.refused(gate, error) from error
        return response

    def heard(self, metadata: grpc.aio.Metadata) -> None:
        """A gate has answered, with this metadata."""
        self._reached = True
        self._negotiation.record(metadata)

    def refused(self, gate: Gate, error: grpc.aio.AioRpcError) -> CallRefusedError:
        """A call to ``gate`` has failed; decides who is asked next."""
        refusal = refusal_of(error)
        self._reached = self._reached or refusal.answered or gate.connected
        failure = CallRefusedError(refusal)
        if refusal.leader is not None:
            self._pool.prefer(refusal.leader)
        elif is_transient(failure):
            self._pool.pass_over(gate.address)
        return failure

    def _attempt_limit_seconds(self, gate: Gate) -> float:
        settings = self._settings
        return settings.attempt_timeout_seconds if gate.connected else settings.connect_timeout_seconds
