import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1 import engine_pb2
from hyperscale.worker.engine.errors import FrameError
from hyperscale.worker.engine.frames import HEADER_BYTES, MAX_FRAME_BYTES, FrameDecoder, encode_frame

payloads = st.lists(st.text(max_size=50), max_size=10)
cuts = st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=20)


def report(error: str) -> engine_pb2.EngineReport:
    return engine_pb2.EngineReport(run_id=7, progress=engine_pb2.EngineProgress(error=error))


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found: list[bytes] = []
    while data:
        size = sizes[len(found) % len(sizes)]
        found.append(data[:size])
        data = data[size:]
    return found


@given(payloads, cuts)
def test_frames_come_out_as_they_went_in_however_they_arrive(errors: list[str], sizes: list[int]) -> None:
    stream = b"".join(encode_frame(report(error)) for error in errors)
    decoder = FrameDecoder()
    frames = [frame for piece in pieces(stream, sizes) for frame in decoder.feed(piece)]
    assert [engine_pb2.EngineReport.FromString(frame).progress.error for frame in frames] == errors
    assert decoder.pending_bytes == 0


@given(st.binary(max_size=200), cuts)
def test_arbitrary_bytes_give_frames_or_a_frame_error(data: bytes, sizes: list[int]) -> None:
    decoder = FrameDecoder()
    taken = 0
    try:
        for piece in pieces(data, sizes):
            taken += sum(HEADER_BYTES + len(frame) for frame in decoder.feed(piece))
    except FrameError:
        return
    assert taken + decoder.pending_bytes == len(data)


def test_empty_message_is_a_frame() -> None:
    assert FrameDecoder().feed(encode_frame(engine_pb2.EngineReport())) == [b""]


def test_limit_is_kept_on_both_sides() -> None:
    with pytest.raises(FrameError, match="longer than"):
        FrameDecoder().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(FrameError, match="longer than"):
        encode_frame(report("x" * MAX_FRAME_BYTES))
    assert FrameDecoder().feed(MAX_FRAME_BYTES.to_bytes(4, "big")) == []
