"""A node as a member of its group: its keys, its port, and what is told of others."""

from __future__ import annotations

import base64
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ConfigurationError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.membership import node as membership_node
from hyperscale.runtime.membership.keys import read_keys
from hyperscale.runtime.membership.node import NodeMembership
from hyperscale.runtime.membership.profile import MembershipProfile
from hyperscale.runtime.membership.settings import GroupSettings, datacenter_group
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.swim import resolver
from hyperscale.swim.discovery import Lookup, LookupAnswer, parse_seed
from hyperscale.swim.models import NodeAddress
from hyperscale.swim.resolver import SeedLookupError
from hyperscale.swim.sockets import bind_datagrams
from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeStatus
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub
from hyperscale.v1.node_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, NodeInfo, NodeRole
from hyperscale.v1.progress_pb2 import ManagerHeartbeat, WorkerHeartbeat
from hyperscale.v1.swim_pb2 import SWIM_STATE_ALIVE, SWIM_STATE_LEFT
from tests.support.waiting import until
from tests.unit.runtime.conftest import Logs

HOST = "127.0.0.1"
KEY = base64.b64encode(b"k" * 32).decode()


def _identity(name: str, role: NodeRole.ValueType) -> NodeIdentity:
    return NodeIdentity(name, role, "east", "cluster", "test")


@dataclass(slots=True)
class Member:
    membership: NodeMembership
    endpoint: Endpoint

    def sees(self, name: str) -> NodeStatus | None:
        found = [status for status in self.membership.nodes().nodes if status.node.node_id == name]
        return found[0] if found and found[0].state == SWIM_STATE_ALIVE else None


class Group:
    """Members in this process, all stopped at the end."""

    def __init__(self, stack: AsyncExitStack, supervisor: Supervisor, logs: Logs) -> None:
        self._stack = stack
        self._supervisor = supervisor
        self._logs = logs
        self.channels = ChannelPool(supervisor)
        stack.push_async_callback(self.channels.close)

    async def member(self, name: str, role: NodeRole.ValueType, vitals: Callable[[], Message], *seeds: str) -> Member:
        node = NodeLifecycle(_identity(name, role))
        made = self.made(node, *seeds)
        server = NodeServer(Endpoint(HOST, 0), self._logs.logger)
        endpoint = await made.listen(server, Endpoint(HOST, 0))
        self._stack.push_async_callback(server.drain, 0)
        node.listens_at(endpoint)
        await made.start(vitals)
        self._stack.push_async_callback(made.stop)
        return Member(made, endpoint)

    def made(self, node: NodeLifecycle, *seeds: str) -> NodeMembership:
        settings = GroupSettings(datacenter_group("east"), seeds, MembershipProfile.LOCAL, None)
        return NodeMembership(node, settings, self.channels, self._supervisor, self._logs.logger)


@pytest.fixture
async def group(supervisor: Supervisor, logs: Logs) -> AsyncIterator[Group]:
    async with AsyncExitStack() as stack:
        yield Group(stack, supervisor, logs)


def test_keys_are_read_in_order_without_comments_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first, second = bytes(16), b"x" * 24
    path.write_text(f"# rotated\n\n  {base64.b64encode(first).decode()}  \n{base64.b64encode(second).decode()}\n")
    assert read_keys(path) == (first, second)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["has 0 keys; 1 to 8 are needed"]),
        ("# none\n\n", ["has 0 keys; 1 to 8 are needed"]),
        (
            f"{KEY}\nc2VjcmV0\nse cret\n",
            ["line 2: no base64 of 16, 24, 32 bytes", "line 3: no base64 of 16, 24, 32 bytes"],
        ),
        (f"{KEY}\n" * 9, ["has 9 keys; 1 to 8 are needed"]),
        ("schlüssel", ["'ascii' codec can't decode"]),
    ],
)
def test_every_fault_of_a_key_file_is_named_by_its_line_and_never_shows_a_key(
    text: str, faults: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as failure:
        read_keys(path)
    violations = failure.value.violations
    assert [violation.path for violation in violations] == ["membership_keys_file"] * len(faults)
    for violation, fault in zip(violations, faults, strict=True):
        assert str(path) in violation.message
        assert fault in violation.message
        assert not any(secret in violation.message for secret in (KEY, "c2VjcmV0", "se cret", "schl"))


def test_an_absent_key_file_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_keys(tmp_path / "keys")


async def test_datagrams_and_calls_share_one_port_number(group: Group) -> None:
    member = await group.member("w1", NODE_ROLE_WORKER, WorkerHeartbeat)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, member.endpoint.port))
    stub = group.channels.stub(member.endpoint.address, MembershipServiceStub)
    (status,) = (await stub.ListNodes(NodeListRequest())).nodes
    assert (status.node.node_id, status.node.endpoint.port) == ("w1", member.endpoint.port)


async def test_when_the_chosen_number_is_taken_for_calls_another_one_is(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as somebody:
        taken = somebody.getsockname()[1]
        chosen = iter((taken, 0))
        monkeypatch.setattr(membership_node, "bind_datagrams", lambda host, _: bind_datagrams(host, next(chosen)))
        member = await group.member("w1", NODE_ROLE_WORKER, WorkerHeartbeat)
        assert member.endpoint.port != taken
        assert not list(chosen)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free_again:
            free_again.bind((HOST, taken))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_a_configured_port_that_is_taken_for_either_is_said(
    kind: socket.SocketKind, group: Group, logs: Logs
) -> None:
    with socket.socket(socket.AF_INET, kind) as somebody:
        somebody.bind((HOST, 0))
        if kind is socket.SOCK_STREAM:
            somebody.listen()
        endpoint = Endpoint(HOST, somebody.getsockname()[1])
        made = group.made(NodeLifecycle(_identity("w1", NODE_ROLE_WORKER)))
        with pytest.raises(ConfigurationError, match=str(endpoint.port)) as failure:
            await made.listen(NodeServer(endpoint, logs.logger), endpoint)
        assert [violation.path for violation in failure.value.violations] == ["port"]
        await made.stop()


async def test_what_a_member_says_of_itself_is_listed_beside_what_is_measured_of_it(group: Group) -> None:
    busy = WorkerHeartbeat(node=NodeInfo(version="1"), total_cores=8, available_cores=3)
    manager = await group.member("m1", NODE_ROLE_MANAGER, lambda: ManagerHeartbeat(is_leader=True, term=7))
    worker = await group.member("w1", NODE_ROLE_WORKER, lambda: busy, manager.endpoint.address)
    await until(lambda: (status := manager.sees("w1")) is not None and status.worker == busy, "the worker's vitals")
    await until(lambda: (status := worker.sees("m1")) is not None and status.manager.term == 7, "the manager's vitals")
    busy.available_cores = 8
    await until(lambda: (status := manager.sees("w1")) is not None and status.worker.available_cores == 8, "the change")
    listed = manager.membership.nodes().nodes
    assert [status.node.node_id for status in listed] == ["m1", "w1"]
    assert {status.observer_id for status in listed} == {"m1"}
    await until(lambda: (status := manager.sees("w1")) is not None and status.rtt_ms > 0, "a round trip")
    await worker.membership.stop()
    await until(lambda: manager.membership.nodes().nodes[1].state == SWIM_STATE_LEFT, "the worker gone")


async def test_who_says_what_nobody_understands_is_listed_without_it(group: Group) -> None:
    manager = await group.member("m1", NODE_ROLE_MANAGER, ManagerHeartbeat)
    await group.member("w1", NODE_ROLE_WORKER, lambda: BytesValue(value=b"\xff\xff"), manager.endpoint.address)
    await until(lambda: any(member.metadata for member in manager.membership.members()), "something said")
    status = await until(lambda: manager.sees("w1"), "the worker")
    assert status.WhichOneof("vitals") is None
    assert status.node.endpoint.port > 0


class Answers:
    """A name server that says one thing after the other; nothing is asked of it too early."""

    def __init__(self, *answers: LookupAnswer | SeedLookupError) -> None:
        self._answers = list(answers)
        self.asked: list[Lookup] = []

    async def resolve(self, lookup: Lookup) -> LookupAnswer:
        self.asked.append(lookup)
        answer = self._answers.pop(0)
        if isinstance(answer, SeedLookupError):
            raise answer
        return answer


@pytest.mark.requirement("AD-28.1")
async def test_a_name_is_looked_up_again_until_the_group_is_found_behind_it(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await group.member("m1", NODE_ROLE_MANAGER, ManagerHeartbeat)
    with socket.create_server((HOST, 0)) as nobody:
        elsewhere = NodeAddress(HOST, nobody.getsockname()[1])
    there = NodeAddress(HOST, manager.endpoint.port)
    answers = Answers(LookupAnswer((elsewhere,), 0.0), LookupAnswer((there,), 300.0))
    monkeypatch.setattr(resolver, "DnsResolver", lambda: answers)
    seed = "k8s://managers.load:7000"
    worker = await group.member("w1", NODE_ROLE_WORKER, WorkerHeartbeat, seed)
    await until(lambda: manager.sees("w1") and worker.sees("m1"), "the group")
    assert answers.asked == [parse_seed(seed)] * 2


async def test_a_name_nobody_knows_is_said_in_the_log_and_addresses_serve_meanwhile(
    group: Group, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await group.member("m1", NODE_ROLE_MANAGER, ManagerHeartbeat)
    monkeypatch.setattr(resolver, "DnsResolver", lambda: Answers(SeedLookupError("managers.test: no such name")))
    worker = await group.member(
        "w1", NODE_ROLE_WORKER, WorkerHeartbeat, "dns://managers.test:7000", manager.endpoint.address
    )
    await until(lambda: manager.sees("w1") and worker.sees("m1"), "the group")
    (line,) = [line for line in logs.lines if line["event"] == "seeds not found"]
    assert (line["level"], line["error"]) == ("warning", "managers.test: no such name")
