"""Judges what a step waits for: so many messages or datagrams, or one that contains or matches something."""

from __future__ import annotations

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.limits import MAX_EXPECTED_MESSAGES, MAX_EXPECTED_TEXT_LENGTH, check_length
from hyperscale.workload.patterns import PatternError, compile_regex

Expectation = workflow_pb2.WebSocketExpectation | workflow_pb2.UdpExpectation


def judge_expectation(faults: FaultCollector, path: str, expectation: Expectation) -> None:
    """Note every fault of an expectation that stands at `path`."""
    until = expectation.WhichOneof("until")
    match until:
        case "contains":
            if not expectation.contains:
                faults.add(f"{path}.contains", "must not be empty: everything contains nothing")
            check_length(faults, f"{path}.contains", expectation.contains, MAX_EXPECTED_TEXT_LENGTH)
        case "matches":
            _judge_pattern(faults, f"{path}.matches", expectation.matches)
        case None:
            counted = next(iter(expectation.DESCRIPTOR.fields_by_name))
            faults.add(path, f"needs one of {counted}, contains or matches")
        case _:
            count = getattr(expectation, until)
            if not 1 <= count <= MAX_EXPECTED_MESSAGES:
                faults.add(f"{path}.{until}", f"must be 1 to {MAX_EXPECTED_MESSAGES:,}, not {count:,}")


def _judge_pattern(faults: FaultCollector, path: str, pattern: str) -> None:
    try:
        compile_regex(pattern)
    except PatternError as error:
        faults.add(path, str(error))
