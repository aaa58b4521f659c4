"""Why an account cannot be made, changed or used."""

from staffetta.kernel.errors import Conflict, InvalidInput, NotFound, Refused, StaffettaError


class AccountsError(StaffettaError):
    """The base of every error of this room."""


class AccountUnknown(AccountsError, NotFound):
    """No account has that id or user name."""

    code = "account-unknown"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class NameTaken(AccountsError, Conflict):
    """There is an account with that user name."""

    code = "name-taken"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class BadAccount(AccountsError, InvalidInput):
    """A field of the account is not acceptable."""

    code = "bad-account"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class NotYours(AccountsError, Refused):
    """The person may not make this change: it would raise rights above their own, or lock everybody out."""

    code = "not-yours"
    http_status = Refused.http_status
    exit_status = Refused.exit_status


class SignInRefused(AccountsError, Refused):
    """A console's sign-in does not hold; ``reason`` is a stable word for the program.

    ``wrong-password``, ``locked`` (with ``retry_seconds``), ``password-change-needed``, ``may-not-start-sessions``.
    """

    code = "sign-in-refused"
    http_status = Refused.http_status
    exit_status = Refused.exit_status

    def __init__(self, reason: str, message: str, retry_seconds: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_seconds = retry_seconds
