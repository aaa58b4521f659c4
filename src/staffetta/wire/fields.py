"""A JSON object to a frozen dataclass and back, by the dataclass's own annotations.

- Unknown fields are ignored; a field with a default may be missing; anything else missing or of another type, length
  or range raises FrameError naming the field.
- ``bytes`` travel as base64url without padding. A ``tuple`` is an array, a nested dataclass an object.
- Limits are part of the annotation: ``Annotated[str, Size(1, 64)]``, ``Annotated[int, Range(0, 9)]``.
"""

import base64
import binascii
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from staffetta.wire.errors import FrameError, Problem
from staffetta.wire.frames import MAX_U64
from staffetta.wire.identity import HASH_BYTES, KEY_BYTES, NONCE_BYTES, PROOF_BYTES


@dataclass(frozen=True, slots=True)
class Size:
    """How many characters, bytes or items a value has, both ends included."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Range:
    """Which integers a value may be, both ends included."""

    least: int
    most: int


Counter = Annotated[int, Range(0, MAX_U64)]
Nonce = Annotated[bytes, Size(NONCE_BYTES, NONCE_BYTES)]
Key = Annotated[bytes, Size(KEY_BYTES, KEY_BYTES)]
Proof = Annotated[bytes, Size(PROOF_BYTES, PROOF_BYTES)]
Hash = Annotated[bytes, Size(HASH_BYTES, HASH_BYTES)]
Id = Annotated[str, Size(1, 128)]
Name = Annotated[str, Size(1, 256)]
Sentence = Annotated[str, Size(0, 1024)]
Token = Annotated[str, Size(1, 12_288)]
Address = Annotated[str, Size(3, 300)]
Addresses = Annotated[tuple[Address, ...], Size(0, 32)]
Capabilities = Annotated[tuple[Annotated[str, Size(1, 64)], ...], Size(0, 64)]
Details = Annotated[Mapping[str, Annotated[str, Size(0, 1024)]], Size(0, 32)]

T = TypeVar("T")
_Reader = Callable[[object, str], Any]


def read(cls: type[T], values: Mapping[str, object]) -> T:
    """The dataclass with these values. Raises FrameError (bad-message) naming the first field that does not fit."""
    found: dict[str, Any] = {}
    for name, reader, required in _readers(cls):
        if name in values:
            found[name] = reader(values[name], name)
        elif required:
            raise FrameError(Problem.BAD_MESSAGE, f"'{name}' is missing")
    return cls(**found)


def write(value: object) -> dict[str, object]:
    """The JSON object of a dataclass."""
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is not a dataclass")
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def to_base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 4648, 5)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """The bytes of unpadded base64url. Raises ValueError for any other spelling of them."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64url") from None
    if to_base64url(raw) != text:
        raise ValueError("not the canonical base64url")
    return raw


def _plain(value: object) -> object:
    match value:
        case bytes():
            return to_base64url(value)
        case StrEnum():
            return value.value
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case _ if is_dataclass(value):
            return write(value)
        case _:
            return value


_known: dict[type, tuple[tuple[str, _Reader, bool], ...]] = {}


def _readers(cls: Any) -> tuple[tuple[str, _Reader, bool], ...]:
    """Per field its name, its reader and whether it must be there; worked out once per class."""
    if cls not in _known:
        hints = get_type_hints(cls, include_extras=True)
        _known[cls] = tuple(
            (field.name, _reader(hints[field.name]), field.default is MISSING and field.default_factory is MISSING)
            for field in fields(cls)
        )
    return _known[cls]


def _reader(hint: Any) -> _Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is ClassVar:
        raise TypeError("a class variable is not a field")
    if origin is Annotated:
        return _limited(_reader(arguments[0]), arguments[1:])
    if origin in (Union, types.UnionType):
        inner = [_reader(argument) for argument in arguments if argument is not type(None)]
        if len(inner) != 1 or len(arguments) != 2:
            raise TypeError(f"only 'X | None' is known, not {hint}")
        return lambda value, name: None if value is None else inner[0](value, name)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda value, name: tuple(item(part, name) for part in _a(list, value, name))
    if origin is not None and issubclass(origin, Mapping):
        item = _reader(arguments[1])
        return lambda value, name: {key: item(part, name) for key, part in _a(dict, value, name).items()}
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value, name: read(hint, _a(dict, value, name))
    if hint is bytes:
        return _read_bytes
    if hint is int:
        return _read_int
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda value, name: _read_choice(hint, value, name)
    if hint in (str, bool):
        return lambda value, name: _a(hint, value, name)
    raise TypeError(f"no reader for {hint}")


def _limited(inner: _Reader, limits: tuple[object, ...]) -> _Reader:
    def limited(value: object, name: str) -> Any:
        result = inner(value, name)
        for limit in limits:
            match limit:
                case Size(least, most) if not least <= len(result) <= most:
                    raise FrameError(Problem.BAD_MESSAGE, f"'{name}' has {len(result)} parts, not {least} to {most}")
                case Range(least, most) if not least <= result <= most:
                    raise FrameError(Problem.BAD_MESSAGE, f"'{name}' is not within {least} and {most}")
                case _:
                    pass
        return result

    return limited


def _a(kind: type, value: object, name: str) -> Any:
    if type(value) is not kind:
        raise FrameError(Problem.BAD_MESSAGE, f"'{name}' is not of type {kind.__name__}")
    return value


def _read_int(value: object, name: str) -> int:
    number: int = _a(int, value, name)
    if abs(number) > MAX_U64:
        raise FrameError(Problem.BAD_MESSAGE, f"'{name}' is too large")
    return number


def _read_bytes(value: object, name: str) -> bytes:
    try:
        return from_base64url(_a(str, value, name))
    except ValueError:
        raise FrameError(Problem.BAD_MESSAGE, f"'{name}' is not base64url") from None


def _read_choice(hint: type[StrEnum], value: object, name: str) -> StrEnum:
    try:
        return hint(_a(str, value, name))
    except ValueError:
        raise FrameError(Problem.BAD_MESSAGE, f"'{name}' is none of {', '.join(hint)}") from None
