"""Judges how a job speaks HTTP: certificates, proxy, limits."""

from __future__ import annotations

import re
import ssl
from typing import Final
from urllib.parse import urlsplit

from hyperscale.v1 import workflow_pb2
from hyperscale.workload.faults import FaultCollector
from hyperscale.workload.limits import (
    DAY_SECONDS,
    MAX_CERTIFICATES_LENGTH,
    MAX_CONNECTIONS_PER_ORIGIN,
    MAX_KEY_LENGTH,
    check_duration,
    check_length,
)
from hyperscale.workload.pem import pem_blocks

MIN_DNS_TTL_SECONDS: Final = 1.0
_MAX_PROXY_LENGTH: Final = 2048
_SERVER_NAME: Final = re.compile(r"[A-Za-z0-9._-]{0,253}")
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN ((RSA|EC) )?PRIVATE KEY-----")
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")


class HttpOptionsJudge:
    """Notes the faults of a job's HTTP options."""

    def __init__(self, faults: FaultCollector) -> None:
        self._faults = faults

    def judge(self, path: str, options: workflow_pb2.HttpOptions) -> None:
        """Note every fault of options that stand at `path`."""
        self._certificates(f"{path}.ca_certificates", options.ca_certificates)
        self._certificates(f"{path}.client_certificate", options.client_certificate)
        self._key(path, options)
        if not _SERVER_NAME.fullmatch(options.server_name):
            self._faults.add(f"{path}.server_name", "must be a host name in ASCII")
        if options.proxy and (fault := proxy_fault(options.proxy)):
            self._faults.add(f"{path}.proxy", fault)
        if options.max_connections_per_origin > MAX_CONNECTIONS_PER_ORIGIN:
            limit = f"must be at most {MAX_CONNECTIONS_PER_ORIGIN:,}, not {options.max_connections_per_origin:,}"
            self._faults.add(f"{path}.max_connections_per_origin", limit)
        self._dns_ttl(f"{path}.dns_ttl", options)

    def _certificates(self, path: str, pem: str) -> None:
        check_length(self._faults, path, pem, MAX_CERTIFICATES_LENGTH)
        if not pem or len(pem) > MAX_CERTIFICATES_LENGTH:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem_blocks(pem))
        except (ssl.SSLError, ValueError):
            self._faults.add(path, "must be certificates in PEM form (-----BEGIN CERTIFICATE-----)")

    def _key(self, path: str, options: workflow_pb2.HttpOptions) -> None:
        check_length(self._faults, f"{path}.client_key", options.client_key, MAX_KEY_LENGTH)
        if bool(options.client_key) != bool(options.client_certificate):
            self._faults.add(f"{path}.client_key", "and client_certificate need each other")
        elif options.client_key and not _PRIVATE_KEY.search(pem_blocks(options.client_key)):
            self._faults.add(f"{path}.client_key", "must be a private key in PEM form that is not encrypted")

    def _dns_ttl(self, path: str, options: workflow_pb2.HttpOptions) -> None:
        if not options.HasField("dns_ttl"):
            return
        check_duration(self._faults, path, options.dns_ttl, longest_seconds=DAY_SECONDS)
        if options.dns_ttl.seconds == 0 and options.dns_ttl.nanos > 0:
            self._faults.add(path, f"must be at least {MIN_DNS_TTL_SECONDS:g}s")


def proxy_fault(proxy: str) -> str | None:
    """What is wrong with the URL of a proxy; None when nothing is."""
    try:
        url = urlsplit(proxy)
        port = url.port
    except ValueError as error:
        return f"is not a URL: {error}"
    if len(proxy) > _MAX_PROXY_LENGTH or re.search(r"[^\x21-\x7e]", proxy):
        return f"must be printable ASCII without spaces, at most {_MAX_PROXY_LENGTH} characters"
    if url.scheme != "http" or not _HOST.fullmatch(url.hostname or "") or not port:
        return "must be http://host:port or http://user:password@host:port"
    if url.path not in {"", "/"} or url.query or url.fragment:
        return "must end with the port"
    return None
