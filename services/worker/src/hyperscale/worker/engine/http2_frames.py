"""What stands between an HTTP/2 peer and the `h2` library; opens no socket and reads no clock.

The library takes a GOAWAY frame for the end of everything, though a peer that says so still answers the requests that it has
taken (RFC 9113, section 6.8); it waits for the whole of a frame before it finds it too long; and it takes as long over a frame
of nine bytes as over one of many. All of that is looked after here.
"""

from __future__ import annotations

from typing import Final

from hyperscale.worker.engine.errors import MalformedResponseError

MAX_FRAME_BYTES: Final = 16 * 1024
"""Payload of a frame; larger ones are only sent to who asks for them."""

MAX_IDLE_FRAMES: Final = 5000
"""Frames without content while a request is under way. A peer that sends so many wants to keep us busy: even the windows of the
largest body need less."""

_HEADER_BYTES: Final = 9
_LENGTH_BYTES: Final = 3
_KIND_AT: Final = 3
_DATA: Final = 0
_SETTINGS: Final = 4
_GOAWAY: Final = 7
_LEAST_GOAWAY_BYTES: Final = 8
_STREAM_ID_BITS: Final = 0x7FFF_FFFF


class FrameGate:
    """Lets frames through to the library, GOAWAY excepted."""

    __slots__ = ("_begun", "_has_greeted", "_idle_frames", "_unread_bytes", "last_stream_id")

    def __init__(self) -> None:
        self.last_stream_id: int | None = None
        """Requests after this one are not taken by the peer; None: it has not said GOAWAY."""
        self._has_greeted = False
        self._idle_frames = 0
        # Of a frame that has been let through in part.
        self._unread_bytes = 0
        # A frame of which too little is there yet: less than its header, or a GOAWAY.
        self._begun = b""

    def begin_request(self) -> None:
        """From now on the peer has a reason to send frames again."""
        self._idle_frames = 0

    def admit(self, received: bytes) -> bytes:
        """What the library is to have of it. Raises MalformedResponseError when it is not HTTP/2, or without end."""
        data = self._begun + received
        passed: list[bytes] = []
        begin, at = 0, min(self._unread_bytes, len(data))
        self._unread_bytes -= at
        while len(data) - at >= _HEADER_BYTES:
            size, kind = int.from_bytes(data[at : at + _LENGTH_BYTES], "big"), data[at + _KIND_AT]
            self._check(size, kind)
            end = at + _HEADER_BYTES + size
            if kind == _GOAWAY:
                if end > len(data):
                    break
                self._leave(data[at + _HEADER_BYTES : end])
                passed.append(data[begin:at])
                begin = end
            at = min(end, len(data))
            self._unread_bytes = end - at
        self._begun = data[at:]
        return b"".join([*passed, data[begin:at]])

    def _check(self, size: int, kind: int) -> None:
        if size > MAX_FRAME_BYTES or not (self._has_greeted or kind == _SETTINGS):
            raise MalformedResponseError("the peer does not speak HTTP/2")
        self._has_greeted = True
        if kind != _DATA or not size:
            self._idle_frames += 1
        if self._idle_frames > MAX_IDLE_FRAMES:
            raise MalformedResponseError("the peer sends frames without end")

    def _leave(self, payload: bytes) -> None:
        if len(payload) < _LEAST_GOAWAY_BYTES:
            raise MalformedResponseError("a GOAWAY frame is too short")
        last = int.from_bytes(payload[:4], "big") & _STREAM_ID_BITS
        self.last_stream_id = last if self.last_stream_id is None else min(last, self.last_stream_id)
