"""The gRPC server of a node: health, reflection, limits and an orderly end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ConfigurationError, FieldViolation
from hyperscale.runtime.interceptors import NodeServerInterceptor
from hyperscale.v1.protocol import MAX_MESSAGE_BYTES

ServicerT = TypeVar("ServicerT")

_WHOLE_NODE = ""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Two nodes on one port would each get half of the calls.
    ("grpc.so_reuseport", 0),
    # A peer that vanished without closing its connection is noticed within eight seconds.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Clients ping as often as we do and must not be taken for an attack.
    ("grpc.http2.min_ping_interval_without_data_ms", 2000),
)


class NodeServer:
    """A server that starts unhealthy, says when it serves, and drains before it stops.

    Parameters
    ----------
    endpoint
        Where to listen; port 0 lets the system choose.
    insecure
        Must be said explicitly to listen without encryption where other machines can connect.
    interceptors
        Run inside the one that translates errors, in this order.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        logger: FilteringBoundLogger,
        *,
        insecure: bool = False,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        if not insecure and not endpoint.is_loopback:
            fault = f"{endpoint.host} is reachable from other machines; unencrypted serving there needs insecure = true"
            raise ConfigurationError([FieldViolation("host", fault)])
        self._endpoint = endpoint
        self._node_interceptor = NodeServerInterceptor(logger)
        self._server = grpc.aio.server(interceptors=(self._node_interceptor, *interceptors), options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        self._service_names: list[str] = []
        self._bound: Endpoint | None = None

    def add(
        self, adder: Callable[[ServicerT, grpc.aio.Server], Any], servicer: ServicerT, service_full_name: str
    ) -> None:
        """Offer a service; ``adder`` is the generated ``add_…Servicer_to_server``."""
        adder(servicer, self._server)
        self._service_names.append(service_full_name)

    def bind(self, port: int) -> Endpoint:
        """Take a port, 0 for one that the system chooses; returns the address in use.

        `start` does it with the configured port unless it is done before. Raises ConfigurationError when the port is in use;
        another one may then be tried.
        """
        endpoint = Endpoint(self._endpoint.host, port)
        try:
            taken = self._server.add_insecure_port(endpoint.address)
        except RuntimeError as error:
            fault = f"cannot listen on {endpoint}: is the port in use?"
            raise ConfigurationError([FieldViolation("port", fault)]) from error
        self._bound = Endpoint(self._endpoint.host, taken)
        return self._bound

    async def start(self) -> Endpoint:
        """Listen; returns the address in use. Health says NOT_SERVING until `set_serving`."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        await self.set_serving(False)
        endpoint = self._bound or self.bind(self._endpoint.port)
        await self._server.start()
        return endpoint

    async def set_serving(self, serving: bool) -> None:
        """Tell health checks whether to send work here; has no effect once draining."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in (_WHOLE_NODE, *self._service_names):
            await self._health.set(name, status)

    async def drain(self, timeout_seconds: float) -> None:
        """Become unhealthy, send streams to other nodes, let other calls finish, stop.

        Calls that take longer than the timeout are cancelled.
        """
        await self._health.enter_graceful_shutdown()
        self._node_interceptor.close_streams()
        await self._server.stop(timeout_seconds)
