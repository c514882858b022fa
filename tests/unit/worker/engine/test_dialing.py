"""Clients of TCP and UDP reach a host by whichever of its addresses takes them."""

import asyncio
import socket

import pytest

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.clients.dialing import MAX_KNOWN_HOSTS, AddressBook, connected_socket
from hyperscale.worker.engine.clients.protocol import CallError
from hyperscale.worker.engine.resolver import Address
from hyperscale.workload.socket_addresses import SocketEndpoint

HOST = SocketEndpoint("127.0.0.1", 7, is_tls=False)


async def port_of(address: Address) -> int:
    return int(address.address[1])


async def test_an_address_that_swallows_everything_costs_its_time_only() -> None:
    async def swallow(_: Address) -> int:
        await asyncio.sleep(60)
        return 0

    with pytest.raises(TimeoutError):
        await AddressBook(1.0).reach(HOST, 0.05, swallow)


async def test_each_host_is_looked_up_once_and_not_too_many_are_known() -> None:
    book = AddressBook(60.0)
    endpoints = [SocketEndpoint("127.0.0.1", port, is_tls=False) for port in range(1, MAX_KNOWN_HOSTS + 10)]
    assert [await book.reach(endpoint, 5.0, port_of) for endpoint in endpoints] == [end.port for end in endpoints]


async def test_a_name_that_is_none_fails_as_such() -> None:
    with pytest.raises(CallError) as caught:
        await AddressBook(1.0).reach(SocketEndpoint("nobody.invalid", 7, is_tls=False), 5.0, port_of)
    assert caught.value.failure == pb.ERROR_CLASS_DNS


async def test_a_refused_connection_leaves_no_socket() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = Address(socket.AF_INET, unused.getsockname())
        with pytest.raises(ConnectionRefusedError):
            await connected_socket(address, socket.SOCK_STREAM)
