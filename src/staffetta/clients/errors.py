"""What a client may have to tell a person: who refused what, and what to do about it."""

from staffetta.kernel.errors import StaffettaError


class ClientError(StaffettaError):
    """Base of everything the clients raise."""

    code = "client"


class WrongSite(ClientError):
    """The other end does not prove that it is the site this client belongs to. Nothing secret was sent."""

    code = "wrong-site"
    http_status = 403
    exit_status = 3


class BadIdentity(ClientError):
    """What was given as the site's identity is none."""

    code = "bad-identity"
    http_status = 400
    exit_status = 2


class SiteRefused(ClientError):
    """The site understood and said no; ``refusal`` is its code."""

    code = "refused"
    http_status = 403
    exit_status = 3

    def __init__(self, refusal: str, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


class AccessRevoked(ClientError):
    """The site no longer accepts this client: trying again is useless."""

    code = "revoked"
    http_status = 403
    exit_status = 3


class PasswordChangeNeeded(ClientError):
    """The account must change its password in the web pages first (H3)."""

    code = "password-change-needed"
    http_status = 403
    exit_status = 3


class ClockWrong(ClientError):
    """This computer's clock and the site's disagree so far that signed things look expired or not yet valid."""

    code = "clock-wrong"
    http_status = 409
    exit_status = 5


class SiteUnreachable(ClientError):
    """No address of the site answered; each one tried is named with what happened."""

    code = "site-unreachable"
    http_status = 503
    exit_status = 6

    def __init__(self, *attempts: tuple[str, str]) -> None:
        tried = "; ".join(f"{address} ({what})" for address, what in attempts) or "no address is known"
        super().__init__(f"The site cannot be reached. Tried: {tried}. Check the network, then try again.")
        self.attempts = attempts


class Elsewhere(ClientError):
    """The appliance that answered is not the primary now; ``statement``, signed by the site, begins with who is."""

    code = "elsewhere"
    http_status = 503
    exit_status = 6

    def __init__(self, message: str, statement: str) -> None:
        super().__init__(f"{message} The site is moving between its two appliances; try again in a moment.")
        self.statement = statement


class UnreadableAnswer(ClientError):
    """The site answered with something that is not the protocol."""

    code = "unreadable-answer"
    http_status = 422
    exit_status = 7


class UnsafeFile(ClientError):
    """A file with a key or credential is not private to this user; it is not used."""

    code = "unsafe-file"
    http_status = 403
    exit_status = 3


class NotSetUp(ClientError):
    """This client was not enrolled, or nobody is signed in."""

    code = "not-set-up"
    http_status = 404
    exit_status = 4


class SessionOver(ClientError):
    """A session ended without the remote shell's exit status."""

    code = "session-over"
    http_status = 503
    exit_status = 6
