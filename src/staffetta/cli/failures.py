"""How a command that failed says so: one sentence or two on standard error, and an exit status that is documented.

The sentences say what happened and what to do. A fault of ours, and only that, shows its trace.
"""

import errno
import sqlite3
from typing import Final

import click

from staffetta.kernel.errors import (
    Conflict,
    InvalidInput,
    NoSpace,
    NotFound,
    Refused,
    StaffettaError,
    Unavailable,
)

INTERRUPTED: Final = 130
"""Ctrl-C, as shells have it: 128 and the signal's number."""

_KINDS: Final[dict[int, type[StaffettaError]]] = {
    errno.EACCES: Refused,
    errno.EPERM: Refused,
    errno.EROFS: Refused,
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EISDIR: InvalidInput,
    errno.EEXIST: Conflict,
    errno.EBUSY: Conflict,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.ECONNREFUSED: Unavailable,
}
_REMEDIES: Final[dict[type[StaffettaError], str]] = {
    Refused: "Run the command as root, or as the user that this belongs to.",
    NotFound: "Check the path that you gave.",
    NoSpace: "Make room and try again.",
    Unavailable: "See that the appliance runs (`staffetta doctor`), and try again.",
}


def said_of(error: BaseException) -> tuple[str, int] | None:
    """What to print and the status to leave with; None for what nobody foresaw."""
    match error:
        case StaffettaError():
            return error.message, error.exit_status
        case click.exceptions.Abort():
            if isinstance(error.__cause__, KeyboardInterrupt):
                return "Interrupted.", INTERRUPTED
            return "Not done: it was not confirmed.", 1
        case click.UsageError():
            return _usage(error), InvalidInput.exit_status
        case click.ClickException():
            return error.format_message(), error.exit_code
        case OSError():
            return _of_system(error)
    if isinstance(error.__cause__, sqlite3.OperationalError) and _is_busy(error.__cause__):
        return (
            f"The site's database answered: {error}. Try again in a moment; if that goes on, run `staffetta doctor`.",
            Unavailable.exit_status,
        )
    return None


def _is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether somebody else has the database for a moment; every other error of it is a fault of ours."""
    code = getattr(error, "sqlite_errorcode", 0)  # an extended code has the plain one in its low byte
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _usage(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    where = "staffetta" if error.ctx is None else error.ctx.command_path
    end = "" if message.endswith(("?", ")")) else "."
    return f"{message}{end} See `{where} --help`."


def _of_system(error: OSError) -> tuple[str, int]:
    kind = _KINDS.get(error.errno or 0)
    what = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    remedy = _REMEDIES.get(kind, "") if kind is not None else ""
    status = StaffettaError.exit_status if kind is None else kind.exit_status
    return f"{where}{what[:1].upper()}{what[1:]}. {remedy}".strip(), status
