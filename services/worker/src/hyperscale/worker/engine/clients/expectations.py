"""Messages or datagrams that a declared step waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.patterns import compile_regex

Matches = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Awaited:
    """What to wait for: so many messages that match."""

    count: int
    matches: Matches


def compile_expectation(expectation: workflow_pb2.WebSocketExpectation | workflow_pb2.UdpExpectation) -> Awaited:
    """What an expectation waits for. Raises PatternError, which validation has told of before."""
    until = expectation.WhichOneof("until")
    match until:
        case "contains":
            text = expectation.contains.encode()
            return Awaited(1, lambda message: text in message)
        case "matches":
            regex = compile_regex(expectation.matches)
            return Awaited(1, lambda message: regex.search(message) is not None)
        case _:
            return Awaited(getattr(expectation, until or ""), lambda _: True)
