"""The session engine of `/appliance` (`SESSION_ENGINE`)."""

from staffetta.ui.signin.sessions import HashedSessionStore


class SessionStore(HashedSessionStore):
    """Sessions in base's own database."""

    model_name = "appliance.Session"
