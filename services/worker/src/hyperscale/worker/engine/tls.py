"""How TLS is spoken with targets: verified, from version 1.2 on, unless the job says otherwise."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from typing import Final

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.errors import PlanError
from hyperscale.workload.pem import pem_blocks

_HTTP1: Final = "http/1.1"
_HTTP2: Final = "h2"


def client_context(options: workflow_pb2.HttpOptions) -> ssl.SSLContext:
    """The context of a job's connections. Raises PlanError when its certificates or its key cannot be used."""
    return _context(options, [_HTTP1])


def http2_context(options: workflow_pb2.HttpOptions) -> ssl.SSLContext:
    """The same for HTTP/2. HTTP/1.1 is offered besides: a server without HTTP/2 then says so, instead of ending the handshake."""
    return _context(options, [_HTTP2, _HTTP1])


def chose_http2(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer has chosen HTTP/2 in the handshake."""
    tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
    return tls.selected_alpn_protocol() == _HTTP2


def is_refused_protocol(error: OSError) -> bool:
    """Whether a handshake failed since the peer speaks none of the protocols that were offered."""
    return isinstance(error, ssl.SSLError) and "NO_APPLICATION_PROTOCOL" in (error.reason or "")


def _context(options: workflow_pb2.HttpOptions, protocols: list[str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(protocols)
    try:
        if options.ca_certificates:
            context.load_verify_locations(cadata=pem_blocks(options.ca_certificates))
        if options.client_certificate:
            _load_client_certificate(context, options)
    except (ssl.SSLError, ValueError) as error:
        raise PlanError(f"http_options: the certificates or the key cannot be used: {error}") from error
    if options.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_client_certificate(context: ssl.SSLContext, options: workflow_pb2.HttpOptions) -> None:
    """The library reads them from a file only: one that nobody else may read and that is gone at once."""
    with tempfile.TemporaryDirectory(prefix="hyperscale-") as directory:
        path = os.path.join(directory, "client.pem")
        with open(path, "w", encoding="ascii") as file:
            file.write(pem_blocks(options.client_key) + pem_blocks(options.client_certificate))
        # An encrypted key would make the library ask at the terminal.
        context.load_cert_chain(path, password="")
