"""Signed texts: JWTs with EdDSA (RFC 7519, RFC 8037), whose header ``typ`` names the thing; two of them.

- A signature for one ``typ`` is never taken for another; no other algorithm is taken.
- No clock is read: expiry is judged against the ``now`` that is passed in.
- Statement: what the site says of itself. Credential: what a rep's console may show for 12 hours.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import jwt
from jwt.types import Options

from staffetta.wire import fields as wire_fields
from staffetta.wire.errors import FrameError, NotProven
from staffetta.wire.fields import Address, Counter, Hash, Id, Key, Name, Range, Size
from staffetta.wire.identity import SigningKey, public_key

MAX_TOKEN: Final = 12_288
CREDENTIAL_LIFE: Final = timedelta(hours=12)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SIGNED_OUT: Final = "signed-out"
"""The word for a console whose sign-in was ended: why it is refused, and why its sessions end."""

_Seconds = Annotated[int, Range(0, 253_402_300_799)]
_Milliseconds = Annotated[int, Range(0, 253_402_300_799_000)]


class Typ(StrEnum):
    """The header ``typ`` of each signed thing."""

    STATEMENT = "statement+jwt"
    TICKET = "ticket+jwt"
    CREDENTIAL = "credential+jwt"
    PAIR = "pair+jwt"


_SIGNATURE_ONLY: Final[Options] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""PyJWT judges the signature alone; times are judged here, against the ``now`` passed in."""


def sign(typ: Typ, claims: dict[str, object], key: SigningKey) -> str:
    """The compact JWT of these claims."""
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"typ": typ.value})


def verified(typ: Typ, token: str, key: bytes) -> dict[str, Any]:
    """The claims of a token signed by this public key as this thing. Raises NotProven for anything else."""
    if len(token) > MAX_TOKEN:
        raise NotProven(f"A {typ} has at most {MAX_TOKEN} characters.")
    try:
        parts = jwt.decode_complete(
            token,
            public_key(key),
            algorithms=["EdDSA"],
            options=_SIGNATURE_ONLY,
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise NotProven(f"The signature of the {typ} does not hold.") from None
    if parts["header"].get("typ") != typ.value:
        raise NotProven(f"A {typ} was expected, not a {str(parts['header'].get('typ'))[:40]!r}.")
    claims: dict[str, Any] = parts["payload"]
    return claims


_Claims = TypeVar("_Claims")


def claims_of(cls: type[_Claims], typ: Typ, token: str, key: bytes) -> _Claims:
    """The verified claims as a value. Raises NotProven."""
    try:
        return wire_fields.read(cls, verified(typ, token, key))
    except FrameError as error:
        raise NotProven(f"The {typ} is signed but not understood: {error.message}.") from None


def seconds(at: datetime) -> int:
    """Whole seconds since 1970 of an aware time."""
    return int(at.timestamp())


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970 of an aware time, rounded up."""
    return -((EPOCH - at) // timedelta(milliseconds=1))


def from_milliseconds(since_1970: int) -> datetime:
    """The time of so many milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=since_1970)


@dataclass(frozen=True, slots=True)
class Statement:
    """What the site says of itself, signed by its identity key.

    ``certificates`` are the SHA-256 of the leaf certificates (DER) it answers with; ``addresses`` are "host:port", the
    shared name and each appliance's own; ``sequence`` rises with every statement of a term, ``term`` with every change
    of the primary. ``issued`` is in seconds since 1970. ``appliance`` says which one of a pair signed it ("" by an
    older release): the two number their statements without asking each other.
    """

    site: Id
    certificates: Annotated[tuple[Hash, ...], Size(1, 64)]
    addresses: Annotated[tuple[Address, ...], Size(1, 32)]
    term: Counter
    sequence: Counter
    issued: _Seconds
    appliance: Annotated[str, Size(0, 128)] = ""

    def sign(self, key: SigningKey) -> str:
        """The token that clients verify."""
        return sign(Typ.STATEMENT, wire_fields.write(self), key)

    def names(self, certificate: bytes) -> bool:
        """Whether a TLS peer whose leaf has this SHA-256 is the site."""
        return certificate in self.certificates


def read_statement(token: str, site_key: bytes) -> Statement:
    """A verified statement. It does not expire: a newer one replaces it. Raises NotProven."""
    return claims_of(Statement, Typ.STATEMENT, token, site_key)


@dataclass(frozen=True, slots=True)
class Credential:
    """A signed-in rep's console: worth something only with a proof of ``key``. ``exp`` is in seconds since 1970.

    ``web`` names the web session of a browser's console ("" for a terminal's, or by an older release); it lets nobody
    in. ``since`` (milliseconds since 1970, 0 for always) is since when the account counted consoles as signed in, as it
    was read together with the password: no clock says whether an end of all sign-ins came before or after. An older
    release leaves it out.
    """

    rep: Id
    name: Name
    key: Key
    exp: _Seconds
    web: Annotated[str, Size(0, 128)] = ""
    since: _Milliseconds | None = None

    @property
    def signed_in_since(self) -> datetime:
        """``since`` as a time; of an older release's credential, when it was made, to the second."""
        if self.since is not None:
            return from_milliseconds(self.since)
        return datetime.fromtimestamp(self.exp, UTC) - CREDENTIAL_LIFE

    def sign(self, key: SigningKey) -> str:
        """The token that the console shows in its hello."""
        return sign(Typ.CREDENTIAL, wire_fields.write(self), key)


def make_credential(
    rep: str,
    name: str,
    console_key: bytes,
    now: datetime,
    site: SigningKey,
    since: datetime | None = None,
    web: str = "",
) -> str:
    """A credential for a rep who has just signed in, good for ``CREDENTIAL_LIFE``.

    ``since`` is what the account said together with the password, None if nobody ever signed it out.
    """
    counted = milliseconds(since or EPOCH)
    return Credential(rep, name, console_key, seconds(now + CREDENTIAL_LIFE), web, counted).sign(site)


def read_credential(token: str, site_key: bytes, now: datetime) -> Credential:
    """A verified credential that has not expired. Raises NotProven."""
    credential = claims_of(Credential, Typ.CREDENTIAL, token, site_key)
    if now.timestamp() >= credential.exp:
        raise NotProven("The sign-in has expired; sign in again.")
    return credential
