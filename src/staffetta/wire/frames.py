"""Bytes of one WebSocket message to one frame and back; nothing else.

- A message is one type byte and a body, at most ``MAX_MESSAGE`` bytes; integers are unsigned, big-endian.
- Decoding is strict: whatever is not exactly one frame raises ``FrameError`` and nothing else ever does.
- CONTROL is a UTF-8 JSON object with a text "type"; NaN, infinities, doubled keys and lone surrogates are refused,
  so that every reader of the same bytes understands the same.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from staffetta.wire.errors import FrameError, Problem

SUBPROTOCOL: Final = "staffetta.1"
MAX_MESSAGE: Final = 16_384
DATA_HEADER: Final = 19
MAX_PAYLOAD: Final = MAX_MESSAGE - DATA_HEADER
MAX_U64: Final = 2**64 - 1
MAX_U16: Final = 2**16 - 1

CONTROL: Final = 0x01
PING: Final = 0x02
PONG: Final = 0x03
DATA: Final = 0x10
ACK: Final = 0x11

_BEAT = struct.Struct(">BQ")
_DATA = struct.Struct(">BHQQ")
_ACK = struct.Struct(">BHQ")


@dataclass(frozen=True, slots=True)
class Control:
    """A JSON object that is not yet read further; ``kind`` is its "type"."""

    kind: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered by a Pong with the same token, by either side."""

    token: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a Ping."""

    token: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a channel.

    ``sequence`` counts frames from 0 per channel and direction; ``at`` is the sender's monotonic clock in
    microseconds since it joined the session; the payload is never empty.
    """

    channel: int
    sequence: int
    at: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """Every sequence below ``next`` was consumed by the application of the side that sends it."""

    channel: int
    next: int


Frame = Control | Ping | Pong | Data | Ack


def encode(frame: Frame) -> bytes:
    """The message for a frame. Raises FrameError when it would break the protocol (too long, out of range)."""
    try:
        match frame:
            case Control(kind, fields):
                text = json.dumps({**fields, "type": kind}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
                message = b"\x01" + text.encode("utf-8")
            case Ping(token):
                message = _BEAT.pack(PING, token)
            case Pong(token):
                message = _BEAT.pack(PONG, token)
            case Data(channel, sequence, at, payload):
                if not payload:
                    raise FrameError(Problem.EMPTY, "DATA carries at least one byte")
                message = _DATA.pack(DATA, channel, sequence, at) + payload
            case Ack(channel, next_):
                message = _ACK.pack(ACK, channel, next_)
    except struct.error as error:
        raise FrameError(Problem.BAD_MESSAGE, f"a number is out of range: {error}") from None
    except (TypeError, ValueError, RecursionError):
        raise FrameError(Problem.BAD_JSON, "the message has no JSON form") from None
    if len(message) > MAX_MESSAGE:
        raise FrameError(Problem.OVERSIZED, f"{len(message)} bytes, at most {MAX_MESSAGE}")
    return message


def decode(message: bytes) -> Frame:
    """The frame in a message. Raises FrameError, and never anything else, for bytes that are not exactly one frame."""
    if not message:
        raise FrameError(Problem.EMPTY)
    if len(message) > MAX_MESSAGE:
        raise FrameError(Problem.OVERSIZED, f"{len(message)} bytes, at most {MAX_MESSAGE}")
    match message[0]:
        case 0x10:
            if len(message) <= DATA_HEADER:
                raise FrameError(Problem.TRUNCATED, "DATA needs a header of 19 bytes and a payload")
            _, channel, sequence, at = _DATA.unpack_from(message)
            return Data(channel, sequence, at, bytes(message[DATA_HEADER:]))
        case 0x11:
            _, channel, next_ = _exactly(_ACK, message)
            return Ack(channel, next_)
        case 0x02:
            return Ping(_exactly(_BEAT, message)[1])
        case 0x03:
            return Pong(_exactly(_BEAT, message)[1])
        case 0x01:
            return read_control(message[1:])
        case other:
            raise FrameError(Problem.UNKNOWN_TYPE, f"0x{other:02x}")


def _exactly(layout: struct.Struct, message: bytes) -> tuple[int, ...]:
    if len(message) < layout.size:
        raise FrameError(Problem.TRUNCATED, f"{len(message)} bytes, needs {layout.size}")
    if len(message) > layout.size:
        raise FrameError(Problem.TRAILING, f"{len(message)} bytes, needs {layout.size}")
    return layout.unpack(message)


def read_control(body: bytes) -> Control:
    """The JSON object of a CONTROL frame, or of a payload of channel 0. Raises FrameError for anything else."""
    fields = read_object(body)
    kind = fields.get("type")
    if not isinstance(kind, str) or not kind:
        raise FrameError(Problem.BAD_MESSAGE, "the object has no text 'type'")
    return Control(kind, fields)


def read_object(body: bytes) -> dict[str, object]:
    """One strict JSON object from UTF-8 bytes. Raises FrameError for anything else."""
    try:
        text = bytes(body).decode("utf-8")
        value: object = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
        if "\\u" in text:  # an escaped lone surrogate decodes, but no one could pass it on
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise FrameError(Problem.BAD_JSON, str(error)[:80]) from None
    if not isinstance(value, dict):
        raise FrameError(Problem.BAD_JSON, "not an object")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key appears twice")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
