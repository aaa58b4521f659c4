"""Why a session is not opened, or an end is not let into it."""

from staffetta.kernel.errors import Conflict, InvalidInput, NotFound, Refused, StaffettaError


class SupportError(StaffettaError):
    """The base of every error of this room."""


class SessionUnknown(SupportError, NotFound):
    """No session has that id."""

    code = "session-unknown"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class SessionOver(SupportError, Conflict):
    """The session has ended."""

    code = "session-over"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class Fenced(SupportError, Conflict):
    """A newer attach of the same end is known: this one is an older connection and stays out (4409)."""

    code = "fenced"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class SessionRefused(SupportError, Refused):
    """The rep may not open this session; ``reason`` is a stable word for the program.

    ``may-not-start-sessions``, ``client-unknown``, ``client-revoked``.
    """

    code = "session-refused"
    http_status = Refused.http_status
    exit_status = Refused.exit_status

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadAttach(SupportError, InvalidInput):
    """The end or the counter is none that a session has."""

    code = "bad-attach"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class BadSearch(SupportError, InvalidInput):
    """What is searched for cannot be read: a day that is none, a kind or a state that no session has."""

    code = "bad-search"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status
