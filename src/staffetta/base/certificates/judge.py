"""Whether a private key and certificate chain can be used, and what about them deserves a warning (H1). Pure.

Refused is what could not serve at all: no key, a key that does not fit, a chain in no order, an expired leaf.
Warned of is what browsers or clients will mind: names that are not covered, a near expiry, a self-signed leaf.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from staffetta.base.errors import CertificateRefused
from staffetta.control.appliance import Certificate
from staffetta.kernel.clock import spoken_time

SOON: Final = timedelta(days=30)
LEAST_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class Chain:
    """A private key and its certificates, leaf first, each issued by the next."""

    key: PrivateKeyTypes
    certificates: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    def to_pem(self) -> bytes:
        """Key first, then the leaf, then those above it."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.certificates)


def read_chain(pem: str, now: datetime) -> Chain:
    """Parse and check what an administrator brought, in whatever order. Raises CertificateRefused saying what to do."""
    data = pem.encode()
    key = _read_key(data)
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise CertificateRefused(
            "The file holds no certificate that can be read. Give certificate, chain and private key as PEM."
        ) from None
    public = _spki(key.public_key())
    leaves = [each for each in certificates if _spki(each.public_key()) == public]
    if not leaves:
        raise CertificateRefused(
            "The private key belongs to none of the certificates in the file. Give the key of this certificate."
        )
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < LEAST_RSA_BITS:
        raise CertificateRefused(f"The key has {key.key_size} bits; at least {LEAST_RSA_BITS} are needed (RSA).")
    leaf = leaves[0]
    if leaf.not_valid_after_utc <= now:
        raise CertificateRefused(
            f"The certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}. If that is in the future, the "
            "appliance's clock is wrong: see Status > Basics."
        )
    return Chain(key, _ordered(leaf, certificates))


def describe(name: str, certificates: Sequence[x509.Certificate], needed: Sequence[str], now: datetime) -> Certificate:
    """A certificate as it is listed; `needed` are the names and addresses by which its door is asked."""
    leaf = certificates[0]
    sans = _alternatives(leaf)
    return Certificate(
        name=name,
        subject=_called(leaf.subject),
        issuer=_called(leaf.issuer),
        sans=sans,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        warnings=tuple(_warnings(certificates, sans, needed, now)),
        sha256=leaf.fingerprint(hashes.SHA256()).hex(),
    )


def _warnings(
    certificates: Sequence[x509.Certificate], sans: Sequence[str], needed: Sequence[str], now: datetime
) -> list[str]:
    leaf, warnings = certificates[0], []
    if leaf.not_valid_after_utc <= now:
        warnings.append(f"It expired on {leaf.not_valid_after_utc:%Y-%m-%d}: import a new one.")
    elif leaf.not_valid_after_utc - now < SOON:
        days = (leaf.not_valid_after_utc - now).days
        warnings.append(f"It expires in {days} days, on {leaf.not_valid_after_utc:%Y-%m-%d}: have it renewed now.")
    if leaf.not_valid_before_utc > now:
        warnings.append(
            f"It is valid only from {spoken_time(leaf.not_valid_before_utc)} on. If that is past, the appliance's "
            "clock is behind: see Status > Basics."
        )
    missing = [each for each in needed if not _covers(sans, each)]
    if missing:
        warnings.append(
            f"It does not name {', '.join(missing)}: import one that does, or browsers will refuse it there."
        )
    if leaf.issuer == leaf.subject:
        warnings.append("It is self-signed: browsers warn until you import one from an authority they trust.")
    elif len(certificates) == 1:
        warnings.append("It comes without the certificates of its issuer: import it again together with its chain.")
    return warnings


def _read_key(data: bytes) -> PrivateKeyTypes:
    begin = data.find(b"-----BEGIN")
    blocks = []
    while begin >= 0:
        end = data.find(b"-----END", begin)
        stop = data.find(b"-----", end + 8) + 5 if end >= 0 else len(data)
        if b"PRIVATE KEY" in data[begin : data.find(b"\n", begin)]:
            blocks.append(data[begin:stop])
        begin = data.find(b"-----BEGIN", stop)
    if not blocks:
        raise CertificateRefused("The file holds no private key. Give key, certificate and chain together as PEM.")
    if len(blocks) > 1:
        raise CertificateRefused("The file holds more than one private key. Give only the key of this certificate.")
    try:
        key = serialization.load_pem_private_key(blocks[0] + b"\n", None)
    except TypeError:
        raise CertificateRefused(
            "The private key is protected by a passphrase. Take it off first (openssl pkey -in key.pem -out plain.pem)."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateRefused("The private key cannot be read; it is damaged or of an unknown kind.") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise CertificateRefused("The private key is of a kind that TLS servers do not use. RSA or EC will do.")
    return key


def _ordered(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Leaf first, then each one's issuer, for as far as the file goes; what belongs to none is an error."""
    chain = [leaf]
    rest = [each for each in certificates if each != leaf]
    while chain[-1].issuer != chain[-1].subject:
        above = next((each for each in rest if _issued(each, chain[-1])), None)
        if above is None:
            break
        rest.remove(above)
        chain.append(above)
    if rest:
        names = ", ".join(_called(each.subject) for each in rest)
        raise CertificateRefused(
            f"The file holds certificates that are not part of the chain ({names}). Remove them, or add what is "
            "missing between them and the certificate."
        )
    return tuple(chain)


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _spki(key: object) -> bytes:
    encode = getattr(key, "public_bytes")  # noqa: B009 - the union of key types has no common base with it
    return bytes(encode(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def _alternatives(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _covers(sans: Sequence[str], needed: str) -> bool:
    """RFC 9525, 6.3: a wildcard is the whole leftmost label and stands for exactly one."""
    try:
        return str(ipaddress.ip_address(needed)) in sans
    except ValueError:
        wanted = needed.lower().rstrip(".")
    return any(
        name.lower() == wanted or (name.startswith("*.") and wanted.partition(".")[2] == name[2:].lower())
        for name in sans
    )


def _called(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string() or "(no name)"
