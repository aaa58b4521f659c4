"""What can be wrong with what the far side sent, and the WebSocket close codes that say so."""

from enum import IntEnum, StrEnum

from staffetta.kernel.errors import InvalidInput


class CloseCode(IntEnum):
    """WebSocket close codes of sub-protocol ``staffetta.1`` (RFC 6455, 7.4.2: 4000-4999 are an application's own)."""

    BAD_FRAME = 4400
    NOT_PROVEN = 4401
    REFUSED = 4403
    UNKNOWN_SESSION = 4404
    SILENT = 4408
    FENCED = 4409
    ENDED = 4410
    MOVED = 4412
    TOO_MUCH_HELD = 4413


FINAL_CODES: frozenset[int] = frozenset(
    {CloseCode.NOT_PROVEN, CloseCode.REFUSED, CloseCode.UNKNOWN_SESSION, CloseCode.ENDED}
)
"""After one of these an end does not dial again: no other address would answer differently."""


class Problem(StrEnum):
    """Which rule a frame broke; the word that is logged and sent as the close reason."""

    EMPTY = "empty-frame"
    UNKNOWN_TYPE = "unknown-frame-type"
    TRUNCATED = "truncated-frame"
    OVERSIZED = "oversized-frame"
    TRAILING = "trailing-bytes"
    TEXT = "not-a-binary-message"
    BAD_JSON = "bad-json"
    BAD_MESSAGE = "bad-message"
    BAD_ACK = "bad-ack"
    WINDOW = "window-exceeded"


class WireError(InvalidInput):
    """Base of this room: the far side's bytes break the protocol."""

    code = "wire"


class FrameError(WireError):
    """A frame or message that breaks the protocol; its connection is closed with 4400, no other is touched."""

    code = "bad-frame"

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(f"{problem}: {detail}" if detail else str(problem))
        self.problem = problem

    @property
    def close_reason(self) -> str:
        """The message cut to what a WebSocket close frame can carry (123 bytes, RFC 6455, 5.5)."""
        return self.message.encode("utf-8")[:123].decode("utf-8", "ignore")


class NotProven(WireError):
    """A signature, token, ticket or proof of key does not hold; the connection is closed with 4401."""

    code = "not-proven"
    http_status = 403
    exit_status = 3


class LaterTerm(NotProven):
    """A ticket that holds, of a later role term than this appliance's: another appliance is the primary by now."""

    code = "later-term"

    def __init__(self, term: int) -> None:
        super().__init__("The ticket is of a later role term than this appliance's.")
        self.term = term


class HoldExceeded(WireError):
    """More was given to send than may be kept: the caller did not look at ``writable`` or ``room``."""

    code = "hold-exceeded"
    http_status = 503
    exit_status = 6
