"""What can go wrong while a release is fetched, staged, checked or flipped."""

from typing import ClassVar

from staffetta.kernel.errors import Conflict, Damaged, NoSpace, NotFound, Refused, StaffettaError, Unavailable


class ReleaseError(StaffettaError):
    """The base of this room's errors."""


class ServerUnreachable(ReleaseError, Unavailable):
    """The update server does not answer, answers with an error, or breaks off."""

    code: ClassVar[str] = "update-server-unreachable"


class PackageDamaged(ReleaseError, Damaged):
    """A package, bundle or release on disk is not what was signed."""

    code: ClassVar[str] = "package-damaged"


class PlatformUnfit(ReleaseError, Refused):
    """A package is for another platform, or the interpreter it needs is not here."""

    code: ClassVar[str] = "platform-unfit"


class DiskFull(ReleaseError, NoSpace):
    """There is too little room for a release."""

    code: ClassVar[str] = "disk-full"


class ReleaseMissing(ReleaseError, NotFound):
    """No release of that version is on the disk, or no such package is on offer."""

    code: ClassVar[str] = "release-missing"


class ReleaseInUse(ReleaseError, Conflict):
    """The current release cannot be removed or replaced."""

    code: ClassVar[str] = "release-in-use"
