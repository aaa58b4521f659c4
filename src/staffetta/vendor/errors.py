"""What can go wrong while a release is built, signed, published or served."""

from typing import ClassVar

from staffetta.kernel.errors import Conflict, InvalidInput, NotFound, StaffettaError


class VendorError(StaffettaError):
    """The base of this room's errors."""


class BuildFailed(VendorError, InvalidInput):
    """A release cannot be built from what was given."""

    code: ClassVar[str] = "build-failed"


class KeyMissing(VendorError, NotFound):
    """A private key that is needed is not in the folder of keys."""

    code: ClassVar[str] = "key-missing"


class RepositoryMissing(VendorError, NotFound):
    """The folder holds no repository, or the repository no such target."""

    code: ClassVar[str] = "repository-missing"


class AlreadyPublished(VendorError, Conflict):
    """What is to be made or published is there already, with other content."""

    code: ClassVar[str] = "already-published"
