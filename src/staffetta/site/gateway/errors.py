"""What ends a connection to the gateway: each error carries the WebSocket close code that says so."""

from staffetta.kernel.errors import Conflict, Refused, StaffettaError, Unavailable
from staffetta.wire import messages
from staffetta.wire.errors import CloseCode


class GatewayError(StaffettaError):
    """The base of every error of this room."""

    code = "gateway"


class Leaves(GatewayError, Unavailable):
    """The gateway was told to end before it had begun."""

    code = "leaves"
    http_status = Unavailable.http_status
    exit_status = Unavailable.exit_status


class Turned(GatewayError, Refused):
    """This connection is turned away: ``word`` is a stable word for the program, ``close`` the close code."""

    code = "turned-away"
    http_status = Refused.http_status
    exit_status = Refused.exit_status

    def __init__(self, close: CloseCode, word: str, message: str) -> None:
        super().__init__(message)
        self.close = close
        self.word = word


class Elsewhere(Turned):
    """What was asked for belongs to the other appliance of the pair; ``move`` says so to whoever asked."""

    code = "elsewhere"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status

    def __init__(self, move: messages.Move) -> None:
        super().__init__(CloseCode.MOVED, "elsewhere", "The primary is elsewhere.")
        self.move = move


class NotAllowed(GatewayError, Refused):
    """Who proved a ticket or key may not use it any more; ``word`` is a stable word for the program."""

    code = "not-allowed"
    http_status = Refused.http_status
    exit_status = Refused.exit_status

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word
