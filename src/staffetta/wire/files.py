"""One file from one end of a session to the other, over one ordered channel: messages, states, the hash at the end.

- A message is one DATA payload of the channel: ``0x01`` and a strict JSON object with a text "type", or ``0x02`` and a
  piece of the file, 1 to ``PIECE`` bytes. A channel carries one transfer and is not used again.
- ``ask`` (only to fetch) · ``offer`` · ``ready`` · pieces · ``end`` with the SHA-256 · ``stored``. Either side may say
  ``refused`` at any time before the last word; it is the last word.
- The receiver counts and hashes: a piece too many, an end too early or another hash ends the transfer with a reason.
- What cannot be understood ends this transfer (``refused``, bad-message) and touches no other channel.
- After its last word an end takes no notice of what still arrives.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from staffetta.kernel.states import IllegalTransition, StateTable, advance
from staffetta.wire import fields as wire_fields
from staffetta.wire import frames
from staffetta.wire.errors import FrameError, Problem
from staffetta.wire.fields import Hash, Name, Range, Sentence, Size

PIECE: Final = frames.MAX_PAYLOAD - 1
MOST_PATH: Final = 1024
FileSize = Annotated[int, Range(0, 2**63 - 1)]
FilePath = Annotated[str, Size(1, MOST_PATH)]

_OBJECT: Final = b"\x01"
_PIECE: Final = b"\x02"


class Trouble(StrEnum):
    """Why a transfer did not come to its end: the ``code`` of ``refused``. A newer side may know more of them."""

    BAD_MESSAGE = "bad-message"
    SIZE_DIFFERS = "size-differs"
    HASH_DIFFERS = "hash-differs"
    NO_SUCH_FILE = "no-such-file"
    NO_SUCH_FOLDER = "no-such-folder"
    NO_PERMISSION = "no-permission"
    ALREADY_THERE = "already-there"
    IS_A_DIRECTORY = "is-a-directory"
    NOT_A_FILE = "not-a-file"
    BAD_PATH = "bad-path"
    NO_SPACE = "no-space"
    FILE_CHANGED = "file-changed"
    TOO_MANY = "too-many"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ask:
    """Receiver, to fetch: send me this file."""

    TYPE: ClassVar[str] = "ask"
    path: FilePath


@dataclass(frozen=True, slots=True)
class Offer:
    """Sender: this is what comes. ``path``, on the remote computer: where it is to be stored, or where it lies."""

    TYPE: ClassVar[str] = "offer"
    name: Name
    size: FileSize
    path: Annotated[str, Size(0, MOST_PATH)] = ""
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """Receiver: send the pieces."""

    TYPE: ClassVar[str] = "ready"


@dataclass(frozen=True, slots=True)
class End:
    """Sender, after the last piece: the SHA-256 of all of them."""

    TYPE: ClassVar[str] = "end"
    sha256: Hash


@dataclass(frozen=True, slots=True)
class Stored:
    """Receiver, its last word: the file is whole, has this SHA-256 and is safe on the disk.

    ``path`` is that on the remote computer, whichever way the file went.
    """

    TYPE: ClassVar[str] = "stored"
    path: Annotated[str, Size(0, MOST_PATH)]
    sha256: Hash


@dataclass(frozen=True, slots=True)
class Refused:
    """Either side, its last word: the transfer is over, and why."""

    TYPE: ClassVar[str] = "refused"
    code: Name
    reason: Sentence = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bytes of the file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """An object of a newer version: ignored."""

    kind: str


Spoken = Ask | Offer | Ready | End | Stored | Refused
Message = Spoken | Piece | Unknown

_KINDS: Final[Mapping[str, type[Spoken]]] = {kind.TYPE: kind for kind in (Ask, Offer, Ready, End, Stored, Refused)}


def read(payload: bytes) -> Message:
    """The message in a DATA payload. Raises FrameError, and never anything else, for what is none."""
    match payload[:1]:
        case b"\x02" if 1 < len(payload) <= frames.MAX_PAYLOAD:
            return Piece(payload[1:])
        case b"\x02":
            raise FrameError(
                Problem.EMPTY if len(payload) == 1 else Problem.OVERSIZED, f"a piece has 1 to {PIECE} bytes"
            )
        case b"\x01" if len(payload) <= frames.MAX_PAYLOAD:
            control = frames.read_control(payload[1:])
            kind = _KINDS.get(control.kind)
            return Unknown(control.kind) if kind is None else wire_fields.read(kind, control.fields)
        case b"\x01":
            raise FrameError(Problem.OVERSIZED, f"{len(payload)} bytes, at most {frames.MAX_PAYLOAD}")
        case b"":
            raise FrameError(Problem.EMPTY)
        case other:
            raise FrameError(Problem.UNKNOWN_TYPE, f"0x{other.hex()}")


def write(message: Spoken | Piece) -> bytes:
    """The DATA payload of a message. Raises FrameError if it would be longer than one may be."""
    if isinstance(message, Piece):
        if not 1 <= len(message.data) <= PIECE:
            raise FrameError(Problem.OVERSIZED, f"{len(message.data)} bytes, a piece has 1 to {PIECE}")
        return _PIECE + message.data
    body = frames.encode(frames.Control(message.TYPE, wire_fields.write(message)))[1:]
    if len(body) >= frames.MAX_PAYLOAD:
        raise FrameError(Problem.OVERSIZED, f"{len(body)} bytes, at most {frames.MAX_PAYLOAD - 1}")
    return _OBJECT + body


class State(StrEnum):
    """Where a transfer is, as one end sees it."""

    BEGUN = "begun"
    ASKED = "asked"
    OFFERED = "offered"
    FLOWING = "flowing"
    ENDED = "ended"
    STORED = "stored"
    REFUSED = "refused"


class Step(StrEnum):
    """What was said, by whichever side it is for."""

    ASK = "ask"
    OFFER = "offer"
    READY = "ready"
    PIECE = "piece"
    END = "end"
    STORED = "stored"
    REFUSED = "refused"


_GOING_ON: Final = (State.BEGUN, State.ASKED, State.OFFERED, State.FLOWING, State.ENDED)

TRANSFER: Final = StateTable(
    "file transfer",
    State.BEGUN,
    {
        (State.BEGUN, Step.ASK): State.ASKED,
        (State.BEGUN, Step.OFFER): State.OFFERED,
        (State.ASKED, Step.OFFER): State.OFFERED,
        (State.OFFERED, Step.READY): State.FLOWING,
        (State.FLOWING, Step.PIECE): State.FLOWING,
        (State.FLOWING, Step.END): State.ENDED,
        (State.ENDED, Step.STORED): State.STORED,
        **{(state, Step.REFUSED): State.REFUSED for state in _GOING_ON},
    },
    frozenset({State.STORED, State.REFUSED}),
)
"""Both ends go through it; each says only the steps that are its own (``_SENDERS``, ``_RECEIVERS``)."""

_SENDERS: Final = frozenset({Step.OFFER, Step.PIECE, Step.END, Step.REFUSED})
_RECEIVERS: Final = frozenset({Step.ASK, Step.READY, Step.STORED, Step.REFUSED})


class _Side:
    """What both sides share: the state, the count, the hash, the peer's messages checked."""

    _own: ClassVar[frozenset[Step]]
    _peers: ClassVar[frozenset[Step]]

    def __init__(self) -> None:
        self.state: str = TRANSFER.initial
        self.size: int | None = None
        self.count = 0
        self._hash = hashlib.sha256()

    @property
    def over(self) -> bool:
        """Whether the last word was said."""
        return self.state in TRANSFER.finals

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of the pieces so far."""
        return self._hash.digest()

    def refuse(self, code: str, reason: str = "") -> bytes:
        """End the transfer; returns the message that says so, which is the last."""
        self._advance(Step.REFUSED)
        return write(Refused(code, reason[:1024]))

    def receive(self, payload: bytes) -> "Message | Broken | None":
        """What the peer says; None if it means nothing (any more). ``Broken`` is the end: send its ``answer``."""
        if self.over:
            return None
        try:
            message = read(payload)
            if isinstance(message, Unknown):
                return None
            step = Step.PIECE if isinstance(message, Piece) else Step(message.TYPE)
            if step not in self._peers:
                raise FrameError(Problem.BAD_MESSAGE, f"'{step}' is not for the other side to say")
            state = advance(TRANSFER, self.state, step)
        except (FrameError, IllegalTransition) as error:
            return self._broken(Trouble.BAD_MESSAGE, error.message)
        trouble = self._trouble(message)
        if trouble is not None:
            return self._broken(*trouble)
        self.state = state
        return message

    def _trouble(self, message: Message) -> tuple[Trouble, str] | None:
        """Why a message that is in order cannot be true; counts and hashes what is."""
        raise NotImplementedError

    def _broken(self, code: Trouble, reason: str) -> "Broken":
        return Broken(code, reason, self.refuse(code, reason))

    def _advance(self, step: Step) -> None:
        assert step in self._own
        self.state = advance(TRANSFER, self.state, step)

    def _add(self, data: bytes) -> None:
        self._hash.update(data)
        self.count += len(data)


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer broke the protocol, or what arrived is not what was sent. The transfer is over; send ``answer``."""

    code: Trouble
    reason: str
    answer: bytes


class Sender(_Side):
    """The side that has the file. Every method gives the payload to send; they follow the table, or raise."""

    _own = _SENDERS
    _peers = _RECEIVERS

    def offer(self, offer: Offer) -> bytes:
        """Say what comes."""
        self._advance(Step.OFFER)
        self.size = offer.size
        return write(offer)

    def piece(self, data: bytes) -> bytes:
        """Send the next bytes, once the receiver is ready; never more than were offered."""
        assert self.size is not None and self.count + len(data) <= self.size
        payload = write(Piece(data))
        self._advance(Step.PIECE)
        self._add(data)
        return payload

    def end(self) -> bytes:
        """Say the hash, after as many bytes as were offered."""
        assert self.count == self.size
        self._advance(Step.END)
        return write(End(self.sha256))

    def _trouble(self, message: Message) -> tuple[Trouble, str] | None:
        if isinstance(message, Stored) and message.sha256 != self.sha256:
            return Trouble.HASH_DIFFERS, "What was stored has another SHA-256 than what was sent."
        return None


class Receiver(_Side):
    """The side that stores the file. Every method gives the payload to send; they follow the table, or raise."""

    _own = _RECEIVERS
    _peers = _SENDERS

    def ask(self, path: str) -> bytes:
        """Ask for a file."""
        payload = write(Ask(path))
        self._advance(Step.ASK)
        return payload

    def ready(self) -> bytes:
        """Take the offer."""
        self._advance(Step.READY)
        return write(Ready())

    def stored(self, path: str) -> bytes:
        """Say that the file is safe, after its end was received."""
        self._advance(Step.STORED)
        return write(Stored(path, self.sha256))

    def _trouble(self, message: Message) -> tuple[Trouble, str] | None:
        match message:
            case Offer():
                self.size = message.size
            case Piece(data):
                assert self.size is not None
                if self.count + len(data) > self.size:
                    return Trouble.SIZE_DIFFERS, f"More than the {self.size} bytes that were offered arrived."
                self._add(data)
            case End(sha256):
                if self.count != self.size:
                    return Trouble.SIZE_DIFFERS, f"{self.count} bytes arrived, {self.size} were offered."
                if sha256 != self.sha256:
                    return Trouble.HASH_DIFFERS, "What arrived has another SHA-256 than what was sent."
            case _:
                pass
        return None
