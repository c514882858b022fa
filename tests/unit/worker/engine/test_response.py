from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.response import MAX_BODY_BYTES, Framing, HeadFraming, PatientFraming, PromptFraming


@dataclass(frozen=True, slots=True)
class Lawful:
    """A response and what is to be understood of it."""

    data: bytes
    status: int
    keep_alive: bool


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WITH_END = [
    Lawful(OK, 200, keep_alive=True),
    Lawful(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 200, keep_alive=False),
    Lawful(OK.replace(b"1.1", b"1.0"), 200, keep_alive=False),
    Lawful(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 404, keep_alive=True),
    Lawful(b"HTTP/1.1 204 No Content\r\n\r\n", 204, keep_alive=True),
    Lawful(b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", 304, keep_alive=True),
    Lawful(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK, 200, keep_alive=True),
]
cuts = st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=8)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found: list[bytes] = []
    while data:
        size = sizes[len(found) % len(sizes)]
        found.append(data[:size])
        data = data[size:]
    return found


def assert_understood(framing: Framing, response: Lawful, sizes: list[int]) -> None:
    *before, last = pieces(response.data, sizes)
    assert not any(framing.feed(piece) for piece in before)
    assert framing.feed(last)
    assert (framing.status, framing.keep_alive) == (response.status, response.keep_alive)


@given(st.sampled_from(WITH_END), cuts)
def test_response_ends_with_its_last_byte_however_it_arrives(response: Lawful, sizes: list[int]) -> None:
    assert_understood(PatientFraming(), response, sizes)


@given(st.sampled_from(WITH_END), cuts)
def test_header_and_body_are_kept_for_who_asks(response: Lawful, sizes: list[int]) -> None:
    keeping, other = PatientFraming.keeping_body(), PatientFraming()
    for framing in (keeping, other):
        assert_understood(framing, response, sizes)
    assert other.body == b""
    head = response.data.rpartition(b"HTTP/1.")[2].partition(b"\r\n\r\n")[0]
    assert keeping.fields == other.fields
    assert len(keeping.fields) == head.count(b"\r\n")
    assert keeping.body == (b"ok" if response.data.endswith(b"ok") else b"x" if b"chunked" in head else b"")


def test_trailer_is_no_header() -> None:
    framing = PatientFraming.keeping_body()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert framing.feed(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\nSet-Cookie: a=b\r\n\r\n")
    assert framing.fields == ((b"transfer-encoding", b"chunked"),)
    assert framing.body == b"abcde"


def test_body_that_is_kept_is_bounded() -> None:
    framing = PatientFraming.keeping_body()
    framing.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(3):
        framing.feed(b"x" * (MAX_BODY_BYTES // 2 + 1))
    assert len(framing.body) == MAX_BODY_BYTES
    assert framing.finish()


@pytest.mark.parametrize(
    "data",
    [
        OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"),
        OK.replace(b"200 OK", b"302 Found").replace(b"\r\n\r\n", b"\r\nLocation: /x\r\n\r\n"),
    ],
)
def test_cookies_and_redirects_are_not_for_the_prompt_framing(data: bytes) -> None:
    framing = PromptFraming()
    assert [framing.status_of(data), framing.status_of(OK), framing.status_of(data)] == [0, 200, 0]


@given(st.sampled_from(WITH_END))
def test_prompt_framing_agrees_with_the_patient_one_or_passes(response: Lawful) -> None:
    status = PromptFraming().status_of(response.data)
    assert status in {0, response.status}
    if status:
        assert response.keep_alive


def test_prompt_framing_takes_the_usual_response_again_and_again() -> None:
    framing = PromptFraming()
    assert [framing.status_of(OK) for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("data", [OK[:-1], OK + OK, OK + b"H", b"garbage", b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_prompt_framing_passes_what_is_not_usual(data: bytes) -> None:
    assert PromptFraming().status_of(data) == 0


@pytest.mark.parametrize(
    "data", [OK + OK, OK + b"H", OK + b"HTTP/1.1 100 Continue\r\n\r\n", b"garbage", b"HTTP/1.1 101 Switch\r\n\r\n"]
)
def test_what_is_not_one_response_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        PatientFraming().feed(data)


@given(cuts)
def test_response_without_length_lasts_until_the_end_of_the_stream(sizes: list[int]) -> None:
    framing = PatientFraming()
    assert not any(framing.feed(piece) for piece in pieces(b"HTTP/1.1 201 Made\r\n\r\n" + b"x" * 100, sizes))
    assert framing.finish()
    assert (framing.status, framing.keep_alive) == (201, False)


@given(st.sampled_from(WITH_END), st.data())
def test_end_of_the_stream_does_not_end_a_response_with_length(response: Lawful, data: st.DataObject) -> None:
    framing = PatientFraming()
    length = data.draw(st.integers(0, len(response.data) - 1))
    framing.feed(response.data[:length])
    assert not framing.finish()


def test_header_is_bounded() -> None:
    framing = PatientFraming()
    framing.feed(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60_000)
    with pytest.raises(MalformedResponseError, match="longer than"):
        framing.feed(b"x" * 10_000)


@given(cuts, st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
def test_response_to_head_ends_with_its_header(sizes: list[int], interim: bytes) -> None:
    framing = HeadFraming()
    data = interim + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert_understood(framing, Lawful(data, 200, keep_alive=True), sizes)
    assert framing.fields == ((b"content-length", b"5"),)
    closing = b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n"
    assert_understood(HeadFraming(), Lawful(closing, 200, keep_alive=False), sizes)
    assert not framing.finish()


@pytest.mark.parametrize("data", [OK, b"garbage"])
def test_response_to_head_with_a_body_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        HeadFraming().feed(data)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: OK[:20] + tail), cuts)
def test_arbitrary_bytes_raise_nothing_else(data: bytes, sizes: list[int]) -> None:
    framings: list[Framing] = [PatientFraming(), HeadFraming()]
    for framing in framings:
        try:
            for piece in pieces(data, sizes):
                if framing.feed(piece):
                    break
        except MalformedResponseError:
            continue
        framing.finish()


def test_prompt_framing_is_not_misled_by_what_it_remembers() -> None:
    framing = PromptFraming()
    assert framing.status_of(OK) == 200
    assert framing.status_of(OK.replace(b"ok", b"no")) == 200
    assert framing.status_of(OK + b"x") == 0
    assert framing.status_of(OK[:-1]) == 0
    assert framing.status_of(OK.replace(b"200", b"500")) == 500
    assert framing.status_of(OK.replace(b"Length: 2", b"Length: 1")) == 0
    assert framing.status_of(OK) == 200


def test_prompt_framing_reads_every_chunked_response() -> None:
    """Chunks of other sizes can end elsewhere below the same head, in as many bytes."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    framing = PromptFraming()
    assert framing.status_of(head + b"3\r\nabc\r\n0\r\n\r\n") == 200
    assert framing.status_of(head + b"4\r\nabc\r\n0\r\n\r\n") == 0
