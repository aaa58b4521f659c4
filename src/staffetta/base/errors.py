"""The errors of base: each a class of the kernel's, with a code of its own where a face tells them apart."""

from staffetta.kernel.errors import Conflict, Damaged, InvalidInput, NotFound, Refused, StaffettaError, Unavailable


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


class NotGranted(BaseError, Refused):
    """No administrator of this appliance has permitted what the pair job asks."""

    code = "not-granted"


class GrantRefused(BaseError, InvalidInput):
    """A pair upgrade cannot be permitted for that long."""

    code = "grant-refused"


class GrantDamaged(BaseError, Damaged):
    """The file of the grant cannot be read."""

    code = "grant-damaged"


class MetricsAccessDamaged(BaseError, Damaged):
    """The file that says who may read the metrics cannot be read."""

    code = "metrics-access-damaged"


class PairRequestInvalid(BaseError, InvalidInput):
    """What the site asks for the pair cannot be understood."""

    code = "invalid-request"


class StepTaken(BaseError, Conflict):
    """Another package was begun for the same step of a pair job."""

    code = "step-taken"


class SharedAddressRefused(BaseError, Conflict):
    """The shared address cannot be moved as asked: there is none, or it is not enabled."""

    code = "shared-address-refused"


class StaleTerm(BaseError, Conflict):
    """A command of a role term that is over."""

    code = "stale-term"


class SharedAddressDamaged(BaseError, Damaged):
    """What is kept of the shared address cannot be read."""

    code = "shared-address-damaged"
