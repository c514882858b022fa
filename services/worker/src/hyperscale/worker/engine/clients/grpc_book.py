"""What the gRPC calls of all users of a run have in common."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import cached_property
from time import perf_counter
from typing import Final

from grpc import aio

from hyperscale.worker.engine.clients.grpc_lines import GrpcLine, Metadata, end_of
from hyperscale.worker.engine.clients.grpc_network import GrpcNetwork
from hyperscale.worker.engine.clients.grpc_reflection import describe_service
from hyperscale.worker.engine.clients.protocol import ClientContext
from hyperscale.workload.grpc_methods import GrpcDescriptions, GrpcMethod, GrpcRequestError
from hyperscale.workload.grpc_targets import GrpcOrigin, grpc_origin

_REPEAT_SECONDS: Final = 1.0
"""How long it is taken for granted that a server does not describe a service."""
MAX_KNOWN_TARGETS: Final = 1000
"""Code that goes to ever new servers must not use up the engine, with a connection of each user to each of them."""


class GrpcBook:
    """Where calls go, and what their methods are: each server is asked once."""

    def __init__(self, context: ClientContext) -> None:
        self.network = GrpcNetwork(context.http_options, context.tls)
        self._job_target = context.target
        self._descriptor_set = context.parts.plan.descriptor_set
        self._origins: dict[str, GrpcOrigin] = {}
        self._methods: dict[tuple[GrpcOrigin, str], GrpcMethod] = {}
        self._services: dict[tuple[GrpcOrigin, str], GrpcDescriptions] = {}
        self._missing: dict[tuple[GrpcOrigin, str], tuple[float, str]] = {}
        # One for each server: one that does not answer keeps nobody from asking another one.
        self._looking_up: defaultdict[GrpcOrigin, asyncio.Lock] = defaultdict(asyncio.Lock)

    def origin(self, target: str) -> GrpcOrigin:
        """Where calls to a target go; empty: to the job's. Raises GrpcRequestError."""
        known = self._origins.get(target)
        if known is None:
            if len(self._origins) >= MAX_KNOWN_TARGETS:
                raise GrpcRequestError(f"the calls of the run go to {MAX_KNOWN_TARGETS:,} targets, and no further ones")
            try:
                known = self._origins[target] = grpc_origin(self._job_target, target)
            except ValueError as error:
                raise GrpcRequestError(f"the target of a gRPC call {error}") from error
        return known

    async def method(self, line: GrpcLine, origin: GrpcOrigin, name: str, metadata: Metadata) -> GrpcMethod:
        """A method by its full name. Raises GrpcRequestError, or CallError when its server cannot be asked.

        Parameters
        ----------
        metadata
            Shown to a server that has to be asked: it may want to know by whom.
        """
        known = self._methods.get((origin, name))
        if known is None:
            if self._descriptor_set:
                descriptions = self._given
            else:
                descriptions = await self._described(line, origin, name.rpartition("/")[0], metadata)
            known = self._methods[origin, name] = descriptions.method(name)
        return known

    @cached_property
    def _given(self) -> GrpcDescriptions:
        return GrpcDescriptions.of_set(self._descriptor_set)

    async def _described(
        self, line: GrpcLine, origin: GrpcOrigin, service: str, metadata: Metadata
    ) -> GrpcDescriptions:
        key = (origin, service)
        async with self._looking_up[origin]:
            found = self._services.get(key)
            if found is not None:
                return found
            until, complaint = self._missing.get(key, (0.0, ""))
            if perf_counter() < until:
                raise GrpcRequestError(complaint)
            try:
                found = self._services[key] = await _ask(line, service, metadata)
            except GrpcRequestError as error:
                now = perf_counter()
                self._missing = {old: missing for old, missing in self._missing.items() if now < missing[0]}
                self._missing[key] = now + _REPEAT_SECONDS, str(error)
                raise
            return found


async def _ask(line: GrpcLine, service: str, metadata: Metadata) -> GrpcDescriptions:
    try:
        return await describe_service(line.channel, service, metadata)
    except aio.AioRpcError as error:
        end = end_of(error)
        raise GrpcRequestError(
            f"no description of {service!r}: reflection ends with {error.code().name}: {end.details}"
        ) from error
