"""Retries happen for retryable reasons only, are bounded, jittered, and never outlive the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.retry import COORDINATION, DISPATCH, QUERY, REPORT, RetryPolicy, call_with_retry
from tests.unit.runtime.conftest import EchoNode
from tests.unit.runtime.echo import text

FAST = RetryPolicy("fast", attempts=4, base_delay_seconds=0.001, max_delay_seconds=0.002)


@dataclass(slots=True)
class Flaky:
    """Fails as told, then answers."""

    failures: list[ErrorReason]
    retry_after_seconds: float = 0.0
    timeouts: list[float] = field(default_factory=list)

    async def __call__(self, timeout_seconds: float) -> str:
        self.timeouts.append(timeout_seconds)
        if self.failures:
            raise HyperscaleError(self.failures.pop(0), retry_after_seconds=self.retry_after_seconds)
        return "answer"


@pytest.mark.requirement("AD-21.1")
async def test_a_retryable_failure_is_tried_again_with_the_time_that_is_left() -> None:
    flaky = Flaky([ErrorReason.PEER_UNREACHABLE, ErrorReason.DRAINING])
    assert await call_with_retry(FAST, flaky, deadline_seconds=5) == "answer"
    assert len(flaky.timeouts) == 3
    assert flaky.timeouts == sorted(flaky.timeouts, reverse=True)
    assert flaky.timeouts[0] <= 5


@pytest.mark.requirement("AD-21.1")
async def test_any_other_failure_is_final() -> None:
    flaky = Flaky([ErrorReason.INVALID_ARGUMENT])
    with pytest.raises(HyperscaleError) as failure:
        await call_with_retry(FAST, flaky, deadline_seconds=5)
    assert failure.value.reason is ErrorReason.INVALID_ARGUMENT
    assert len(flaky.timeouts) == 1


async def test_errors_that_are_not_ours_are_not_retried() -> None:
    async def broken(timeout_seconds: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call_with_retry(FAST, broken, deadline_seconds=5)


@pytest.mark.requirement("AD-21.1")
async def test_attempts_are_bounded_and_the_last_failure_is_raised() -> None:
    flaky = Flaky([ErrorReason.PEER_UNREACHABLE] * 3 + [ErrorReason.SYNCING] * 10)
    with pytest.raises(HyperscaleError) as failure:
        await call_with_retry(FAST, flaky, deadline_seconds=5)
    assert failure.value.reason is ErrorReason.SYNCING
    assert len(flaky.timeouts) == FAST.attempts


@pytest.mark.requirement("AD-21.1")
async def test_no_attempt_outlives_the_deadline() -> None:
    async def hang(timeout_seconds: float) -> None:
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    started_at = loop.time()
    with pytest.raises(HyperscaleError) as failure:
        await call_with_retry(FAST, hang, deadline_seconds=0.05)
    assert failure.value.reason is ErrorReason.DEADLINE_EXCEEDED
    assert loop.time() - started_at < 20


@pytest.mark.requirement("AD-21.1")
async def test_a_delay_that_does_not_fit_is_not_waited_for() -> None:
    flaky = Flaky([ErrorReason.RATE_LIMITED] * 9, retry_after_seconds=60)
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    with pytest.raises(HyperscaleError) as failure:
        await call_with_retry(FAST, flaky, deadline_seconds=30)
    assert failure.value.reason is ErrorReason.RATE_LIMITED
    assert loop.time() - started_at < 20
    assert len(flaky.timeouts) == 1


@pytest.mark.requirement("AD-21.1")
@pytest.mark.parametrize("policy", [QUERY, DISPATCH, REPORT, COORDINATION])
async def test_delays_are_fully_jittered_below_a_doubling_bound(policy: RetryPolicy) -> None:
    bounds: list[tuple[float, float]] = []

    def lowest(low: float, high: float) -> float:
        bounds.append((low, high))
        return low

    flaky = Flaky([min(policy.retryable)] * policy.attempts)
    with patch("random.uniform", lowest), pytest.raises(HyperscaleError):
        await call_with_retry(policy, flaky, deadline_seconds=60)
    expected = [
        min(policy.max_delay_seconds, policy.base_delay_seconds * 2**number) for number in range(policy.attempts)
    ]
    assert [low for low, _ in bounds] == [0] * len(bounds)
    assert [high for _, high in bounds] == expected


async def test_failures_of_grpc_are_decoded_and_retried(node: EchoNode) -> None:
    failures = [ErrorReason.NOT_READY, ErrorReason.SYNCING]

    async def before(value: str) -> None:
        if failures:
            raise HyperscaleError(failures.pop(), retry_after_seconds=0)

    node.service.before = before

    def call(timeout_seconds: float) -> Awaitable[StringValue]:
        return node.stub.Unary(text("a"), timeout=timeout_seconds)

    assert await call_with_retry(FAST, call, deadline_seconds=5) == text("a")
    assert len(node.service.received) == 3
