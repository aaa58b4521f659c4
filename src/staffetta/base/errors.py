"""The errors of base: each a class of the kernel's, with a code of its own where a face tells them apart."""

from staffetta.kernel.errors import Conflict, InvalidInput, NotFound, Refused, StaffettaError, Unavailable


class BaseError(StaffettaError):
    """The root of base's errors."""


class InstallRefused(BaseError, Refused):
    """A package may not be installed (unmet requirement, kind, version)."""

    code = "install-refused"


class EulaNotAccepted(BaseError, Refused):
    """The licence agreement must be accepted first (U8)."""

    code = "eula-not-accepted"


class JobUnderWay(BaseError, Conflict):
    """Another install job is under way."""

    code = "job-under-way"


class StepFailed(BaseError, Conflict):
    """A step of an install job could not be done; the message is the reason that pages show."""

    code = "step-failed"


class NotYet(BaseError, Conflict):
    """Keeper is between two states; the same will be possible in a moment."""

    code = "not-yet"


class UnknownName(BaseError, NotFound):
    """A job, target or certificate of that name does not exist."""

    code = "not-found"


class Moving(BaseError, Unavailable):
    """This base is handing over to another generation, or has not taken over yet."""

    code = "moving"


class RunnerEnded(BaseError, Unavailable):
    """Install jobs cannot be run any more in this process."""

    code = "runner-ended"


class CertificateRefused(BaseError, InvalidInput):
    """A certificate or key that cannot be used."""

    code = "certificate-refused"


class SetupRefused(BaseError, InvalidInput):
    """An appliance cannot be laid out as asked."""

    code = "setup-refused"


class ClockWrong(BaseError, Unavailable):
    """A check failed because the appliance's clock is wrong (U6)."""

    code = "clock-wrong"
