"""How a computer becomes a Jump Client, and the update question that is FROZEN from the first version.

- The installer's token is one line to paste: ``stf1.`` and base64url of JSON. It carries a secret, the site's public
  identity key and addresses: with it alone a client knows the site and is known to it.
- The secret is sent only to a TLS peer whose leaf certificate a verified statement names.
- Frozen: ``UpdateQuestion`` and ``UpdateAnswer`` of format 1 never lose, rename or re-type a field, so that a client
  of any age can ask and follow (U12, C6). New fields may be added; readers ignore what they do not know.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from staffetta.wire import fields as wire_fields
from staffetta.wire import frames
from staffetta.wire.errors import FrameError, Problem
from staffetta.wire.fields import Address, Details, Id, Key, Name, Proof, Range, Sentence, Size, Token
from staffetta.wire.identity import Purpose, SigningKey, check_proof
from staffetta.wire.vocabulary import ClientMode

LINE_PREFIX: Final = "stf1."
MAX_TOKEN_TEXT: Final = 16_384

_Format1 = Annotated[int, Range(1, 1)]


@dataclass(frozen=True, slots=True)
class InstallerToken:
    """What an installer knows. ``statement`` is the signed statement at the time it was made, if any."""

    secret: Annotated[bytes, Size(16, 64)]
    site_key: Key
    addresses: Annotated[tuple[Address, ...], Size(1, 32)]
    statement: Token | None = None

    def text(self) -> str:
        """The single line that is pasted."""
        body = json.dumps(wire_fields.write(self), separators=(",", ":"), sort_keys=True)
        return LINE_PREFIX + wire_fields.to_base64url(body.encode("utf-8"))


def parse_installer_token(text: str) -> InstallerToken:
    """The token in a pasted line; white space around and inside it (a mail's line breaks) is forgiven.

    Raises FrameError (bad-message) for anything else.
    """
    line = "".join(text.split())
    if len(line) > MAX_TOKEN_TEXT or not line.startswith(LINE_PREFIX):
        raise FrameError(Problem.BAD_MESSAGE, f"an installer token starts with {LINE_PREFIX!r}: copy the whole line")
    try:
        body = wire_fields.from_base64url(line.removeprefix(LINE_PREFIX))
    except ValueError:
        raise FrameError(Problem.BAD_MESSAGE, "the installer token is cut or changed: copy the whole line") from None
    return wire_fields.read(InstallerToken, frames.read_object(body))


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """POST /client/enrol: a computer with an installer token asks to become a Jump Client with this key.

    ``mode`` is None where the token decides.
    """

    token: Annotated[str, Size(1, MAX_TOKEN_TEXT)]
    public_key: Key
    name: Name
    proof: Proof
    version: Name
    platform: Details = field(default_factory=dict)
    format: _Format1 = 1
    mode: ClientMode | None = None

    def check(self, certificate: bytes) -> None:
        """Raise NotProven unless the asker holds the key and meant this TLS peer (leaf SHA-256)."""
        subject = _enrol_subject(self.token, self.name)
        check_proof(self.public_key, self.proof, Purpose.ENROL, _NO_NONCE, certificate, subject)


@dataclass(frozen=True, slots=True)
class EnrolAnswer:
    """The new client's id and name, the site's newest statement, and the mode to be in (an older site says none)."""

    client: Id
    name: Name
    statement: Token
    format: _Format1 = 1
    mode: ClientMode = ClientMode.ACTIVE


_NO_NONCE: Final = bytes(32)


def make_enrol_request(
    token: str,
    key: SigningKey,
    certificate: bytes,
    name: str,
    version: str,
    platform: dict[str, str],
    mode: ClientMode | None = None,
) -> EnrolRequest:
    """The request for a fresh key. There is no nonce: the token's own uses are counted, a replay gains only its key."""
    proof = key.prove(Purpose.ENROL, _NO_NONCE, certificate, _enrol_subject(token, name))
    return EnrolRequest(token, key.public, name, proof, version, platform, mode=mode)


def _enrol_subject(token: str, name: str) -> bytes:
    return token.encode("utf-8") + b"\0" + name.encode("utf-8")


class UpdateAction(StrEnum):
    """What a client is to do: nothing, or fetch the bundle and become ``version``."""

    STAY = "stay"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class UpdateQuestion:
    """POST /client/update, format 1, frozen: which version should I be? Needs no login.

    ``client`` is the client's id or "" when it has none; ``kind`` its role ("jump-client", "console"). ``failed``
    (added later) is a version that it went back from and does not want for now, or "".
    """

    client: Annotated[str, Size(0, 128)]
    kind: Name
    version: Name
    platform: Name
    format: _Format1 = 1
    failed: Annotated[str, Size(0, 256)] = ""


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """Format 1, frozen. ``bundle`` is the path on the same site to fetch, with its size in bytes and SHA-256 (hex).

    The hash is for resuming the download; whether the bundle may run is decided by the vendor's signature alone.
    ``retry_seconds`` says when to ask again at the latest; ``reason`` is a sentence for a person.
    """

    version: Name
    action: UpdateAction
    bundle: Annotated[str, Size(0, 1024)] = ""
    size: Annotated[int, Range(0, 2**53)] = 0
    sha256: Annotated[str, Size(0, 64)] = ""
    retry_seconds: Annotated[int, Range(1, 86_400)] = 3600
    reason: Sentence = ""
    format: _Format1 = 1


HttpMessage = EnrolRequest | EnrolAnswer | UpdateQuestion | UpdateAnswer
_H = TypeVar("_H")


def to_body(message: HttpMessage) -> bytes:
    """The JSON body of an HTTP request or answer."""
    fields = wire_fields.write(message)
    if isinstance(message, UpdateQuestion) and not message.failed:
        del fields["failed"]  # the question as the first version asked it
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode("utf-8")


def from_body(cls: type[_H], body: bytes) -> _H:
    """The message in an HTTP body of at most 64 KiB. Raises FrameError."""
    if len(body) > 65_536:
        raise FrameError(Problem.OVERSIZED, "the body is longer than 64 KiB")
    return wire_fields.read(cls, frames.read_object(body))
