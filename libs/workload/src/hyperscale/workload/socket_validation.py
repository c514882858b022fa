"""Judges steps over TCP and UDP."""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.expectation_validation import judge_expectation
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.limits import (
    MAX_DATAGRAM_BYTES,
    MAX_EXPECTED_TEXT_LENGTH,
    MAX_READ_BYTES,
    MAX_REQUEST_TIMEOUT_SECONDS,
    MAX_SESSION_ACTIONS,
    at_most,
    check_duration,
    check_length,
)
from hyperscale.workload.socket_addresses import TCP_SCHEMES, UDP_SCHEMES, SocketAddressError, parse_address


class SocketJudge:
    """Notes the faults of TCP and UDP steps."""

    def __init__(self, faults: FaultCollector) -> None:
        self._faults = faults

    def judge_tcp(self, path: str, session: workflow_pb2.TcpSession) -> None:
        """Note every fault of a TCP step that stands at `path`."""
        self._common(path, session, TCP_SCHEMES)
        actions = at_most(self._faults, f"{path}.actions", session.actions, MAX_SESSION_ACTIONS)
        for index, action in enumerate(actions):
            at = f"{path}.actions[{index}]"
            match action.WhichOneof("action"):
                case "read":
                    self._read(f"{at}.read", action.read, is_last=index == len(session.actions) - 1)
                case None:
                    self._faults.add(at, "needs an action: send_text, send_binary or read")

    def judge_udp(self, path: str, exchange: workflow_pb2.UdpExchange) -> None:
        """Note every fault of a UDP step that stands at `path`."""
        self._common(path, exchange, UDP_SCHEMES)
        if not exchange.actions:
            self._faults.add(f"{path}.actions", f"1 to {MAX_SESSION_ACTIONS} actions are required")
        for index, action in enumerate(at_most(self._faults, f"{path}.actions", exchange.actions, MAX_SESSION_ACTIONS)):
            at = f"{path}.actions[{index}]"
            match action.WhichOneof("action"):
                case "send_text":
                    self._datagram(f"{at}.send_text", action.send_text.encode(errors="replace"))
                case "send_binary":
                    self._datagram(f"{at}.send_binary", action.send_binary)
                case "expect":
                    judge_expectation(self._faults, f"{at}.expect", action.expect)
                case None:
                    self._faults.add(at, "needs an action: send_text, send_binary or expect")

    def _common(
        self, path: str, step: workflow_pb2.TcpSession | workflow_pb2.UdpExchange, schemes: Sequence[str]
    ) -> None:
        try:
            parse_address(step.address, schemes)
        except SocketAddressError as error:
            self._faults.add(f"{path}.address", str(error))
        if step.HasField("timeout"):
            limit = MAX_REQUEST_TIMEOUT_SECONDS
            check_duration(self._faults, f"{path}.timeout", step.timeout, longest_seconds=limit)

    def _read(self, path: str, read: workflow_pb2.TcpRead, *, is_last: bool) -> None:
        match read.WhichOneof("until"):
            case "delimiter":
                if not read.delimiter:
                    self._faults.add(f"{path}.delimiter", "must not be empty: use bytes or close")
                check_length(self._faults, f"{path}.delimiter", read.delimiter, MAX_EXPECTED_TEXT_LENGTH)
            case "bytes":
                if not 1 <= read.bytes <= MAX_READ_BYTES:
                    self._faults.add(f"{path}.bytes", f"must be 1 to {MAX_READ_BYTES:,}, not {read.bytes:,}")
            case "close":
                if not (read.close and is_last):
                    self._faults.add(f"{path}.close", "must be true, and the last action: nothing comes after it")
            case None:
                self._faults.add(path, "needs one of delimiter, bytes or close")

    def _datagram(self, path: str, content: bytes) -> None:
        if not 1 <= len(content) <= MAX_DATAGRAM_BYTES:
            self._faults.add(path, f"must have 1 to {MAX_DATAGRAM_BYTES:,} bytes, not {len(content):,}")
