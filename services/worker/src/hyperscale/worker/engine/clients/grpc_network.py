"""Channels of gRPC calls, and what their failures mean."""

from __future__ import annotations

import re
import ssl
from typing import Any, Final

import grpc
from grpc import aio

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.workload.grpc_targets import GrpcOrigin

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_FIRST_PAUSE_MS: Final = 100
_LONGEST_PAUSE_MS: Final = 1000

_CONNECTING: Final = (
    (re.compile(r"[Hh]andshake failed|SSL_ERROR|certificate|[Vv]erification check failed"), pb.ERROR_CLASS_TLS),
    (re.compile(r"[Pp]roxy"), pb.ERROR_CLASS_PROXY),
    (re.compile(r"HTTP/2|http1"), pb.ERROR_CLASS_PROTOCOL),
    (re.compile(r"Socket closed|Connection reset|Broken pipe"), pb.ERROR_CLASS_RESET),
)
_UNCONNECTED: Final = re.compile(
    r"failed to connect to all addresses|Failed to connect to remote host|empty address list"
)
_UNRESOLVED: Final = re.compile(r"errors resolving|(DNS|[Nn]ame) resolution|lookup (error|failed)")
_BROKEN: Final = re.compile(
    r"Socket closed|Connection reset|Broken pipe|GOAWAY|Cancelling all calls|[Ss]tream removed|RST_STREAM|recvmsg|"
    r"[Tt]ransport|Internal error from Core|keepalive|Endpoint closing"
)
_MALFORMED: Final = re.compile(r"HTTP/2|[Ff]ailed parsing|status header|compress")

_GIVEN_UP: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""Codes with which the library says what happened on the way, and servers what they like."""


class GrpcNetwork:
    """Opens channels; what they have in common is made once per run."""

    def __init__(self, options: workflow_pb2.HttpOptions, tls: ssl.SSLContext) -> None:
        self._http_options = options
        self._tls = tls
        self._credentials: grpc.ChannelCredentials | None = None
        self._options: list[tuple[str, Any]] = [
            # Each user has a connection of its own, as it would have at home.
            ("grpc.use_local_subchannel_pool", 1),
            # One call is one request to the server: nothing is repeated without being counted.
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.primary_user_agent", "hyperscale"),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", _FIRST_PAUSE_MS),
            ("grpc.max_reconnect_backoff_ms", _LONGEST_PAUSE_MS),
            ("grpc.http_proxy", options.proxy) if options.proxy else ("grpc.enable_http_proxy", 0),
        ]

    def channel(self, origin: GrpcOrigin) -> aio.Channel:
        """A channel, which connects when it is first used."""
        if not origin.tls:
            return aio.insecure_channel(origin.address, options=self._options)
        options = list(self._options)
        if self._http_options.server_name:
            options.append(("grpc.ssl_target_name_override", self._http_options.server_name))
        if self._credentials is None:
            self._credentials = self._load_credentials()
        return aio.secure_channel(origin.address, self._credentials, options=options)

    def _load_credentials(self) -> grpc.ChannelCredentials:
        """The authorities and the certificate of the context that all protocols share, as this library wants them."""
        trusted = "".join(map(ssl.DER_cert_to_PEM_cert, self._tls.get_ca_certs(binary_form=True)))
        options = self._http_options
        return grpc.ssl_channel_credentials(
            root_certificates=trusted.encode() or None,
            private_key=options.client_key.encode() or None,
            certificate_chain=options.client_certificate.encode() or None,
        )


def class_of_failure(code: grpc.StatusCode, details: str) -> pb.ErrorClass.ValueType:
    """What a call failed of that did not end with an expected status.

    The library has one code for all that happens on the way, and says the rest in words.
    """
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return pb.ERROR_CLASS_TIMEOUT
    if code not in _GIVEN_UP:
        return pb.ERROR_CLASS_STATUS
    if _UNRESOLVED.search(details):
        return pb.ERROR_CLASS_DNS
    if _UNCONNECTED.search(details):
        found = (error_class for pattern, error_class in _CONNECTING if pattern.search(details))
        return next(found, pb.ERROR_CLASS_CONNECT)
    if _BROKEN.search(details):
        return pb.ERROR_CLASS_RESET
    return pb.ERROR_CLASS_PROTOCOL if _MALFORMED.search(details) else pb.ERROR_CLASS_STATUS
