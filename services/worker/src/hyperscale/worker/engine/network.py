"""From the options of a job to how a run reaches its targets."""

from __future__ import annotations

from functools import cache, partial

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.models.network import NetworkOptions
from hyperscale.worker.engine.proxy import Proxy
from hyperscale.worker.engine.tls import client_context, http2_context
from hyperscale.workload.defaults import dns_ttl_seconds


def network_options(options: workflow_pb2.HttpOptions) -> NetworkOptions:
    """What all connections of a run have in common. Raises PlanError when certificates or key cannot be used."""
    return NetworkOptions(
        tls=client_context(options),
        http2_tls=cache(partial(http2_context, options)),
        server_name=options.server_name,
        proxy=Proxy.of(options.proxy),
        max_connections=options.max_connections_per_origin,
        dns_ttl_seconds=dns_ttl_seconds(options),
        keeps_cookies=not options.disable_cookies,
    )
