"""What the pages of a pair ask and tell, in a real Chromium, on sites of their own in the state that it takes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_site import PASSWORD, run_site
from playwright.sync_api import Locator, expect
from running_site import RunningSite, running_site

from browser import conftest as windows
from browser.conftest import PHONE, TABLET, WIDE, People, Window
from staffetta.front.certificates import make_self_signed

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(300)]
chromium, people = windows.chromium, windows.people

FAILOVER = "/login/management/failover"
A_BACKUP = """
import django; django.setup()
from datetime import timedelta
from django.utils import timezone
from staffetta.site.data.models import SiteInstance
from staffetta.site.failover.models import Relationship
SiteInstance.objects.update(role="backup")
now = timezone.now()
Relationship.objects.create(
    peer_origin="other", peer_key=b"k" * 32, peer_host="127.0.0.9", peer_port=9, own_host="127.0.0.8",
    own_port=443, peer_leaf="0" * 64, established_at=now, seen_at=now, looked_at=now, peer_role="primary", peer_term=1,
)
"""


@pytest.fixture
def site(migrated: Path, tmp_path: Path) -> Iterator[RunningSite]:
    with running_site(migrated, tmp_path / "site") as made:
        yield made


def arrive(people: People, site: RunningSite, **options: object) -> Window:
    window = people.arrive(site.url, **options)
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Information").wait_for()
    return window


def refused(window: Window, button: Locator, status: int) -> None:
    """Press a button whose answer has this status, and wait until the browser has said so everywhere."""
    with window.refusal(status):
        with window.page.expect_response(lambda answer: answer.status == status):
            button.click()
        window.page.locator("#problem").wait_for()


@pytest.mark.req("F4", "S5")
def test_become_primary_asks_before_it_acts(site: RunningSite, people: People) -> None:
    run_site(site.folder, "-c", A_BACKUP)
    window = arrive(people, site, color_scheme="dark", viewport=PHONE)
    window.open(FAILOVER)
    page = window.page
    do = page.get_by_role("button", name="Become primary", exact=True)
    expect(do).to_be_hidden()
    page.get_by_text("Become primary…").press("Enter")
    expect(do).to_be_visible()
    window.assert_sound()
    refused(window, do, 503)
    assert "Nothing was changed." in page.locator("#problem").inner_text(), "the other does not answer there"
    page.get_by_label("Pull a data-sync").uncheck()
    page.get_by_text("Become primary…").click()
    do.click()
    page.get_by_text("This appliance is the primary now.").wait_for()


@pytest.mark.req("F1", "S5")
def test_what_was_not_looked_at_is_listed_too(site: RunningSite, people: People) -> None:
    (site.folder / "site.pem").write_bytes(make_self_signed(["localhost"], [], 10))
    window = arrive(people, site, color_scheme="dark", viewport=WIDE)
    window.open(FAILOVER)
    page = window.page
    page.locator("[name=backup_host]").fill("192.0.2.11")
    page.locator("[name=reverse_host]").fill("192.0.2.10")
    page.get_by_text("Establish relationship…").click()
    window.assert_sound()
    refused(window, page.get_by_role("button", name="Establish relationship", exact=True), 409)
    assert page.locator("#checks [data-state=failed]").count() == 1
    assert page.locator("#checks").get_by_text("not looked at").count() == 9
    window.assert_sound()


@pytest.mark.req("F1", "S5")
def test_the_fingerprint_stands_beside_a_key_that_is_hidden(site: RunningSite, people: People) -> None:
    window = arrive(people, site)
    window.open("/login/management/security")
    window.page.get_by_role("button", name="Generate a key").click()
    shown = window.page.locator("#key-fingerprint")
    expect(shown).to_have_text(re.compile(r"([0-9a-f]{4} ){3}[0-9a-f]{4}"))
    expect(window.page.locator("#preshared-key")).to_be_hidden()
    window.assert_sound()
    phone = arrive(people, site, color_scheme="dark", viewport=PHONE)
    phone.open("/login/management/security")
    expect(phone.page.locator("#key-fingerprint")).to_have_text(shown.inner_text())
    phone.assert_sound()


@pytest.mark.req("F3", "S5")
def test_the_drawing_of_a_pair_fits_a_tablet_while_the_other_is_silent(site: RunningSite, people: People) -> None:
    silent = A_BACKUP + "Relationship.objects.update(seen_at=now - timedelta(minutes=5))"
    run_site(site.folder, "-c", silent)
    window = people.arrive(site.url, viewport=TABLET, locale="it-IT")  # whose words are the longer ones
    window.sign_in("/login", "admin", PASSWORD)
    window.page.locator("#site-host").wait_for()
    window.open(FAILOVER)
    expect(window.page.locator("[data-answers=no]")).to_be_visible()
    window.assert_sound()
