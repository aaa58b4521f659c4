"""The console's standing with a site: signing in with a password once, then a credential bound to a key of its own.

The password is sent only to a peer that has proven to be the site whose identity the rep gave; it is not stored.
The credential (12 hours) and the key are stored with mode 0600.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from staffetta.clients.errors import BadIdentity, ClockWrong, NotSetUp, UnreadableAnswer
from staffetta.clients.installed import SiteFacts
from staffetta.clients.runtime.answers import object_in
from staffetta.clients.runtime.network import Network
from staffetta.clients.state_directory import StateDirectory
from staffetta.wire.addresses import AddressBook
from staffetta.wire.errors import NotProven
from staffetta.wire.fields import from_base64url, to_base64url
from staffetta.wire.identity import KEY_BYTES, SigningKey
from staffetta.wire.signed import CREDENTIAL_LIFE, Credential, Typ, claims_of

KEY_FILE = "console.key"
CONSOLE_FILE = "console.json"
SIGN_IN_PATH = "/console/sign-in"
CLOCK_SECONDS = 300


def usual_state() -> Path:
    """Return the folder of this user's console: below $XDG_CONFIG_HOME, else ~/.config."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "staffetta"


@dataclasses.dataclass(frozen=True, slots=True)
class SignedIn:
    """A console that may come online."""

    state: StateDirectory
    key: SigningKey
    site: SiteFacts
    credential: str = dataclasses.field(repr=False)
    rep: str

    def remember(self, statement: str) -> None:
        """Store a newer statement of the site."""
        _store(self.state, dataclasses.replace(self.site, statement=statement), self.credential, self.rep)


def load(root: Path, now: datetime) -> SignedIn:
    """Return who is signed in. Raises NotSetUp when nobody is, or when the sign-in has expired."""
    state = StateDirectory(root)
    if not state.exists(CONSOLE_FILE):
        raise NotSetUp(
            "Nobody is signed in; run: staffetta console sign-in --site https://HOST:PORT --identity IDENTITY"
        )
    stored = state.read(CONSOLE_FILE)
    site = SiteFacts.from_json(stored.get("site"), root / CONSOLE_FILE)
    credential, rep = stored.get("credential"), stored.get("rep")
    if not isinstance(credential, str) or not isinstance(rep, str):
        raise UnreadableAnswer(f"{root / CONSOLE_FILE} is damaged; sign in again.")
    try:
        claims = claims_of(Credential, Typ.CREDENTIAL, credential, site.key)
    except NotProven as error:
        raise UnreadableAnswer(f"{root / CONSOLE_FILE} is damaged: {error.message} Sign in again.") from None
    if now.timestamp() >= claims.exp:
        raise NotSetUp("The sign-in has expired (it lasts 12 hours); sign in again.")
    return SignedIn(state, state.key(KEY_FILE), site, credential, rep)


async def sign_in(
    root: Path, address: str, identity: str, ask: Callable[[], tuple[str, str]], now: Callable[[], datetime]
) -> SignedIn:
    """Sign in at an address whose site has this identity; ``ask`` gives user name and password, and is called only
    once the site is proven. Raises WrongSite, SiteRefused, PasswordChangeNeeded, ClockWrong.
    """
    state = StateDirectory(root)
    state.create()
    site_key = site_key_in(identity)
    book = AddressBook(site_key, (address,))
    async with Network(book, lambda _: None) as network:
        peer = await network.trusted_peer()
        user, password = ask()
        key = state.key_or_new(KEY_FILE)
        question = {"username": user, "password": password, "public_key": to_base64url(key.public)}
        body = json.dumps(question).encode()
        answer = object_in(await network.ask_primary(SIGN_IN_PATH, peer, lambda _: body))
    credential = answer.get("credential")
    if not isinstance(credential, str):
        raise UnreadableAnswer("The site's answer to the sign-in holds no credential.")
    claims = _judged(credential, site_key, now())
    site = SiteFacts(site_key, (address,), book.token)
    _store(state, site, credential, claims.name)
    return SignedIn(state, key, site, credential, claims.name)


def sign_out(root: Path) -> None:
    """Forget credential and key."""
    state = StateDirectory(root)
    state.remove(CONSOLE_FILE)
    state.remove(KEY_FILE)


def site_key_in(identity: str) -> bytes:
    """Read a site's identity as its administrator sees it: the public key, 43 characters of base64url.

    An Ed25519 key is as short as a hash of it would be: it is its own fingerprint, and nothing has to be fetched to
    know it.
    """
    try:
        key = from_base64url("".join(identity.split()))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadIdentity(
            "The site's identity is 43 characters, as shown under /login > Status > Information; copy all of it."
        )
    return key


def _store(state: StateDirectory, site: SiteFacts, credential: str, rep: str) -> None:
    stored: dict[str, Any] = {"format": 1, "rep": rep, "site": site.to_json(), "credential": credential}
    state.write(CONSOLE_FILE, stored)


def _judged(credential: str, site_key: bytes, now: datetime) -> Credential:
    try:
        claims = claims_of(Credential, Typ.CREDENTIAL, credential, site_key)
    except NotProven as error:
        raise UnreadableAnswer(f"The site's credential is not usable: {error.message}") from None
    ahead = now.timestamp() + CREDENTIAL_LIFE.total_seconds() - claims.exp
    if abs(ahead) > CLOCK_SECONDS:
        raise ClockWrong(
            f"This computer's clock is about {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the site's; "
            "set the right time on the one that is wrong, then sign in again."
        )
    return claims
