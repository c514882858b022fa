"""Endpoints and the clock."""

from __future__ import annotations

import time

import pytest

from hyperscale.runtime.clock import Clock, SystemClock
from hyperscale.runtime.endpoints import Endpoint


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("localhost:80", Endpoint("localhost", 80)),
        ("10.1.2.3:65535", Endpoint("10.1.2.3", 65535)),
        ("[::1]:8080", Endpoint("::1", 8080)),
        ("node-1.example:0", Endpoint("node-1.example", 0)),
    ],
)
def test_an_address_is_read_and_written_the_same(address: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(address) == endpoint
    assert endpoint.address == address


@pytest.mark.parametrize("address", ["", "host", ":80", "host:", "host:x", "host:65536", "host:-1", "::1:80", "host:٣"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"not host:port|port must be|brackets"):
        Endpoint.parse(address)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("node-1", False)],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, is_loopback: bool) -> None:
    assert Endpoint(host, 1).is_loopback is is_loopback


def test_the_system_clock_tells_both_times() -> None:
    clock: Clock = SystemClock()
    assert abs(clock.wall() - time.time()) < 60
    assert clock.monotonic() <= clock.monotonic()
