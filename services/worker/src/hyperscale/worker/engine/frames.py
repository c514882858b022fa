"""Frames between a worker's control process and an engine: 4 bytes big-endian length, then a protobuf message."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import Message

from hyperscale.worker.engine.errors import FrameError

HEADER_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024


def encode_frame(message: Message) -> bytes:
    """The message with its length before it. Raises FrameError when it is longer than `MAX_FRAME_BYTES`."""
    payload = message.SerializeToString()
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(payload)} bytes is longer than {MAX_FRAME_BYTES}")
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


class FrameDecoder:
    """Takes bytes as they arrive and returns the frames that are whole.

    Keeps less than one frame. A frame announced as too long raises FrameError; the decoder is of no use after that.
    """

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not whole; at the end of the stream, bytes lost."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads of the frames that are now whole, in order; an empty payload is a frame too."""
        self._pending += data
        frames = []
        start = 0
        while (end := self._frame_end(start)) <= len(self._pending):
            frames.append(bytes(self._pending[start + HEADER_BYTES : end]))
            start = end
        del self._pending[:start]
        return frames

    def _frame_end(self, start: int) -> int:
        """Where the frame that starts here ends; beyond what is pending when its header is not whole."""
        header = self._pending[start : start + HEADER_BYTES]
        if len(header) < HEADER_BYTES:
            return start + HEADER_BYTES
        length = int.from_bytes(header, "big")
        if length > MAX_FRAME_BYTES:
            raise FrameError(f"a frame of {length} bytes is longer than {MAX_FRAME_BYTES}")
        return start + HEADER_BYTES + length
