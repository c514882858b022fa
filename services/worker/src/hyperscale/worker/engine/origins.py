"""Where a run's requests go: the origins of its plan, and those that redirects lead to."""

from __future__ import annotations

import asyncio
from typing import Final

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.connector import OriginConnector
from hyperscale.worker.engine.models.network import NetworkOptions
from hyperscale.worker.engine.models.plan import Origin, Plan
from hyperscale.worker.engine.response import PromptFraming

MAX_FOUND_ORIGINS: Final = 100
"""Origins beside those of the plan: a target that redirects to ever new ones must not use up the engine."""


class TooManyOriginsError(ValueError):
    """Redirects led to more origins than an engine keeps connections to."""


class OriginConnectors:
    """The connectors of one run, by the index of their origin."""

    def __init__(self, plan: Plan, network: NetworkOptions) -> None:
        self.network = network
        self.prompts = [PromptFraming() for _ in plan.steps or plan.client_steps]
        """By step."""
        self._most_users = plan.vus
        self._most_origins = len(plan.origins) + MAX_FOUND_ORIGINS
        self._indexes = {origin: index for index, origin in enumerate(plan.origins)}
        self.by_index = [OriginConnector(origin, network, self.prompts) for origin in plan.origins]
        """Grows when a redirect leads to a new origin."""
        self._tasks: asyncio.TaskGroup | None = None
        self._lanes: list[asyncio.Task[None]] = []

    def origin(self, index: int) -> Origin:
        """The origin with an index."""
        return self.by_index[index].origin

    def blamed_address(self, index: int, error_class: pb.ErrorClass.ValueType) -> str:
        """Host and port that is to blame when there is no connection for an origin: its own, or the proxy's."""
        proxy = self.network.proxy
        blamed = proxy if proxy is not None and error_class == pb.ERROR_CLASS_PROXY else self.origin(index)
        return f"[{blamed.host}]:{blamed.port}" if ":" in blamed.host else f"{blamed.host}:{blamed.port}"

    def index_of(self, origin: Origin) -> int:
        """Index of an origin, which may be a new one. Raises TooManyOriginsError."""
        index = self._indexes.get(origin)
        if index is None:
            if len(self.by_index) == self._most_origins:
                raise TooManyOriginsError(f"redirects led to more than {MAX_FOUND_ORIGINS} other origins")
            index = self._indexes[origin] = len(self.by_index)
            self.by_index.append(OriginConnector(origin, self.network, self.prompts))
            self._serve(self.by_index[index])
        return index

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to open connections, until `stop`."""
        self._tasks = tasks
        for connector in self.by_index:
            self._serve(connector)

    def stop(self) -> None:
        """Open no connection any more, and close those that nobody has."""
        for lane in self._lanes:
            lane.cancel()
        for connector in self.by_index:
            connector.close_idle()

    def _serve(self, connector: OriginConnector) -> None:
        if self._tasks is not None:
            self._lanes += connector.start(self._tasks, self._most_users)
