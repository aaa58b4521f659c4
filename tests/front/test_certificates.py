"""A certificate is swapped with no restart; a broken file never replaces a good one."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509

from front.conftest import OpenDoor
from front.plain_client import untrusting
from staffetta.front.certificates import CertificateStore, UnusableCertificate, make_self_signed
from staffetta.kernel.errors import InvalidInput
from staffetta.kernel.files import write_atomically


async def shown(port: int) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=untrusting())
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(der).hexdigest()


def test_a_self_signed_certificate_names_what_it_is_for() -> None:
    pem = make_self_signed(["support.example.com"], ["127.0.10.1", "::1"], 30)
    leaf = x509.load_pem_x509_certificates(pem)[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["support.example.com"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.10.1", "::1"]


@pytest.mark.parametrize(("names", "addresses"), [([], []), ([], ["not an address"])])
def test_a_certificate_for_nothing_is_refused(names: list[str], addresses: list[str]) -> None:
    with pytest.raises(InvalidInput):
        make_self_signed(names, addresses, 30)


@pytest.mark.req("H1")
async def test_a_new_file_is_shown_to_new_connections(open_door: OpenDoor, pem: Path) -> None:
    door, port = await open_door(web.Application())
    before = await shown(port)
    assert before == door.certificates.sha256()
    write_atomically(pem, make_self_signed(["other.example.com"], [], 10))
    assert door.certificates.reload()
    after = await shown(port)
    assert after == door.certificates.sha256() != before


async def test_a_broken_file_changes_nothing(open_door: OpenDoor, pem: Path) -> None:
    door, port = await open_door(web.Application())
    before = door.certificates.sha256()
    write_atomically(pem, b"-----BEGIN CERTIFICATE-----\nnothing\n")
    assert not door.certificates.reload()
    assert await shown(port) == before


def test_a_key_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.pem"
    key = make_self_signed(["a"], [], 1).partition(b"-----BEGIN CERTIFICATE-----")[0]
    chain = make_self_signed(["b"], [], 1).partition(b"-----BEGIN CERTIFICATE-----")
    mixed.write_bytes(key + chain[1] + chain[2])
    with pytest.raises(UnusableCertificate, match=r"mixed\.pem"):
        CertificateStore(mixed)
    with pytest.raises(UnusableCertificate):
        CertificateStore(tmp_path / "missing.pem")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_protocol_versions_are_refused(open_door: OpenDoor) -> None:
    _, port = await open_door(web.Application())
    old = untrusting()
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=old)
