"""Retries by named policies: full jitter, only what the contract calls retryable, never past the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc.aio
import tenacity

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.interceptors import error_from_rpc

ResultT = TypeVar("ResultT")

_NODE_IS_AWAY = frozenset(
    {
        ErrorReason.PEER_UNREACHABLE,
        ErrorReason.NOT_READY,
        ErrorReason.SYNCING,
        ErrorReason.DRAINING,
        ErrorReason.OVERLOADED,
        ErrorReason.RATE_LIMITED,
        ErrorReason.COORDINATION_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When and how often a call is tried again.

    Attributes
    ----------
    name
        For logs and metrics.
    attempts
        Calls in all, at least 1; 1 switches retries off.
    base_delay_seconds
        Upper bound of the first delay; it doubles each time. The delay itself is uniform between 0 and the bound.
    max_delay_seconds
        Largest bound of a delay, unless the peer asked for more.
    retryable
        Reasons after which the same request may be sent again.
    """

    name: str
    attempts: int
    base_delay_seconds: float
    max_delay_seconds: float
    retryable: frozenset[ErrorReason] = _NODE_IS_AWAY


QUERY = RetryPolicy("query", attempts=3, base_delay_seconds=0.1, max_delay_seconds=1.0)
"""Reads: a person or a loop waits for the answer."""

DISPATCH = RetryPolicy("dispatch", attempts=4, base_delay_seconds=0.2, max_delay_seconds=2.0)
"""Work handed to a datacenter or a worker, idempotent by its id and fence."""

REPORT = RetryPolicy("report", attempts=8, base_delay_seconds=0.2, max_delay_seconds=5.0)
"""Outcomes that must arrive; the receiver drops duplicates."""

COORDINATION = RetryPolicy(
    "coordination",
    attempts=6,
    base_delay_seconds=0.02,
    max_delay_seconds=0.5,
    retryable=frozenset({ErrorReason.COORDINATION_CONFLICT, ErrorReason.COORDINATION_UNAVAILABLE}),
)
"""Read, decide, write again when another writer was faster."""


async def call_with_retry(
    policy: RetryPolicy, func: Callable[[float], Awaitable[ResultT]], deadline_seconds: float
) -> ResultT:
    """Call until it succeeds, fails for good, or no attempt is left or fits before the deadline.

    Parameters
    ----------
    func
        Receives the seconds left, to pass on as the timeout of the RPC.
    deadline_seconds
        From now; an attempt still running then is cancelled and DEADLINE_EXCEEDED is raised.

    Raises the `HyperscaleError` of the last attempt; errors of gRPC are decoded first.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + deadline_seconds

    async def attempt() -> ResultT:
        try:
            async with asyncio.timeout_at(deadline):
                return await func(deadline - clock())
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except TimeoutError as error:
            raise HyperscaleError(ErrorReason.DEADLINE_EXCEEDED) from error

    def exhausted(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= policy.attempts or clock() + state.upcoming_sleep >= deadline

    retrying = tenacity.AsyncRetrying(
        stop=exhausted,
        wait=_Wait(policy),
        retry=tenacity.retry_if_exception(lambda error: _may_repeat(policy, error)),
        reraise=True,
    )
    return await retrying(attempt)


class _Wait:
    """Full jitter, and never earlier than the peer asked for."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = tenacity.wait_random_exponential(
            multiplier=policy.base_delay_seconds, max=policy.max_delay_seconds
        )

    def __call__(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked_seconds = error.retry_after_seconds if isinstance(error, HyperscaleError) else None
        return (asked_seconds or 0.0) + self._jitter(state)


def _may_repeat(policy: RetryPolicy, error: BaseException) -> bool:
    return isinstance(error, HyperscaleError) and error.reason in policy.retryable
