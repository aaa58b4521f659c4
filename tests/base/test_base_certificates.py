"""One's own certificate: what is refused, what is warned of, and that it is put in place whole."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from staffetta.base.certificates.judge import describe, read_chain
from staffetta.base.certificates.service import CertificateService
from staffetta.base.errors import CertificateRefused, UnknownName
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.front.certificates import CertificateStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HOST = "support.example.test"


@dataclass
class Issuer:
    """An authority of its own."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str, above: Issuer | None = None) -> Issuer:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, sign(name, key, above or name, above.key if above else key, authority=True))

    def issue(self, *names: str, days: int = 300, start: datetime | None = None) -> tuple[str, str]:
        """Key and leaf as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = sign(names[0], key, self, self.key, names=names, days=days, start=start)
        return pem_of(key), text(leaf)


def sign(
    subject: str,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    issuer: Issuer | str,
    by: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    *,
    names: tuple[str, ...] = (),
    days: int = 3000,
    authority: bool = False,
    start: datetime | None = None,
) -> x509.Certificate:
    begin = start or NOW - timedelta(days=30)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    above = issuer.certificate.subject if isinstance(issuer, Issuer) else name
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    return builder.sign(by, hashes.SHA256())


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> str:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()


def text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def root() -> Issuer:
    return Issuer.make("Root")


@pytest.fixture(scope="module")
def middle(root: Issuer) -> Issuer:
    return Issuer.make("Middle", root)


@pytest.fixture
def service(tmp_path: Path) -> CertificateService:
    paths = AppliancePaths(tmp_path)
    paths.certificates.mkdir()
    description = ApplianceDescription(
        "one", HOST, "https://127.0.0.1:9443", f"https://{HOST}:8443", ("127.0.0.1:8443",), "https://u"
    )
    return CertificateService(paths, description, clock=lambda: NOW)


@pytest.mark.req("H1")
def test_a_chain_in_any_order_is_put_in_order(root: Issuer, middle: Issuer) -> None:
    key, leaf = middle.issue(HOST)
    chain = read_chain(text(root.certificate) + text(middle.certificate) + leaf + key, NOW)
    assert [one.subject.rfc4514_string() for one in chain.certificates] == [f"CN={HOST}", "CN=Middle", "CN=Root"]
    shown = describe("site", chain.certificates, (HOST,), NOW)
    assert shown.issuer == "Middle"
    assert shown.warnings == ()


@pytest.mark.req("H1")
def test_what_could_not_serve_is_refused_with_a_way_out(root: Issuer, middle: Issuer) -> None:
    key, leaf = middle.issue(HOST)
    other, _ = middle.issue(HOST)
    weak = rsa.generate_private_key(65537, 1024)
    weak_leaf = text(sign(HOST, weak, root, root.key, names=(HOST,)))
    expired_key, expired = middle.issue(HOST, days=-1)
    protected = pem_of(ec.generate_private_key(ec.SECP256R1()), b"secret")
    for pem, words in (
        (leaf, "no private key"),
        (key, "no certificate"),
        (other + leaf, "belongs to none"),
        (key + other + leaf, "more than one private key"),
        (protected + leaf, "passphrase"),
        (pem_of(weak) + weak_leaf, "1024 bits"),
        (expired_key + expired, "expired on 2026-11-23"),
        (key + leaf + text(root.certificate), r"not part of the chain \(Root\)"),
        (key[:60] + "x" + key[61:] + leaf, "cannot be read|belongs to none"),
    ):
        with pytest.raises(CertificateRefused, match=words):
            read_chain(pem, NOW)


@pytest.mark.req("H1")
def test_warnings_say_how_to_mend_them(middle: Issuer) -> None:
    key, leaf = middle.issue("other.example.test", days=10)
    warnings = " ".join(describe("site", read_chain(key + leaf, NOW).certificates, (HOST, "192.0.2.1"), NOW).warnings)
    assert "expires in 10 days" in warnings
    assert f"does not name {HOST}, 192.0.2.1" in warnings
    assert "import it again together with its chain" in warnings
    key, leaf = middle.issue("*.example.test", start=NOW + timedelta(days=2))
    warnings = " ".join(describe("site", read_chain(key + leaf, NOW).certificates, (HOST,), NOW).warnings)
    assert "does not name" not in warnings
    assert "clock is behind" in warnings


@pytest.mark.req("H1")
def test_the_first_certificates_serve_and_are_replaced_without_a_restart(
    service: CertificateService, middle: Issuer, tmp_path: Path
) -> None:
    service.ensure()
    assert service.path("appliance").stat().st_mode & 0o777 == 0o600
    assert service.path("site").stat().st_mode & 0o777 == 0o640
    store = CertificateStore(service.path("site"))
    first = store.sha256()
    service.ensure()
    assert CertificateStore(service.path("site")).sha256() == first, "what is there is kept"
    shown = {one.name: one for one in service.shown()}
    assert set(shown["site"].sans) == {HOST, "127.0.0.1"}
    assert any("self-signed" in warning for warning in shown["site"].warnings)
    key, leaf = middle.issue(HOST)
    now_shown = service.replace("site", key + leaf + text(middle.certificate))
    assert store.reload()
    assert store.sha256() == now_shown.sha256
    assert isinstance(store.context(), ssl.SSLContext)
    with pytest.raises(CertificateRefused):
        service.replace("site", leaf)
    assert CertificateStore(service.path("site")).sha256() == now_shown.sha256
    with pytest.raises(UnknownName):
        service.replace("mail", key + leaf)
    assert sorted(path.name for path in (tmp_path / "certificates").iterdir()) == ["appliance.pem", "site.pem"]
