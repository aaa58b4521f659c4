"""The session engine of the site's pages: hashed tokens, and data that both appliances of a pair can read."""

import json
from typing import Any

from staffetta.ui.signin.sessions import HashedSessionStore


class SessionStore(HashedSessionStore):
    """Keeps session data as JSON without the appliance's signature: it is in our own database, and replicated."""

    model_name = "accounts.WebSession"

    def encode(self, session_dict: dict[str, Any]) -> str:
        """Return the stored text."""
        return json.dumps(session_dict, separators=(",", ":"))

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        """Read the stored text; what is not ours counts as an empty session."""
        try:
            found = json.loads(session_data)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
