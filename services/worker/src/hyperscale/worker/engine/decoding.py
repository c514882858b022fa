"""Undoes the content coding of a response's body; only for who has to look into it, and never into more than a limit."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import brotli
import zstandard

MAX_DECODED_BYTES: Final = 16 * 1024 * 1024
"""What one body may become: a few kilobytes can be made to unpack to gigabytes."""
MAX_CODINGS: Final = 4
"""Codings that are undone one after the other; nobody applies more on purpose."""

_ZLIB_HEADER: Final = 15
_NO_HEADER: Final = -15
_GZIP_HEADER: Final = 31
_LARGEST_ZSTD_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""What RFC 9659 lets servers use."""


class UndecodableBodyError(ValueError):
    """The body is not what its Content-Encoding says, or too large."""


def decode_body(content_encoding: str, body: bytes, limit_bytes: int = MAX_DECODED_BYTES) -> bytes:
    """The body without its content codings.

    Parameters
    ----------
    content_encoding
        Value of the header field: codings in the order in which they were applied; empty for none.
    limit_bytes
        Most bytes that each step of the decoding may have as its result.

    Raises UndecodableBodyError when a coding is unknown or does not fit, or the result exceeds the limit.
    """
    codings = [coding for part in content_encoding.lower().split(",") if (coding := part.strip())]
    if len(codings) > MAX_CODINGS:
        raise UndecodableBodyError(f"more than {MAX_CODINGS} content codings")
    for coding in reversed(codings):
        body = _undo(coding, body, limit_bytes)
    return body


def _undo(coding: str, body: bytes, limit_bytes: int) -> bytes:
    decode = _DECODERS.get(coding)
    if decode is None:
        raise UndecodableBodyError(f"content coding {coding[:40]!r} is not known")
    if not body:
        return body
    try:
        decoded = decode(body, limit_bytes + 1)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise UndecodableBodyError(f"the body is not {coding}: {error}") from error
    if len(decoded) > limit_bytes:
        raise UndecodableBodyError(f"the body has more than {limit_bytes:,} bytes when it is decoded")
    return decoded


def _gzip(body: bytes, most_bytes: int) -> bytes:
    """Members one after the other, as gzip allows."""
    decoded = b""
    while body and len(decoded) < most_bytes:
        member, body = _inflate(body, most_bytes - len(decoded), _GZIP_HEADER)
        decoded += member
    return decoded


def _deflate(body: bytes, most_bytes: int) -> bytes:
    """With the header of zlib, as the standard says, or without, as many servers do."""
    try:
        return _inflate(body, most_bytes, _ZLIB_HEADER)[0]
    except zlib.error:
        return _inflate(body, most_bytes, _NO_HEADER)[0]


def _inflate(body: bytes, most_bytes: int, window_bits: int) -> tuple[bytes, bytes]:
    """What was packed, and what follows it."""
    inflater = zlib.decompressobj(window_bits)
    decoded = inflater.decompress(body, most_bytes)
    if not inflater.eof and len(decoded) < most_bytes:
        raise zlib.error("it ends too soon")
    return decoded, inflater.unused_data


def _brotli(body: bytes, most_bytes: int) -> bytes:
    decoder = brotli.Decompressor()
    decoded = decoder.process(body, output_buffer_limit=most_bytes)
    while len(decoded) < most_bytes and not decoder.can_accept_more_data():
        decoded += decoder.process(b"", output_buffer_limit=most_bytes - len(decoded))
    if not decoder.is_finished() and len(decoded) < most_bytes:
        raise brotli.error("it ends too soon")
    return bytes(decoded)


def _zstd(body: bytes, most_bytes: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=_LARGEST_ZSTD_WINDOW_BYTES)
    with decoder.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        decoded = reader.read(most_bytes)
    if len(decoded) < most_bytes:
        _check_zstd_end(decoder, body)
    return decoded


def _check_zstd_end(decoder: zstandard.ZstdDecompressor, body: bytes) -> None:
    """The reader, which alone bounds what it makes, takes a frame that is cut off for a whole one."""
    while body:
        frame = decoder.decompressobj()
        frame.decompress(body)
        if not frame.eof:
            raise zstandard.ZstdError("it ends too soon")
        body = frame.unused_data


def _as_it_is(body: bytes, _: int) -> bytes:
    return body


_DECODERS: Final[Mapping[str, Callable[[bytes, int], bytes]]] = {
    "identity": _as_it_is,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
