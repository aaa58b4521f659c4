"""The certificate a door shows: loaded from one PEM file, swapped for new connections when the file changes.

The file holds the private key and the chain, leaf first. A file that cannot be loaded never replaces one that could.
"""

import ipaddress
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Damaged, InvalidInput
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

CHECK_SECONDS: Final = 2.0
"""A changed file is noticed at the latest this long after the change, at the next connection."""

_CLOCK_TOLERANCE: Final = timedelta(hours=1)


class UnusableCertificate(Damaged):
    """The PEM file is missing, has no key that fits its leaf, or is not PEM."""

    code = "unusable-certificate"


@dataclass(frozen=True, slots=True)
class _Loaded:
    context: ssl.SSLContext
    sha256: str
    self_signed: bool
    state: tuple[int, int, int]


class CertificateStore:
    """One certificate with its key, read from ``path`` and read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded = _load(path)
        self._checked = time.monotonic()

    def context(self) -> ssl.SSLContext:
        """Return the server context for the next connection (TLS 1.2 or newer)."""
        return self._current().context

    def shown(self) -> tuple[ssl.SSLContext, str]:
        """Return the context for the next connection and the ``sha256`` of the certificate in it."""
        loaded = self._current()
        return loaded.context, loaded.sha256

    def sha256(self) -> str:
        """Return the SHA-256 of the leaf certificate's DER bytes as lower-case hex."""
        return self._current().sha256

    def self_signed(self) -> bool:
        """Say whether the leaf is its own issuer, so that no browser will trust it by itself."""
        return self._current().self_signed

    def reload(self) -> bool:
        """Read the file again if it changed; say whether another certificate is shown from now on.

        A file that cannot be used is logged and the former certificate stays.
        """
        self._checked = time.monotonic()
        try:
            if _state_of(self._path) == self._loaded.state:
                return False
            loaded = _load(self._path)
        except UnusableCertificate as error:
            _log.error("the new certificate cannot be used, the former stays: %s", error.message)
            return False
        changed = loaded.sha256 != self._loaded.sha256
        self._loaded = loaded
        if changed:
            _log.info("certificate swapped", extra={"sha256": loaded.sha256})
        return changed

    def _current(self) -> _Loaded:
        if time.monotonic() - self._checked >= CHECK_SECONDS:
            self.reload()
        return self._loaded


def make_self_signed(names: Sequence[str], addresses: Sequence[str], days: int) -> bytes:
    """Return PEM bytes, key first, of a new self-signed certificate for DNS ``names`` and IP ``addresses``.

    Raises ``InvalidInput`` when there is neither, or an address is none.
    """
    if not names and not addresses:
        raise InvalidInput("A certificate needs at least one name or address.")
    try:
        ips = [ipaddress.ip_address(address) for address in addresses]
    except ValueError as error:
        raise InvalidInput(f"{error}; a certificate's addresses are IP addresses.") from None
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, [*names, *addresses][0][:64])])
    now = utc_now()
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    alternatives: list[x509.GeneralName] = [*map(x509.DNSName, names), *map(x509.IPAddress, ips)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _state_of(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UnusableCertificate(f"{path} cannot be read ({error.strerror}).") from None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _load(path: Path) -> _Loaded:
    """Load key and chain; the file is written by rename, so a changed state means: read once more."""
    for _ in range(3):
        state = _state_of(path)
        try:
            pem = path.read_bytes()
            leaf = x509.load_pem_x509_certificates(pem)[0]
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
            context.set_alpn_protocols(["http/1.1"])
            context.load_cert_chain(path)
        except (OSError, ValueError) as error:
            raise UnusableCertificate(
                f"{path} is no certificate with its key ({error}); give one PEM file with key and chain."
            ) from None
        if _state_of(path) == state:
            digest = leaf.fingerprint(hashes.SHA256()).hex()
            return _Loaded(context, digest, leaf.issuer == leaf.subject, state)
    raise UnusableCertificate(f"{path} changes while it is read; write it beside and rename it.")
