"""An administrator at `/appliance`: the first sign-in, updates watched to their end, certificates."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import expect

from browser.conftest import PHONE, People, Window
from staffetta.lab.appliance import APPLIANCE_PORT, FIRST_PASSWORD, SITE_PORT, Appliance
from staffetta.lab.publisher import NEW, target
from staffetta.lab.single import Single
from staffetta.lab.world import wait_until

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(900)]

INSTALL_SECONDS = 180
PAGES = ("", "networking", "updates", "pair", "security/certificates", "change-password")


@pytest.mark.req("H3", "S5")
def test_the_first_sign_in_of_a_new_appliance(people: People, beta: Appliance) -> None:
    window = people.arrive(beta.appliance_url)
    window.sign_in("/appliance/", "admin", "not the password")
    window.page.get_by_text("The user name or the password is wrong.").wait_for()

    window.sign_in("/appliance/", "admin", FIRST_PASSWORD)
    window.page.get_by_role("heading", name="Change your password").wait_for()
    for path in PAGES[:-1]:
        window.open(f"/appliance/{path}")
        window.page.get_by_role("heading", name="Change your password").wait_for()
    window.change_first_password(FIRST_PASSWORD, FIRST_PASSWORD)
    window.page.get_by_role("alert").first.wait_for()  # the same one again will not do
    window.change_first_password(FIRST_PASSWORD, beta.password)

    window.page.get_by_role("heading", name="Basics").wait_for()
    window.page.wait_for_load_state()
    assert "Your password is changed." in window.words
    assert "beta" in window.words
    assert "not installed yet" in window.words

    window.sign_out()
    window.sign_in("/appliance/", "admin", FIRST_PASSWORD)
    window.page.get_by_text("The user name or the password is wrong.").wait_for()
    window.open("/appliance/updates")
    window.page.get_by_role("heading", name="Sign in").wait_for()


@pytest.mark.req("S12")
def test_who_tries_passwords_is_told_to_wait(people: People, beta: Appliance) -> None:
    window = people.arrive(beta.appliance_url)
    with window.refusal(429):
        for _ in range(5):
            window.sign_in("/appliance/", "mallory", "a guess")
            window.page.get_by_role("alert").wait_for()
    told = window.page.get_by_role("alert").inner_text()
    assert told.startswith("Too many attempts with this user name from your address. Try again in 5 min, at ")


@pytest.mark.req("S5", "U6")
def test_every_page_is_sound_in_light_and_dark_on_desk_and_phone(people: People, alpha: Single) -> None:
    for scheme, viewport in (("light", None), ("dark", None), ("light", PHONE), ("dark", PHONE)):
        options = {"color_scheme": scheme} | ({"viewport": viewport} if viewport else {})
        window = people.arrive(alpha.appliance.appliance_url, **options)
        window.open("/appliance/")
        window.assert_sound()
        window.sign_in("/appliance/", "admin", alpha.appliance.password)
        window.page.get_by_role("heading", name="Basics").wait_for()
        for path in PAGES:
            window.open(f"/appliance/{path}")
            window.page.get_by_role("heading", level=1).wait_for()
            window.assert_sound()
            assert window.page.locator("html").get_attribute("data-bs-theme") == scheme
        before = datetime.now(UTC)
        window.open("/appliance/")
        assert alpha.appliance.name in window.words
        assert any(f"{day:%Y-%m-%d}" in window.words for day in (before, datetime.now(UTC)))
        window.page.context.close()


@pytest.mark.req("U4", "U18")
def test_a_file_that_is_no_bundle_is_refused_with_its_reason(administrator: Window, tmp_path: Path) -> None:
    other = tmp_path / "holiday.bundle"
    other.write_bytes(b"a picture of the sea " * 5000)
    administrator.go("Updates")
    history = administrator.page.get_by_role("region", name="History").get_by_role("row")
    before = history.count()
    administrator.page.get_by_label("File").set_input_files(other)
    administrator.page.get_by_role("button", name="Update software").click()
    alert = administrator.page.get_by_role("alert")
    alert.wait_for()
    assert "bundle" in alert.inner_text(), alert.inner_text()
    expect(history, "nothing was begun").to_have_count(before)


@pytest.mark.req("U4", "U10", "U18")
def test_a_damaged_file_changes_nothing_and_says_why(administrator: Window, alpha: Single, damaged: Path) -> None:
    page = administrator.page
    before = alpha.appliance.active("base")
    administrator.go("Updates")
    page.get_by_label("File").set_input_files(damaged)
    page.get_by_role("button", name="Update software").click()
    page.get_by_role("heading", name="Undone").wait_for(timeout=INSTALL_SECONDS * 1000)
    assert "it was damaged on the way, or changed" in administrator.words
    assert "Everything is as it was before." in administrator.words
    page.get_by_role("link", name="To the updates").click()
    last = page.get_by_role("region", name="History").get_by_role("row").nth(1)
    assert "undone" in last.inner_text()
    assert alpha.appliance.active("base") == before


@pytest.mark.req("U2", "U3", "U8", "U9", "U15")
def test_base_and_then_the_site_are_installed_and_watched_to_the_end(administrator: Window, alpha: Single) -> None:
    page = administrator.page
    administrator.go("Updates")
    page.get_by_role("button", name="Check for updates").click()
    page.get_by_text("Packages available").wait_for()
    page.get_by_text("accepted by admin").wait_for()

    site = page.locator(f'[data-target="{target("site", NEW)}"]')
    assert f"base {NEW}" in site.inner_text(), "what it needs is named beside it"
    assert site.get_by_role("button", name="Install this update").is_disabled()
    for kind in ("base", "site"):
        offer = page.locator(f'[data-target="{target(kind, NEW)}"]')
        offer.get_by_role("button", name="Install this update").click()
        assert _watch_to_the_end(administrator) == f"{kind.capitalize()} {NEW} is installed."
        page.get_by_role("link", name="To the updates").click()
        page.get_by_role("heading", name="Available updates").wait_for()
        assert not page.locator(f'[data-target="{target(kind, NEW)}"] button').count()
        history = page.get_by_role("region", name="History").get_by_role("row").nth(1)
        assert f"{kind} {NEW}" in history.inner_text()
        assert "installed" in history.inner_text()
    administrator.go("Basics")
    page.get_by_text(f"Appliance {NEW}").wait_for()
    assert administrator.words.count(NEW) >= 4


def _watch_to_the_end(window: Window) -> str:
    """Follow the open job's page without touching it; return its last sentence."""
    page = window.page
    page.wait_for_url("**/updates/jobs/**")
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    page.locator('[data-step="verify"]').wait_for()
    page.locator('[data-step="prove"]').wait_for(timeout=INSTALL_SECONDS * 1000)
    page.get_by_role("heading", name="Installed").wait_for(timeout=INSTALL_SECONDS * 1000)
    assert loads == [], "the page was loaded anew while it was watched"
    expect(page.locator('[data-live-state="ended"]')).to_have_count(1)
    for step in page.locator("[data-step]").all():
        assert step.get_attribute("data-state") == "done", step.inner_text()
    assert page.locator("[data-live-lost]").is_hidden()
    return page.locator(".alert-success > div").inner_text()


@pytest.mark.req("H1")
@pytest.mark.parametrize(("door", "port"), [("appliance", APPLIANCE_PORT), ("site", SITE_PORT)])
def test_a_certificate_of_ones_own_is_shown_from_then_on(
    administrator: Window, alpha: Single, tmp_path: Path, door: str, port: int
) -> None:
    appliance = alpha.appliance
    before = {program: set(appliance.processes(program)) for program in ("base", "site")}
    pem, fingerprint = _own_certificate(appliance.address)
    file = tmp_path / "own.pem"
    file.write_bytes(pem)
    page = administrator.page
    administrator.go("Certificates")
    page.get_by_label("For").select_option(door)
    page.get_by_label("Certificate and chain").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    page.get_by_text("is in use.").wait_for()
    assert fingerprint in administrator.words
    wait_until("the new certificate to be shown", lambda: _shown(appliance.address, port) == fingerprint, 60)
    for program, seen in before.items():
        # A generation that was still leaving, from the update above, may have left meanwhile.
        assert set(appliance.processes(program)) <= seen, f"nothing of {program} restarts"

    appliance.see_certificate(APPLIANCE_PORT, appliance.appliance_certificate)
    appliance.see_certificate(SITE_PORT, appliance.site_certificate)
    administrator.go("Basics")
    for computer in alpha.computers:
        wait_until(f"{computer.name} online", lambda name=computer.name: alpha.technician.sees_online(name), 60)


def _own_certificate(address: str) -> tuple[bytes, str]:
    """A key and a certificate for an address, as PEM, and the certificate's SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "support.example.org")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    return pem, certificate.fingerprint(hashes.SHA256()).hex()


def _shown(address: str, port: int) -> str:
    """The SHA-256 of the certificate that a new connection is shown."""
    pem = ssl.get_server_certificate((address, port), timeout=5)
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()


@pytest.mark.req("S12")
def test_after_signing_out_nothing_is_left_to_see(administrator: Window) -> None:
    administrator.go("Updates")
    administrator.sign_out()
    administrator.page.go_back()
    administrator.page.get_by_role("heading", name="Sign in").wait_for()
    for path in PAGES:
        administrator.open(f"/appliance/{path}")
        administrator.page.get_by_role("heading", name="Sign in").wait_for()
