"""Bodies in chunks (RFC 9112, section 7.1)."""

from __future__ import annotations

from typing import Final

_CHUNK_BYTES: Final = 16 * 1024


def in_chunks(content: bytes) -> bytes:
    """The content as a chunked body."""
    pieces = [content[at : at + _CHUNK_BYTES] for at in range(0, len(content), _CHUNK_BYTES)]
    return b"".join([*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"])


def out_of_chunks(body: bytes) -> bytes:
    """The content of a body that `in_chunks` has made."""
    pieces: list[bytes] = []
    while body:
        size_text, _, rest = body.partition(b"\r\n")
        size = int(size_text, 16)
        pieces.append(rest[:size])
        body = rest[size + 2 :] if size else b""
    return b"".join(pieces)
