"""What can go wrong with a pair job."""

from staffetta.kernel.errors import Conflict, InvalidInput, NotFound
from staffetta.site.failover.errors import FailoverError


class BadPairJob(FailoverError, InvalidInput):
    """A pair job's document, command or facts cannot be understood."""

    code = "bad-pair-job"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


class NoSuchPairJob(FailoverError, NotFound):
    """There is no such pair job here."""

    code = "no-such-pair-job"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class Fenced(FailoverError, Conflict):
    """Another appliance owns the pair job now: a command or document of an earlier owner is refused."""

    code = "fenced"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class NotNow(FailoverError, Conflict):
    """The pair job, or the appliance, cannot do that in its present state."""

    code = "not-now"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class SwingFailed(FailoverError, Conflict):
    """The traffic of the pair does not go where it should; the message says what to do."""

    code = "swing-failed"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class NotReady(FailoverError, Conflict):
    """The pre-flight of a pair upgrade found something that a person must mend first."""

    code = "not-ready"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class NothingNewer(NotReady):
    """There is nothing that both appliances could be upgraded to; the message says what they run."""

    code = "nothing-newer"
