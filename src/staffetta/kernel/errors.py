"""The root of every error of ours: a code, an HTTP status, an exit status and a sentence that says what to do.

Each room has one base class below one of these and few leaves below that. A face (page, CLI, API) translates an
error in one place, by these three class attributes alone.
"""

from typing import ClassVar


class StaffettaError(Exception):
    """Something that a person can be told about.

    ``code`` is a stable word for programs, ``http_status`` what a page or API answers with, ``exit_status`` what a
    command leaves with. The message is one or two sentences for people.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(StaffettaError):
    """What was given (a file, form, packet, option) cannot be understood."""

    code = "invalid-input"
    http_status = 400
    exit_status = 2


class Refused(StaffettaError):
    """Understood, but the asker may not, or a rule forbids it."""

    code = "refused"
    http_status = 403
    exit_status = 3


class NotFound(StaffettaError):
    """What was named does not exist."""

    code = "not-found"
    http_status = 404
    exit_status = 4


class Conflict(StaffettaError):
    """It cannot be done in the present state; it may later."""

    code = "conflict"
    http_status = 409
    exit_status = 5


class Unavailable(StaffettaError):
    """Another program or machine does not answer."""

    code = "unavailable"
    http_status = 503
    exit_status = 6


class Damaged(StaffettaError):
    """Data fails its verification: a hash, a signature, a format."""

    code = "damaged"
    http_status = 422
    exit_status = 7


class NoSpace(StaffettaError):
    """There is too little room on a disk."""

    code = "no-space"
    http_status = 507
    exit_status = 8
