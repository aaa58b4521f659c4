"""Why a client is not let in, or a change to one is not made."""

from staffetta.kernel.errors import InvalidInput, NotFound, Refused, StaffettaError


class FleetError(StaffettaError):
    """The base of every error of this room."""


class EnrolmentRefused(FleetError, Refused):
    """An installer token does not let this computer in; ``reason`` is a stable word for the program.

    ``token-unknown``, ``token-expired``, ``token-used-up``, ``token-revoked``, ``key-bad``, ``key-known``,
    ``name-bad``.
    """

    code = "enrolment-refused"
    http_status = Refused.http_status
    exit_status = Refused.exit_status

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClientRevoked(FleetError, Refused):
    """The client was let in once and is not any more."""

    code = "client-revoked"
    http_status = Refused.http_status
    exit_status = Refused.exit_status


class ClientUnknown(FleetError, NotFound):
    """No client has that id: never enrolled here, or deleted."""

    code = "client-unknown"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class TokenUnknown(FleetError, NotFound):
    """No installer token has that id."""

    code = "token-unknown"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class BadToken(FleetError, InvalidInput):
    """An installer token cannot be made with these limits."""

    code = "bad-token"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class BadLimit(FleetError, InvalidInput):
    """So many Jump Clients cannot be let upgrade at a time."""

    code = "bad-limit"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status
