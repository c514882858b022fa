"""Names are looked up as seldom as their answers allow, and all of their addresses are used."""

import socket
from collections import Counter

import pytest

from hyperscale.worker.engine import resolver
from hyperscale.worker.engine.resolver import Address, HostAddresses, LookupFailedError

ADDRESSES = [Address(socket.AF_INET, (f"10.0.0.{number}", 80)) for number in range(3)]


class Names:
    """A name server whose answers and clock the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.answer: list[Address] | OSError = ADDRESSES
        self.lookups = 0
        monkeypatch.setattr(resolver, "perf_counter", lambda: self.now)

    async def look_up(self, host: str, port: int) -> list[Address]:
        assert (host, port) == ("shop.test", 80)
        self.lookups += 1
        if isinstance(self.answer, OSError):
            raise self.answer
        return list(self.answer)

    def addresses(self) -> HostAddresses:
        return HostAddresses("shop.test", 80, 60.0, self.look_up)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


async def test_users_spread_over_all_addresses(names: Names) -> None:
    addresses = names.addresses()
    first = Counter([(await addresses.all())[0] for _ in range(9)])
    assert first == dict.fromkeys(ADDRESSES, 3)
    assert all([set(await addresses.all()) == set(ADDRESSES) for _ in range(3)])
    assert names.lookups == 1


async def test_an_address_that_failed_comes_last_for_a_while(names: Names) -> None:
    addresses = names.addresses()
    await addresses.all()
    addresses.failed(ADDRESSES[1])
    assert all([(await addresses.all())[-1] == ADDRESSES[1] for _ in range(6)])
    names.now += resolver.AVOIDED_SECONDS
    assert {(await addresses.all())[0] for _ in range(3)} == set(ADDRESSES)


async def test_an_answer_is_used_for_its_time(names: Names) -> None:
    addresses = names.addresses()
    await addresses.all()
    names.answer = ADDRESSES[:1]
    names.now += 59
    assert len(await addresses.all()) == 3
    names.now += 2
    assert await addresses.all() == ADDRESSES[:1]
    assert names.lookups == 2


async def test_a_failure_is_repeated_for_a_second_only(names: Names) -> None:
    addresses = names.addresses()
    names.answer = socket.gaierror(socket.EAI_NONAME, "no such name")
    for _ in range(3):
        with pytest.raises(LookupFailedError, match="no such name") as caught:
            await addresses.all()
        assert not caught.value.is_local
    assert names.lookups == 1
    names.answer = ADDRESSES
    names.now += resolver.NEGATIVE_TTL_SECONDS
    assert len(await addresses.all()) == 3


async def test_a_machine_out_of_resources_is_told_from_a_missing_name(names: Names) -> None:
    names.answer = socket.gaierror(socket.EAI_MEMORY, "out of memory")
    with pytest.raises(LookupFailedError) as caught:
        await names.addresses().all()
    assert caught.value.is_local
