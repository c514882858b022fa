"""A node as a member of its group."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from google.protobuf.message import DecodeError, Message
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ConfigurationError, FieldViolation
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.membership.chronicle import Chronicle
from hyperscale.runtime.membership.exchange import GrpcStreams
from hyperscale.runtime.membership.handler import SERVICE_NAME, MembershipServiceHandler
from hyperscale.runtime.membership.keys import read_keys
from hyperscale.runtime.membership.seeds import keep_finding
from hyperscale.runtime.membership.settings import FEDERATION, GroupSettings
from hyperscale.runtime.overload.memory import MemoryGauge
from hyperscale.runtime.overload.watch import OverloadWatch
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import RestartPolicy, Supervisor
from hyperscale.swim.border import Border, CrossParty
from hyperscale.swim.coordinates import CoordinateConfig, NetworkCoordinates
from hyperscale.swim.core import Swim
from hyperscale.swim.events import Event
from hyperscale.swim.keyring import DatagramSeal, Keyring, SealIdentity
from hyperscale.swim.models import Identity, Member, NodeAddress, Role
from hyperscale.swim.shell import SwimShell
from hyperscale.swim.sockets import bind_datagrams
from hyperscale.v1.membership_service_pb2 import NodeListResponse, NodeStatus
from hyperscale.v1.membership_service_pb2_grpc import add_MembershipServiceServicer_to_server
from hyperscale.v1.node_pb2 import Endpoint as EndpointMessage
from hyperscale.v1.node_pb2 import NodeInfo, NodeRole
from hyperscale.v1.swim_pb2 import SwimState

_PORT_ATTEMPTS: Final = 32
_MS_PER_SECOND: Final = 1000.0
_VITALS_INTERVAL_SECONDS: Final = 1.0


class MembershipObserver(Protocol):
    """Somebody who acts on what happens in the group."""

    def member_changed(self, event: Event) -> None:
        """Called from the loop for each event, in order."""


class NodeMembership:
    """Tells the group of this node, and this node of the group.

    `listen` takes the port, `start` joins, `stop` leaves. Observers are added before `start`.
    """

    def __init__(
        self,
        node: NodeLifecycle,
        settings: GroupSettings,
        channels: ChannelPool,
        supervisor: Supervisor,
        logger: FilteringBoundLogger,
    ) -> None:
        """Raises ConfigurationError when the keys cannot be read, or are missing where others could listen in."""
        self._node = node
        self._settings = settings
        self._keyring = None if settings.keys_file is None else Keyring(*read_keys(settings.keys_file))
        self._streams = GrpcStreams(channels)
        self._supervisor = supervisor
        self._logger = logger
        self._overload = OverloadWatch(node, MemoryGauge(), logger)
        self._observers: list[MembershipObserver] = [Chronicle(logger)]
        self._coordinates = NetworkCoordinates(CoordinateConfig(), random.Random())
        self._party: CrossParty | None = None
        self._datagrams: socket.socket | None = None
        self._shell: SwimShell | None = None

    def observe(self, observer: MembershipObserver) -> None:
        """Tell somebody what happens from `start` on."""
        self._observers.append(observer)

    def federate(self, party: CrossParty) -> None:
        """Let this node speak with nodes of other groups, over the same port; before `start`.

        Both sides do so under the cluster's own label, which no group has, in the same environment and with the same keys.
        """
        self._party = party

    async def listen(self, server: NodeServer, endpoint: Endpoint) -> Endpoint:
        """Take one port number for datagrams and for gRPC, and start the server; returns the address in use.

        Raises ConfigurationError when the port, or each of several the system chose, is in use.
        """
        handler = MembershipServiceHandler(self._streams, self.nodes)
        server.add(add_MembershipServiceServicer_to_server, handler, SERVICE_NAME)
        for attempt in range(_PORT_ATTEMPTS):
            datagrams = await _bound(endpoint)
            try:
                server.bind(datagrams.getsockname()[1])
            except ConfigurationError:
                datagrams.close()
                if endpoint.port or attempt == _PORT_ATTEMPTS - 1:
                    raise
                continue
            self._datagrams = datagrams
            break
        return await server.start()

    async def start(self, vitals: Callable[[], Message]) -> None:
        """Join the group, as the node that listens where its lifecycle says.

        `vitals` is asked once a second for what to tell the group of this node, at most 512 bytes: the heartbeat of its role.
        """
        if self._datagrams is None:
            raise RuntimeError("the node does not listen yet")
        started_at = time.time()
        swim = self._swim(started_at)
        self._shell = shell = SwimShell(
            swim, self._datagrams, self._streams, tasks=self._supervisor, on_event=self._tell, report=self._report
        )
        if self._party is not None:
            shell.share(self._border(self._party, started_at))
        await shell.start()
        if self._keyring is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reread_keys)
        for name, work in {
            "membership-seeds": lambda: self._find(shell),
            "membership-vitals": lambda: self._publish(shell, vitals),
        }.items():
            _ = self._supervisor.start(work, name=name, restart=RestartPolicy.ON_FAILURE)

    async def stop(self) -> None:
        """Leave the group, and give the port back."""
        if self._shell is not None:
            await self._shell.stop()
        elif self._datagrams is not None:
            self._datagrams.close()

    def members(self) -> list[Member]:
        """Everybody that is known, this node first; nobody before `start`."""
        return [] if self._shell is None else self._shell.swim.members()

    def nodes(self) -> NodeListResponse:
        """The same, for others to see."""
        now = SwimShell.now()
        statuses = [self._status(member, now) for member in self.members()]
        statuses.sort(key=lambda status: (status.node.role, status.node.datacenter, status.node.node_id))
        return NodeListResponse(nodes=statuses)

    def _reread_keys(self) -> None:
        """Take over what the file of keys says now; nothing changes when it is faulty."""
        if self._keyring is None or self._settings.keys_file is None:
            return
        try:
            keys = read_keys(self._settings.keys_file)
        except ConfigurationError as error:
            self._supervisor.report(error, "membership-keys")
            return
        self._keyring.replace(*keys)
        self._logger.info("membership keys read", keys=len(keys))

    async def _find(self, shell: SwimShell) -> None:
        def join(seeds: Sequence[NodeAddress]) -> None:
            shell.swim.join(seeds, shell.now())
            shell.changed()

        await keep_finding(self._settings.seeds, asyncio.get_running_loop().time(), join, self._logger)

    async def _publish(self, shell: SwimShell, vitals: Callable[[], Message]) -> None:
        """The same as before is not said again."""
        while True:
            shell.swim.set_metadata(vitals().SerializeToString(deterministic=True), shell.now())
            shell.changed()
            await self._overload.pause(_VITALS_INTERVAL_SECONDS)

    def _swim(self, started_at: float) -> Swim:
        identity = self._identity(self._settings.name)
        return Swim(
            identity,
            self._settings.profile.numbers,
            random.Random(),
            SwimShell.now(),
            incarnation=int(started_at * _MS_PER_SECOND),
            keyring=self._seal(identity, started_at),
            coordinates=self._coordinates,
        )

    def _border(self, party: CrossParty, started_at: float) -> Border:
        identity = self._identity(FEDERATION)
        return Border(identity, int(started_at * _MS_PER_SECOND), party, self._seal(identity, started_at))

    def _seal(self, identity: Identity, started_at: float) -> DatagramSeal | None:
        if self._keyring is None:
            return None
        session = int(started_at * 1_000_000)
        name = SealIdentity(identity.cluster_id, identity.environment_id, identity.node_id, session)
        return DatagramSeal(self._keyring, name, os.urandom)

    def _identity(self, group: str) -> Identity:
        identity, endpoint = self._node.identity, self._node.endpoint
        return Identity(
            node_id=identity.node_id,
            role=Role(identity.role),
            address=NodeAddress(endpoint.host, endpoint.port),
            cluster_id=f"{identity.cluster_id}/{group}",
            environment_id=identity.environment_id,
            datacenter=identity.datacenter,
        )

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer.member_changed(event)

    def _report(self, error: Exception) -> None:
        self._supervisor.report(error, "membership-event")

    def _status(self, member: Member, now: float) -> NodeStatus:
        who, here = member.identity, self._node.identity
        status = NodeStatus(
            node=NodeInfo(
                node_id=who.node_id,
                role=NodeRole.ValueType(who.role),
                datacenter=who.datacenter,
                endpoint=EndpointMessage(host=who.address.host, port=who.address.port),
                cluster_id=here.cluster_id,
                environment_id=here.environment_id,
            ),
            state=SwimState.ValueType(member.state),
            incarnation=member.incarnation,
            state_seconds=max(0.0, now - member.since),
            observer_id=here.node_id,
        )
        _add_vitals(status, member)
        if who.node_id != here.node_id:
            estimate = self._coordinates.estimate(who.node_id, now)
            status.rtt_quality = estimate.quality
            if estimate.quality > 0:
                status.rtt_ms = estimate.expected_seconds * _MS_PER_SECOND
                status.rtt_upper_ms = estimate.upper_bound_seconds * _MS_PER_SECOND
        return status


def _add_vitals(status: NodeStatus, member: Member) -> None:
    if not member.metadata:
        return
    try:
        match member.identity.role:
            case Role.WORKER:
                status.worker.ParseFromString(member.metadata)
            case Role.MANAGER:
                status.manager.ParseFromString(member.metadata)
            case Role.GATE:
                status.gate.ParseFromString(member.metadata)
    except DecodeError:
        # Somebody of another release, who has less to say than nothing.
        status.ClearField("vitals")


async def _bound(endpoint: Endpoint) -> socket.socket:
    try:
        return await bind_datagrams(endpoint.host, endpoint.port)
    except OSError as error:
        fault = f"cannot receive datagrams on {endpoint}: {error}"
        raise ConfigurationError([FieldViolation("port", fault)]) from error
