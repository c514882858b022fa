"""Reads end where they should, however the bytes come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socketpair

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.clients.protocol import Call, CallError, Measurement
from hyperscale.worker.engine.clients.tcp_stream import TcpStream
from hyperscale.worker.engine.models.load import FixedLoad
from hyperscale.worker.engine.models.plan import Plan
from hyperscale.worker.engine.recorder import Recorder, WallClock

LOAD = FixedLoad(1, None, is_stock_per_user=False)
PLAN = Plan("w", (), (), 1, LOAD, load_seconds=1.0, graceful_stop_seconds=1.0, client_steps=("a",))


class Pieces(asyncio.StreamReader):
    """Gives its bytes in the pieces in which it was given them."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self._pieces = pieces

    async def read(self, n: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@asynccontextmanager
async def stream_of(pieces: list[bytes]) -> AsyncIterator[tuple[TcpStream, Call]]:
    ours, theirs = socketpair()
    with theirs:
        _, writer = await asyncio.open_connection(sock=ours)
        measurement = Measurement(Recorder(PLAN, WallClock()))
        measurement.step_name = "a"
        with measurement.call("tcp") as call:
            yield TcpStream(Pieces(pieces), writer), call
        writer.close()


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    starts = [0, *ends[:-1]]
    return [data[start:end] for start, end in zip(starts, ends, strict=True) if start < end]


CUTS = st.lists(st.integers(1, 40), max_size=10)
WORDS = st.lists(st.text("a-x\r\n", max_size=12).map(str.encode), max_size=6)


@given(words=WORDS, delimiter=st.sampled_from([b"\n", b"\r\n", b"-x-", b"--"]), cuts=CUTS)
def test_reads_up_to_a_delimiter_are_those_of_the_whole_text(
    words: list[bytes], delimiter: bytes, cuts: list[int]
) -> None:
    data = delimiter.join([*words, b""])
    expected, rest = [], data
    while (at := rest.find(delimiter)) >= 0:
        expected.append(rest[: at + len(delimiter)])
        rest = rest[at + len(delimiter) :]

    async def read_all() -> list[bytes]:
        found = []
        async with stream_of(in_pieces(data, cuts)) as (stream, call):
            for _ in expected:
                kept = bytearray()
                await stream.read_until(delimiter, call, kept.extend)
                found.append(bytes(kept))
            left = bytearray()
            await stream.read_to_end(call, left.extend)
            assert bytes(left) == rest
        return found

    assert asyncio.run(read_all()) == expected


@given(sizes=st.lists(st.integers(1, 9), max_size=5), cuts=CUTS)
def test_reads_of_so_many_bytes_follow_each_other(sizes: list[int], cuts: list[int]) -> None:
    data = bytes(range(sum(sizes) + 3))

    async def read_all() -> bytes:
        kept = bytearray()
        async with stream_of(in_pieces(data, cuts)) as (stream, call):
            for position, size in enumerate(sizes):
                await stream.read_exactly(size, call, kept.extend)
                assert len(kept) == sum(sizes[: position + 1])
            await stream.read_to_end(call, kept.extend)
        return bytes(kept)

    assert asyncio.run(read_all()) == data


async def test_the_end_of_the_stream_is_a_reset_unless_it_is_waited_for() -> None:
    async with stream_of([b"ab"]) as (stream, call):
        with pytest.raises(CallError) as caught:
            await stream.read_exactly(3, call, bytearray().extend)
        assert caught.value.failure == pb.ERROR_CLASS_RESET
        assert caught.value.error_class == "reset"
        await stream.read_to_end(call, bytearray().extend)
