import grpc
import pytest

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.clients.grpc_network import class_of_failure

CONNECTING = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "


@pytest.mark.parametrize(
    ("code", "details", "name"),
    [
        ("UNAVAILABLE", f"{CONNECTING}Failed to connect to remote host: Connection refused", "CONNECT"),
        ("UNAVAILABLE", f"{CONNECTING}Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL", "TLS"),
        ("UNAVAILABLE", f"{CONNECTING}Custom verification check failed with error: UNAUTHENTICATED", "TLS"),
        ("UNAVAILABLE", f"{CONNECTING}Socket closed", "RESET"),
        ("UNAVAILABLE", f"{CONNECTING}Failed parsing HTTP/2 (Expected SETTINGS frame)", "PROTOCOL"),
        ("UNAVAILABLE", f"{CONNECTING}HTTP proxy returned response code 407", "PROXY"),
        ("UNAVAILABLE", "errors resolving a.test:1: [field:hostname lookup error:Domain name not found]", "DNS"),
        ("UNAVAILABLE", "DNS resolution failed for a.test:1", "DNS"),
        ("UNAVAILABLE", "Socket closed", "RESET"),
        ("UNAVAILABLE", "Cancelling all calls", "RESET"),
        ("UNAVAILABLE", "recvmsg:Connection reset by peer", "RESET"),
        ("INTERNAL", "Internal error from Core", "RESET"),
        ("UNAVAILABLE", "come back later", "STATUS"),
        ("NOT_FOUND", "Socket closed", "STATUS"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "TIMEOUT"),
    ],
)
def test_what_a_call_failed_of(code: str, details: str, name: str) -> None:
    found = class_of_failure(grpc.StatusCode[code], details)
    assert pb.ErrorClass.Name(found) == f"ERROR_CLASS_{name}"
