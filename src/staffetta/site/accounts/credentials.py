"""What a console of a rep who has signed in shows to come online: a credential, bound to a key of the console's own.

A rep who is disabled, or may not start sessions any more, or is signed out, is out within seconds whatever credential
they hold: the gateway asks ``service.may`` and ``sign_ins.signed_out`` at each hello, at each attach and every few
seconds.
"""

from dataclasses import dataclass

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.data import audit
from staffetta.site.data.identity import site_identity
from staffetta.wire.signed import CREDENTIAL_LIFE, make_credential, seconds


@dataclass(frozen=True, slots=True)
class MadeCredential:
    """A signed credential and when it expires, in seconds since 1970."""

    token: str
    expires: int

    def __repr__(self) -> str:
        return f"MadeCredential(expires={self.expires})"


def for_browser(account: Account, public_key: bytes, remote: str, web: str) -> MadeCredential:
    """Make one for the key (32 raw bytes) that the browser of a signed-in rep has made; ``remote`` is its address.

    ``web`` is the name by which consoles know the browser's web session: the credential is good while that goes on.
    The account is as it was read when the web session was checked.
    """
    now = utc_now()
    audit.note(account.username, "user.console-opened", account.username, {"from": remote})
    token = make_credential(account.id, account.username, public_key, now, site_identity(), account.consoles_since, web)
    return MadeCredential(token, seconds(now + CREDENTIAL_LIFE))
