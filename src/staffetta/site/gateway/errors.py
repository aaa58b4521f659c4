"""What ends a connection to the gateway: each error carries the WebSocket close code that says so."""

from staffetta.kernel.errors import Refused, StaffettaError
from staffetta.wire.errors import CloseCode


class GatewayError(StaffettaError):
    """The base of every error of this room."""

    code = "gateway"


class Turned(GatewayError, Refused):
    """This connection is turned away: ``word`` is a stable word for the program, ``close`` the close code."""

    code = "turned-away"
    http_status = Refused.http_status
    exit_status = Refused.exit_status

    def __init__(self, close: CloseCode, word: str, message: str) -> None:
        super().__init__(message)
        self.close = close
        self.word = word


class NotAllowed(GatewayError, Refused):
    """Who proved a ticket or key may not use it any more; ``word`` is a stable word for the program."""

    code = "not-allowed"
    http_status = Refused.http_status
    exit_status = Refused.exit_status

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word
