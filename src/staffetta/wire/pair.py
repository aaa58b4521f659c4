"""How the two appliances of a pair know each other: pre-shared key, the messages of establishing, hello, token.

- The pre-shared key proves both sides once, in establishing; from then on each knows the other by its pair key.
- A MAC covers its label and everything said so far, so none is worth anything in another place, direction or attempt.
- Each side names the TLS leaf it sees, so that a machine in the middle, which must show its own, is found out.
- A *token* accompanies every later request: from whom, to whom, through which leaf, for half a minute.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import re
import struct
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from staffetta.kernel.hosts import canonical_host
from staffetta.wire import fields as wire_fields
from staffetta.wire.errors import NotProven, WireError
from staffetta.wire.fields import Counter, Hash, Id, Key, Name, Nonce, Proof, Range, Size
from staffetta.wire.identity import Purpose, SigningKey, check_proof
from staffetta.wire.signed import Typ, claims_of, sign

TOKEN_LIFE: Final = timedelta(seconds=30)
TOKEN_LIFE_LIMIT: Final = timedelta(seconds=60)
KEY_ENTROPY: Final = 20
"""Random bytes in a generated pre-shared key: 160 bits, 32 letters."""

KEY_LETTERS: Final = range(26, 129)
"""How many letters and digits a pre-shared key may have: 26 drawn from 32 are 130 bits."""

_LEAST_DIFFERENT: Final = 8
_GROUP: Final = 4
_CONTEXT: Final = b"staffetta pair establish v1\0"
_KEY_SALT: Final = b"staffetta pair pre-shared key v1"
_FINGERPRINT: Final = b"staffetta pair key fingerprint v1\0"
_FINGERPRINT_DIGITS: Final = 16
_HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")

_Format1 = Annotated[int, Range(1, 1)]
_Milliseconds = Annotated[int, Range(0, 253_402_300_799_000)]


class UnusableKey(WireError):
    """A pre-shared key that is too short, too simple, or not of letters and digits."""

    code = "unusable-key"


class NoEndpoint(WireError):
    """A text that is not a host and a port."""

    code = "no-endpoint"


class ClocksApart(NotProven):
    """A token that is signed, but not for this moment: the clocks disagree, or it is an old one."""

    code = "clocks-apart"


# The pre-shared key


def generate_key(entropy: bytes) -> str:
    """A pre-shared key to read out, type and paste: groups of four letters. ``entropy``: 20 random bytes."""
    if len(entropy) != KEY_ENTROPY:
        raise UnusableKey(f"A key is made of {KEY_ENTROPY} random bytes.")
    return readable_key(base64.b32encode(entropy).decode("ascii").lower())


def normalised_key(text: str) -> str:
    """What counts of a key as it was typed or pasted: no space, no hyphen, no capitals. Raises ``UnusableKey``."""
    letters = "".join(unicodedata.normalize("NFKC", text).casefold().split()).replace("-", "")
    if not re.fullmatch(r"[a-z0-9]*", letters):
        raise UnusableKey("A pre-shared key is made of letters a to z and digits; have one generated.")
    if len(letters) not in KEY_LETTERS or len(set(letters)) < _LEAST_DIFFERENT:
        raise UnusableKey(
            f"A pre-shared key has {KEY_LETTERS.start} to {KEY_LETTERS.stop - 1} letters and digits, at least "
            f"{_LEAST_DIFFERENT} of them different; have one generated."
        )
    return letters


def readable_key(letters: str) -> str:
    """A normalised key in groups of four."""
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


def establish_key(text: str) -> bytes:
    """The key of the MACs, stretched so that a key that a person thought of is not cheap to guess."""
    letters = normalised_key(text).encode("ascii")
    return hashlib.scrypt(letters, salt=_KEY_SALT, n=2**14, r=8, p=1, dklen=32)


def key_fingerprint(text: str) -> str:
    """What two people compare to see that their keys are the same: 16 hexadecimal digits of a SHA-256, in fours.

    It may be read out. A generated key is 160 random bits, which nothing that follows from it helps to guess. One that
    a person thought of may be less, so the SHA-256 is that of the stretched key: a guess costs what it costs against
    the MACs of establishing, and none of those follows from it.
    """
    digits = hashlib.sha256(_FINGERPRINT + establish_key(text)).hexdigest()[:_FINGERPRINT_DIGITS]
    return " ".join(digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP))


# Establishing


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a site's TLS port is: a host name or IP address, in canonical form whoever said it, and the port."""

    host: Annotated[str, Size(1, 255)]
    port: Annotated[int, Range(1, 65535)]

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", canonical_host(self.host))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """As people and addresses of https name it (RFC 3986 §3.2): without the port where that is the usual one."""
        return without_usual_port(str(self))


def without_usual_port(authority: str) -> str:
    """A host with or without its port, as an address of https or a ``Host`` header has it, without the usual port."""
    return authority.removesuffix(":443")


def make_endpoint(host: str, port: int) -> Endpoint:
    """The endpoint in canonical spelling. Raises ``NoEndpoint``."""
    name = host.strip().strip("[]").rstrip(".").lower()
    try:
        name = str(ipaddress.ip_address(name))
    except ValueError:
        if len(name) > 253 or not _HOST_NAME.fullmatch(name):
            raise NoEndpoint(f"'{host[:80]}' is neither a host name nor an IP address.") from None
    if not 1 <= port <= 65535:
        raise NoEndpoint(f"A port is from 1 to 65535, not {port}.")
    return Endpoint(name, port)


def parse_endpoint(text: str, port: int = 443) -> Endpoint:
    """The endpoint in "host", "host:port" or "[address]:port". Raises ``NoEndpoint``."""
    found = re.fullmatch(r"\s*(\[[^\]]*\]|[^:\[\]]+)(?::(\d{1,5}))?\s*", text)
    if found is not None:
        return make_endpoint(found[1], int(found[2]) if found[2] else port)
    return make_endpoint(text, port)


@dataclass(frozen=True, slots=True)
class Side:
    """What one appliance says of itself while establishing. ``at``: its clock, in milliseconds since 1970.

    ``site`` is the site's shared host name, ``term`` its stored role term, ``key`` its public pair key.
    """

    origin: Id
    key: Key
    site: Name
    version: Name
    term: Counter
    at: _Milliseconds


@dataclass(frozen=True, slots=True)
class Begin:
    """POST establish/begin, by the primary-to-be. ``leaf``: SHA-256 of the certificate that it sees."""

    nonce: Nonce
    side: Side
    leaf: Hash
    backup: Endpoint
    reverse: Endpoint
    mac: Hash = bytes(32)
    format: _Format1 = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """The backup-to-be's answer when all its checks hold; ``leaf`` is what it saw at the reverse details."""

    nonce: Nonce
    side: Side
    leaf: Hash
    mac: Hash = bytes(32)
    format: _Format1 = 1


@dataclass(frozen=True, slots=True)
class Finish:
    """POST establish/finish, when all checks of the primary-to-be hold too. ``nonce`` names the answer's attempt."""

    nonce: Nonce
    mac: Hash
    format: _Format1 = 1


@dataclass(frozen=True, slots=True)
class Held:
    """The backup's word that the relationship holds on its side."""

    mac: Hash
    format: _Format1 = 1


def make_begin(key: bytes, nonce: bytes, side: Side, leaf: bytes, backup: Endpoint, reverse: Endpoint) -> Begin:
    """The first message, with its MAC. ``key`` is what ``establish_key`` gave."""
    plain = Begin(nonce, side, leaf, backup, reverse)
    return Begin(nonce, side, leaf, backup, reverse, _mac(key, b"begin", plain))


def check_begin(key: bytes, begin: Begin) -> None:
    """Return if whoever made it has the same pre-shared key; else raise NotProven."""
    plain = Begin(begin.nonce, begin.side, begin.leaf, begin.backup, begin.reverse)
    _check(_mac(key, b"begin", plain), begin.mac)


def make_answer(key: bytes, begin: Begin, nonce: bytes, side: Side, leaf: bytes) -> Answer:
    """The answer to a begin whose MAC held."""
    return Answer(nonce, side, leaf, _mac(key, b"answer", begin, Answer(nonce, side, leaf)))


def check_answer(key: bytes, begin: Begin, answer: Answer) -> None:
    """Return if it answers this very begin, by the same pre-shared key; else raise NotProven."""
    _check(_mac(key, b"answer", begin, Answer(answer.nonce, answer.side, answer.leaf)), answer.mac)


def make_finish(key: bytes, begin: Begin, answer: Answer) -> Finish:
    """The primary-to-be's word that everything holds."""
    return Finish(answer.nonce, _mac(key, b"finish", begin, answer))


def check_finish(key: bytes, begin: Begin, answer: Answer, finish: Finish) -> None:
    """Return if it finishes this very exchange; else raise NotProven."""
    _check(answer.nonce + _mac(key, b"finish", begin, answer), finish.nonce + finish.mac)


def make_held(key: bytes, begin: Begin, answer: Answer) -> Held:
    """The backup's word that it holds."""
    return Held(_mac(key, b"held", begin, answer))


def check_held(key: bytes, begin: Begin, answer: Answer, held: Held) -> None:
    """Return if the relationship of this very exchange holds over there; else raise NotProven."""
    _check(_mac(key, b"held", begin, answer), held.mac)


def established_term(begin: Begin, answer: Answer) -> int:
    """The role term that both start the relationship with: above whatever either has had."""
    return max(begin.side.term, answer.side.term) + 1


def milliseconds(at: datetime) -> int:
    """A time as it travels."""
    return int(at.timestamp() * 1000)


def _mac(key: bytes, label: bytes, *said: object) -> bytes:
    """Everything said so far, each part behind its length, below the label."""
    parts = [_canonical(one) for one in said]
    text = b"".join((_CONTEXT, label, b"\0", *(struct.pack(">I", len(part)) + part for part in parts)))
    return hmac.digest(key, text, "sha256")


def _canonical(value: object) -> bytes:
    return json.dumps(wire_fields.write(value), separators=(",", ":"), sort_keys=True).encode("ascii")


def _check(expected: bytes, given: bytes) -> None:
    if not hmac.compare_digest(expected, given):
        raise NotProven("The two appliances have not proven the same pre-shared key to each other.")


# Afterwards


@dataclass(frozen=True, slots=True)
class Hello:
    """GET hello?nonce=…: who answers here, proven for the nonce and for the leaf of this very connection."""

    origin: Id
    proof: Proof


def make_hello(key: SigningKey, origin: str, nonce: bytes, leaf: bytes) -> Hello:
    """The answer to a nonce on a connection that shows this leaf (SHA-256)."""
    return Hello(origin, key.prove(Purpose.PAIR, nonce, leaf, origin.encode("utf-8")))


def check_hello(hello: Hello, key: bytes, origin: str, nonce: bytes, leaf: bytes) -> None:
    """Return if the appliance ``origin`` with this pair key answers behind the leaf that is seen; else NotProven."""
    if hello.origin != origin:
        raise NotProven("Another appliance answers there.")
    check_proof(key, hello.proof, Purpose.PAIR, nonce, leaf, origin.encode("utf-8"))


@dataclass(frozen=True, slots=True)
class PairToken:
    """The claims of a token: ``origin`` asks ``to`` through the connection with this ``leaf``, until ``exp``."""

    origin: Id
    to: Id
    leaf: Hash
    exp: Annotated[int, Range(0, 253_402_300_799)]


def make_pair_token(origin: str, to: str, leaf: bytes, now: datetime, key: SigningKey) -> str:
    """A token for one request; ``leaf`` is what the asker sees."""
    exp = int((now + TOKEN_LIFE).timestamp())
    return sign(Typ.PAIR, wire_fields.write(PairToken(origin, to, leaf, exp)), key)


def check_pair_token(token: str, key: bytes, origin: str, to: str, leaf: bytes, now: datetime) -> None:
    """Return if ``origin``, known by its pair key, asks ``to`` through the leaf shown, now.

    Raises ``ClocksApart`` when only the time is wrong, else NotProven.
    """
    claims = claims_of(PairToken, Typ.PAIR, token, key)
    if (claims.origin, claims.to) != (origin, to):
        raise NotProven("The token is not of the peer, or not for this appliance.")
    if not hmac.compare_digest(claims.leaf, leaf):
        raise NotProven("The token was made for another certificate than this connection shows.")
    if not now.timestamp() < claims.exp <= (now + TOKEN_LIFE_LIMIT).timestamp():
        raise ClocksApart("The token is not for this moment: set the clocks of both appliances.")
