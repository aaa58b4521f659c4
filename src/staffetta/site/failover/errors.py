"""What can go wrong between the two appliances of a pair."""

from collections.abc import Sequence

from staffetta.kernel.errors import Conflict, InvalidInput, NotFound, Refused, StaffettaError, Unavailable
from staffetta.site.failover.rules import Check, failed


class FailoverError(StaffettaError):
    """The base of every error of this room."""


class PeerUnreachable(FailoverError, Unavailable):
    """The other appliance does not answer, or what answers there is not it."""

    code = "peer-unreachable"
    http_status = Unavailable.http_status
    exit_status = Unavailable.exit_status


class PeerRefused(FailoverError, Conflict):
    """The other appliance answered with a refusal; ``reason`` is its code, the message its sentence."""

    code = "peer-refused"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class PeerNotProven(FailoverError, Refused):
    """The asker did not prove to be the other appliance of this pair."""

    code = "peer-not-proven"
    http_status = Refused.http_status
    exit_status = Refused.exit_status


class NoRelationship(FailoverError, NotFound):
    """This appliance is in no failover relationship."""

    code = "no-relationship"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class WrongRole(FailoverError, Conflict):
    """What was asked needs another role: it is to be done on the other appliance, or after a change of role."""

    code = "wrong-role"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class NotEstablished(FailoverError, Conflict):
    """A relationship was not established; ``checks`` holds each thing that was looked at, also what was good."""

    code = "not-established"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status

    def __init__(self, checks: Sequence[Check]) -> None:
        super().__init__(" ".join(check.detail for check in failed(checks)) or "The relationship was not established.")
        self.checks = tuple(checks)


class NoAttempt(FailoverError, Conflict):
    """A finish came for an attempt that this appliance does not know, or no longer."""

    code = "no-attempt"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class StaleTerm(FailoverError, Conflict):
    """Something was asked for a role term that is not above this appliance's own."""

    code = "stale-term"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class BadQuestion(FailoverError, InvalidInput):
    """The peer asked for something that this appliance does not understand."""

    code = "bad-question"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status
