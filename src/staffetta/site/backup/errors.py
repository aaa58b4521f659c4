"""Why a backup cannot be made, opened or restored."""

from staffetta.kernel.errors import Conflict, Damaged, InvalidInput, NoSpace, Refused, StaffettaError


class BackupError(StaffettaError):
    """The base of every error of this room."""


class NotABackup(BackupError, InvalidInput):
    """The file is neither a backup of a site nor an age file."""

    code = "not-a-backup"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class NotForAPassword(BackupError, InvalidInput):
    """An age file, but not one that a password opens, or one that asks for more work than is done here."""

    code = "not-for-a-password"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class NotRestorable(BackupError, InvalidInput):
    """A whole backup that this site cannot take: from a newer version, or of a format it does not know."""

    code = "not-restorable"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class PasswordNeeded(BackupError, Refused):
    """The backup is encrypted and no password was given, or none was chosen for a new one."""

    code = "password-needed"
    http_status = Refused.http_status
    exit_status = Refused.exit_status


class WrongPassword(BackupError, Refused):
    """The password does not open the backup."""

    code = "wrong-password"
    http_status = Refused.http_status
    exit_status = Refused.exit_status


class BackupDamaged(BackupError, Damaged):
    """The backup is not as it was written: altered, or cut short."""

    code = "backup-damaged"
    http_status = Damaged.http_status
    exit_status = Damaged.exit_status


class NoRoomForBackup(BackupError, NoSpace):
    """A disk has too little room for making or restoring a backup."""

    code = "no-space"
    http_status = NoSpace.http_status
    exit_status = NoSpace.exit_status


class RestoreRunning(BackupError, Conflict):
    """Another restore is under way."""

    code = "restore-running"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status
