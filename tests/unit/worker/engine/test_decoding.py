"""Bodies are decoded as they are meant, and never beyond the limit."""

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.worker.engine.decoding import UndecodableBodyError, decode_body


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}
each_coding = pytest.mark.parametrize("coding", CODINGS)


@each_coding
@given(body=st.binary(max_size=2000))
def test_body_is_what_was_encoded(coding: str, body: bytes) -> None:
    assert decode_body(coding, CODINGS[coding](body)) == body


def test_other_spellings() -> None:
    assert decode_body("", b"x") == b"x"
    assert decode_body(" GZIP ", gzip.compress(b"x")) == b"x"
    assert decode_body("x-gzip, identity", gzip.compress(b"x")) == b"x"
    assert decode_body("deflate", raw_deflate(b"x" * 100)) == b"x" * 100
    assert decode_body("br, gzip", gzip.compress(brotli.compress(b"x"))) == b"x"
    assert decode_body("gzip", gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"
    assert decode_body("gzip", b"") == b""


@each_coding
def test_bombs_are_refused_without_being_unpacked(coding: str) -> None:
    bomb = CODINGS[coding](b"\0" * 10_000_000)
    assert len(decode_body(coding, bomb, 10_000_000)) == 10_000_000
    with pytest.raises(UndecodableBodyError, match="more than 1,000,000 bytes"):
        decode_body(coding, bomb, 1_000_000)


@each_coding
def test_what_is_cut_off_or_something_else_is_refused(coding: str) -> None:
    packed = CODINGS[coding](b"some text " * 100)
    for damaged in (packed[:-5], b"plain text that nobody packed"):
        with pytest.raises(UndecodableBodyError):
            decode_body(coding, damaged)


def test_unknown_and_endless_codings_are_refused() -> None:
    with pytest.raises(UndecodableBodyError, match="compress"):
        decode_body("compress", b"x")
    with pytest.raises(UndecodableBodyError):
        decode_body(", ".join(["identity"] * 5), b"x")


@given(st.sampled_from(list(CODINGS)), st.binary(max_size=200))
def test_no_body_raises_anything_else(coding: str, body: bytes) -> None:
    with suppress(UndecodableBodyError):
        decode_body(coding, body, 1000)
