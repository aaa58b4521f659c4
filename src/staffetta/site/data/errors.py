"""What can go wrong with the site's stored data."""

from staffetta.kernel.errors import Conflict, Damaged, InvalidInput, NotFound, StaffettaError


class DataError(StaffettaError):
    """The base of every error of this room."""


class RecordsAreFinal(DataError, Conflict):
    """Somebody tried to change or delete a record; records are append-only."""

    code = "records-are-final"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class SecretUnreadable(DataError, Damaged):
    """A stored secret cannot be opened with this appliance's key."""

    code = "secret-unreadable"
    http_status = Damaged.http_status
    exit_status = Damaged.exit_status


class BlobMissing(DataError, NotFound):
    """No bytes are stored under that SHA-256."""

    code = "blob-missing"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class BlobDamaged(DataError, Damaged):
    """Bytes do not have the SHA-256 or size that was stated for them."""

    code = "blob-damaged"
    http_status = Damaged.http_status
    exit_status = Damaged.exit_status


class RecordGap(DataError, Damaged):
    """Records arrived that do not follow those that are here."""

    code = "record-gap"
    http_status = Damaged.http_status
    exit_status = Damaged.exit_status


class DocumentDamaged(DataError, Damaged):
    """A document cannot be read, or contradicts what is stored."""

    code = "document-damaged"
    http_status = Damaged.http_status
    exit_status = Damaged.exit_status


class ReadOnlyHere(DataError, Conflict):
    """Configuration is edited on the primary only, and nowhere in the seconds in which traffic moves."""

    code = "read-only-here"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class BodyNotJson(DataError, InvalidInput):
    """A record's body must be a JSON object."""

    code = "body-not-json"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status
