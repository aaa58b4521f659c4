"""Why a process or task of the site cannot run."""

from staffetta.kernel.errors import Conflict, InvalidInput, NoSpace, StaffettaError


class ProcessError(StaffettaError):
    """The base of every error of this room."""


class NoSuchProcess(ProcessError, InvalidInput):
    """The release has no process or task of that name."""

    code = "no-such-process"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class NotUnderKeeper(ProcessError, Conflict):
    """A process was started by hand; only keeper gives it sockets."""

    code = "not-under-keeper"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class NoRoomForSnapshot(ProcessError, NoSpace):
    """The disk has too little room for a copy of the database."""

    code = "no-space"
    http_status = NoSpace.http_status
    exit_status = NoSpace.exit_status


class OtherDatabase(ProcessError, Conflict):
    """The database is not the embedded one, so its own tools must copy it."""

    code = "other-database"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class DatabaseBehind(ProcessError, Conflict):
    """Migrations of this release are not applied yet."""

    code = "database-behind"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class WebDidNotStart(ProcessError, Conflict):
    """The pages' server ended before it served."""

    code = "web-did-not-start"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status
