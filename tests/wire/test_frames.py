"""Frames: golden bytes, round trips, and a decoder that never does anything but decode or raise FrameError."""

import contextlib
import json

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from staffetta.wire import frames, messages
from staffetta.wire.errors import FrameError, Problem

u64 = st.integers(0, frames.MAX_U64)
u16 = st.integers(0, frames.MAX_U16)
text = st.text(st.characters(codec="utf-8"), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
controls = st.builds(
    lambda kind, fields: frames.Control(kind, {**fields, "type": kind}),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.dictionaries(text, json_values, max_size=5),
)
any_frame = st.one_of(
    controls,
    st.builds(frames.Ping, u64),
    st.builds(frames.Pong, u64),
    st.builds(frames.Data, u16, u64, u64, st.binary(min_size=1, max_size=200)),
    st.builds(frames.Ack, u16, u64),
)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (frames.Ping(1), "020000000000000001"),
        (frames.Pong(2**64 - 1), "03ffffffffffffffff"),
        (frames.Data(1, 2, 3, b"ls"), "100001000000000000000200000000000000036c73"),
        (frames.Ack(1, 258), "1100010000000000000102"),
        (frames.Control("end", {"type": "end", "reason": "è"}), b'\x01{"type":"end","reason":"\xc3\xa8"}'.hex()),
    ],
)
def test_these_bytes_are_the_protocol(frame: frames.Frame, message: str) -> None:
    assert frames.encode(frame).hex() == message
    assert frames.decode(bytes.fromhex(message)) == frame


@given(any_frame)
def test_every_frame_survives_the_way_there(frame: frames.Frame) -> None:
    assert frames.decode(frames.encode(frame)) == frame


@given(
    st.binary(max_size=400)
    | st.builds(lambda head, rest: bytes([head]) + rest, st.sampled_from([1, 2, 3, 16, 17]), st.binary(max_size=60))
)
@example(b"\x01" + b"[" * 16_000)
@example(b"\x01" + b'{"type":' + b'{"a":' * 3000)
@example(b'\x01{"type":"x","n":' + b"9" * 5000 + b"}")
@example(b'\x01{"type":"x","n":1e999}')
@example(b'\x01{"type":"x","n":NaN}')
@example(b'\x01{"type":"x","s":"\\ud800"}')
@example(b'\x01{"type":"sync","expect":{"' + b"1" * 5000 + b'":1},"consumed":{}}')
def test_any_bytes_are_a_frame_or_a_frame_error(message: bytes) -> None:
    try:
        frame = frames.decode(message)
        if isinstance(frame, frames.Control):
            messages.parse(frame)
            messages.goes_to_peer(frame)
    except FrameError as error:
        assert len(error.close_reason.encode()) <= 123
    else:
        assert frames.decode(frames.encode(frame)) == frame


@given(any_frame, st.data())
def test_one_flipped_or_missing_byte_is_never_more_than_a_frame_error(frame: frames.Frame, data: st.DataObject) -> None:
    message = bytearray(frames.encode(frame))
    place = data.draw(st.integers(0, len(message) - 1))
    if data.draw(st.booleans()):
        message[place] ^= data.draw(st.integers(1, 255))
    else:
        del message[place:]
    try:
        decoded = frames.decode(bytes(message))
        if isinstance(decoded, frames.Control):
            messages.parse(decoded)
    except FrameError:
        pass


@given(
    st.dictionaries(
        st.sampled_from(["type", "role", "nonce", "client", "request", "ticket", "counter", "proof"]),
        json_values,
    )
)
def test_any_json_object_is_a_message_or_a_frame_error(fields: dict[str, object]) -> None:
    for kind in ("hello", "attach", "open", "clients", "sync", "move", "invite", "peer"):
        with contextlib.suppress(FrameError):
            messages.parse(frames.decode(frames.encode(frames.Control(kind, {**fields, "type": kind}))))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", Problem.EMPTY),
        (b"\x00", Problem.UNKNOWN_TYPE),
        (b"\x02\x00", Problem.TRUNCATED),
        (b"\x03" + bytes(9), Problem.TRAILING),
        (b"\x10" + bytes(18), Problem.TRUNCATED),
        (b"\x11" + bytes(11), Problem.TRAILING),
        (b"\x10" + bytes(frames.MAX_MESSAGE), Problem.OVERSIZED),
        (b"\x01[]", Problem.BAD_JSON),
        (b"\x01{}", Problem.BAD_MESSAGE),
        (b'\x01{"type":7}', Problem.BAD_MESSAGE),
        (b'\x01{"type":"a","type":"b"}', Problem.BAD_JSON),
        (b'\x01{"type":"a"} ' + b"\xff", Problem.BAD_JSON),
    ],
)
def test_what_is_wrong_is_named(message: bytes, problem: Problem) -> None:
    with pytest.raises(FrameError) as caught:
        frames.decode(message)
    assert caught.value.problem is problem


def test_nothing_is_encoded_that_could_not_be_decoded() -> None:
    whole = frames.encode(frames.Data(0, 0, 0, bytes(frames.MAX_PAYLOAD)))
    assert len(whole) == frames.MAX_MESSAGE
    for frame in (
        frames.Data(0, 0, 0, bytes(frames.MAX_PAYLOAD + 1)),
        frames.Data(0, 0, 0, b""),
        frames.Data(-1, 0, 0, b"x"),
        frames.Ack(0, 2**64),
        frames.Control("x", {"n": float("nan")}),
        frames.Control("x", {"s": "\ud800"}),
        frames.Control("x", {"s": "y" * frames.MAX_MESSAGE}),
    ):
        with pytest.raises(FrameError):
            frames.encode(frame)


def test_control_is_plain_json_for_any_other_reader() -> None:
    message = frames.encode(frames.Control("peer", {"present": True}))
    assert json.loads(message[1:]) == {"present": True, "type": "peer"}
