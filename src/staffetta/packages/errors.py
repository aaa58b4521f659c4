"""What can be wrong with a package or with what the vendor signed about it."""

from typing import ClassVar

from staffetta.kernel.errors import Damaged, InvalidInput, Refused, StaffettaError


class PackageError(StaffettaError):
    """The base of this room's errors."""


class DocumentInvalid(PackageError, Damaged):
    """A manifest, description or statement is not what the format says (docs/release-format.md)."""

    code: ClassVar[str] = "document-invalid"


class RequestInvalid(PackageError, InvalidInput):
    """What an appliance asked of the update server cannot be understood."""

    code: ClassVar[str] = "request-invalid"


class NotTrusted(PackageError, Damaged):
    """A signature is missing or made by a key that is not trusted (U14)."""

    code: ClassVar[str] = "not-trusted"


class Expired(PackageError, Damaged):
    """Signed metadata is past its expiry: an attacker may be holding newer metadata back (TUF, freeze attack)."""

    code: ClassVar[str] = "metadata-expired"


class OlderMetadata(PackageError, Refused):
    """Signed metadata is older than what was seen before (TUF, rollback attack)."""

    code: ClassVar[str] = "older-metadata"


class OlderPackage(PackageError, Refused):
    """A package is not newer than what is installed."""

    code: ClassVar[str] = "older-version"


class PrerequisiteUnmet(PackageError, Refused):
    """A package needs others to be installed first (U2)."""

    code: ClassVar[str] = "prerequisite-unmet"
