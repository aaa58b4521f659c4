"""Who this appliance is among pairs: its pair key, the pre-shared key, the certificate it shows, its version."""

import secrets
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.db import transaction

from staffetta.front.certificates import UnusableCertificate
from staffetta.site.data import audit
from staffetta.site.data.secrets import Secret
from staffetta.site.failover.models import PairIdentity
from staffetta.wire import pair
from staffetta.wire.identity import KEY_BYTES, SigningKey, certificate_sha256

_CURRENT: Final = "current"


def pair_key() -> SigningKey:
    """Return this appliance's key among pairs; drawn at the first question."""
    return SigningKey(_row().seed.reveal())


def preshared_key_set() -> bool:
    """Say whether the inter-appliance pre-shared key is set."""
    return _row().preshared_key is not None


def preshared_key() -> str | None:
    """Return the pre-shared key in groups, to be shown to who may see it."""
    held = _row().preshared_key
    return None if held is None else pair.readable_key(held.reveal().decode("ascii"))


def key_fingerprint() -> str | None:
    """Return the fingerprint of the pre-shared key, the same on both appliances when their keys are; None without."""
    held = _row().preshared_key
    return None if held is None else pair.key_fingerprint(held.reveal().decode("ascii"))


def set_preshared_key(text: str | None, actor: str) -> str:
    """Set the pre-shared key, or a generated one for None; return it in groups. Raises ``UnusableKey``."""
    letters = pair.normalised_key(text or pair.generate_key(secrets.token_bytes(pair.KEY_ENTROPY)))
    with transaction.atomic():
        row = _row()
        row.preshared_key = Secret(letters.encode("ascii"))
        row.save(update_fields=["preshared_key"])
        audit.note(actor, "failover.key-set", "", {"generated": text is None})
    return pair.readable_key(letters)


def installed_version() -> str:
    """Return the version of the site that is installed here."""
    return str(settings.STAFFETTA_VERSION)


def base_version() -> str:
    """Return the version of base, as the link to its current release says it; empty when it cannot be read."""
    paths = settings.STAFFETTA_PATHS
    try:
        return "" if paths is None else Path(paths.releases("base") / _CURRENT).readlink().name
    except OSError:
        return ""


def shown_leaf() -> tuple[bytes, tuple[str, ...]]:
    """Return the SHA-256 of the leaf certificate that this site shows, and the names in it.

    Raises ``UnusableCertificate`` when there is none that can be read.
    """
    leaf = _shown()
    return certificate_sha256(leaf.public_bytes(Encoding.DER)), _names(leaf)


def shows_another(peer_leaf: str) -> bool:
    """Whether this site shows a self-signed certificate that is not the peer's (SHA-256 in hex).

    Browsers that were told to accept the one then stop at the other. False when there is none that can be read.
    """
    try:
        leaf = _shown()
    except UnusableCertificate:
        return False
    return leaf.issuer == leaf.subject and certificate_sha256(leaf.public_bytes(Encoding.DER)).hex() != peer_leaf


def _shown() -> x509.Certificate:
    path = certificate_path()
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise UnusableCertificate(f"{path} holds no certificate that can be read: {error}.") from None


def certificate_path() -> Path:
    """Return where the site's certificate lies."""
    paths = settings.STAFFETTA_PATHS
    if paths is None:
        return Path(settings.STAFFETTA_SITE_FOLDER) / "site.pem"
    return Path(paths.certificates / "site.pem")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = (str(one) for one in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _row() -> PairIdentity:
    row = PairIdentity.objects.filter(only=True).first()
    if row is None:
        drawn = Secret(secrets.token_bytes(KEY_BYTES))
        row, _ = PairIdentity.objects.get_or_create(only=True, defaults={"seed": drawn})
    return row
