"""What an appliance asks the update server and what it is answered: both signed, neither ever a dict further in.

The request is signed by the appliance's device key (Ed25519), the statement by a key that the TUF root names. Signed
are the bytes ``<purpose> 0x00 <canonical JSON without "signature">``. The statement repeats the request's nonce, so
its time cannot be an old one played again: it is the trusted time of an appliance whose clock is wrong (U6).
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from staffetta.kernel.clock import format_time
from staffetta.packages.document import Document, canonical_bytes
from staffetta.packages.errors import DocumentInvalid, NotTrusted, RequestInvalid
from staffetta.packages.kinds import parse_version
from staffetta.packages.selection import Installed, InstalledLicence

PRODUCT: Final = "staffetta"
NONCE_BYTES: Final = 32
LARGEST_REQUEST: Final = 65_536
_REQUEST: Final = b"staffetta offers request v1\0"
_STATEMENT: Final = b"staffetta offers statement v1\0"


@dataclass(frozen=True, slots=True)
class OfferRequest:
    """A verified question: which appliance asks (its device and public key), with what installed, and its nonce."""

    product: str
    device: str
    public_key: bytes
    nonce: bytes
    installed: Installed


@dataclass(frozen=True, slots=True)
class OfferStatement:
    """A verified answer: the names of the targets on offer, the server's time, the nonce of the question."""

    targets: tuple[str, ...]
    time: datetime
    nonce: bytes


def device_id(public_key: bytes) -> str:
    """Return the name of a device: the first 32 hex digits of its raw public key's SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def sign_request(key: Ed25519PrivateKey, nonce: bytes, installed: Installed, product: str = PRODUCT) -> bytes:
    """Return the body of ``POST /v1/offers``."""
    public_key = key.public_key().public_bytes_raw()
    fields = {
        "product": product,
        "device": device_id(public_key),
        "public_key": _encode(public_key),
        "nonce": _encode(nonce),
        "installed": {
            "base": str(installed.base),
            "site": None if installed.site is None else str(installed.site),
            "licences": [{"target": one.target, "version": str(one.version)} for one in installed.licences],
        },
    }
    return _signed(key, _REQUEST, fields)


def read_request(body: bytes) -> OfferRequest:
    """Read and verify a request: ``RequestInvalid`` for one that is malformed, ``NotTrusted`` for a bad signature."""
    try:
        document = Document.parse("The request", body)
        public_key = _decode(document, "public_key", 32)
        request = OfferRequest(
            product=document.text("product", 64),
            device=document.text("device", 64),
            public_key=public_key,
            nonce=_decode(document, "nonce", NONCE_BYTES),
            installed=_installed(document.document("installed")),
        )
        payload, signature = _payload(document), _decode(document, "signature", 64)
    except DocumentInvalid as error:
        raise RequestInvalid(error.message) from None
    if request.device != device_id(public_key):
        raise RequestInvalid("The request names a device that its public key does not belong to.")
    if not _verified(public_key, _REQUEST + payload, signature):
        raise NotTrusted("The request is not signed by the device it names.")
    return request


def sign_statement(key: Ed25519PrivateKey, targets: Iterable[str], time: datetime, nonce: bytes) -> bytes:
    """Return the update server's answer."""
    return _signed(key, _STATEMENT, {"targets": sorted(targets), "time": format_time(time), "nonce": _encode(nonce)})


def read_statement(body: bytes, keys: Iterable[bytes], nonce: bytes) -> OfferStatement:
    """Read and verify an answer to a request with this nonce; ``keys`` are the statement keys of the TUF root."""
    document = Document.parse("The update server's answer", body)
    signature = _decode(document, "signature", 64)
    signed = _STATEMENT + _payload(document)
    if not any(_verified(key, signed, signature) for key in keys):
        raise NotTrusted(
            "The update server's answer is not signed by a key this appliance trusts. "
            "Check that the address of the update server is the vendor's."
        )
    statement = OfferStatement(
        targets=document.texts("targets"),
        time=document.time("time"),
        nonce=_decode(document, "nonce", NONCE_BYTES),
    )
    if statement.nonce != nonce:
        raise NotTrusted("The update server's answer belongs to another question: it was played again.")
    return statement


def _installed(document: Document) -> Installed:
    return Installed(
        base=parse_version(document.text("base", 64)),
        site=parse_version(document.text("site", 64)) if document.has("site") else None,
        licences=tuple(
            InstalledLicence(one.text("target", 256), parse_version(one.text("version", 64)))
            for one in document.documents("licences")
        ),
    )


def _signed(key: Ed25519PrivateKey, purpose: bytes, fields: Mapping[str, Any]) -> bytes:
    signature = key.sign(purpose + canonical_bytes(fields))
    return canonical_bytes({**fields, "signature": _encode(signature)})


def _payload(document: Document) -> bytes:
    return canonical_bytes({name: value for name, value in document.fields.items() if name != "signature"})


def _verified(public_key: bytes, signed: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _decode(document: Document, field: str, length: int) -> bytes:
    try:
        data = base64.b64decode(document.text(field, 256), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise document.wrong(field, "base64url") from None
    if len(data) != length:
        raise document.wrong(field, f"{length} bytes in base64url")
    return data
