"""Why a file is not stored or not found."""

from staffetta.kernel.errors import InvalidInput, NotFound, StaffettaError


class ManagementError(StaffettaError):
    """The base of every error of this room."""


class FileUnknown(ManagementError, NotFound):
    """No file has that id."""

    code = "file-unknown"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class BadUpload(ManagementError, InvalidInput):
    """What was uploaded is no file with a usable name."""

    code = "bad-upload"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status
