"""The content security policy of a page that holds a session: what it may beside what every page may.

- ``connect-src``: the gateways of the site. 'self' is the page's own origin, WebSockets included; an older Safari
  wants that said, and the other addresses of a pair are other origins.
- ``style-src`` with a nonce: xterm.js draws by three <style> elements of its own. Nothing but a <style> element with
  this page's nonce gets in by it; style attributes and scripts stay as forbidden as on every page.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Final

from staffetta.ui.headers import CONTENT_SECURITY_POLICY

_ADDRESS: Final = re.compile(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


def new_nonce() -> str:
    """Return a nonce for one answer."""
    return secrets.token_urlsafe(16)


def policy_for_session(nonce: str, own: str, addresses: Iterable[str]) -> str:
    """Return the policy; ``own`` is the host (and port) that the page was asked at, ``addresses`` are host:port."""
    reached = (own, *(address for address in addresses if _ADDRESS.fullmatch(address)))
    gateways = " ".join(f"wss://{address}" for address in dict.fromkeys(reached))
    return f"{CONTENT_SECURITY_POLICY}; style-src 'self' 'nonce-{nonce}'; connect-src 'self' {gateways}"
