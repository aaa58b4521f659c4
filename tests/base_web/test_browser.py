"""A real browser at the real door: sign in, change the password, install an update and watch it end."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from staffetta.control.appliance import EventKind, InstallEvent, JobState
from staffetta.control.pairing import SharedState
from staffetta.lab import window as at_window

from .control_server import JOB
from .real_pages import NEW_PASSWORD, RealPages, real_pages, wait_until
from .tls_door import door_before

pytestmark = [pytest.mark.browser, pytest.mark.live]


@dataclass
class Visit:
    """A browser window at the appliance, with everything its console complained of."""

    page: Page
    address: str
    pages: RealPages
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[RealPages, str]]:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"https://127.0.0.1:{listener.getsockname()[1]}"
    with real_pages() as pages, door_before(pages.socket, listener, pages.folder / "door.pem"):
        yield pages, address


@pytest.fixture
def visit(request: pytest.FixtureRequest, served: tuple[RealPages, str]) -> Iterator[Visit]:
    pages, address = served
    pages.control.forget()
    scheme = getattr(request, "param", "light")
    with sync_playwright() as playwright:
        browser = at_window.open_browser(playwright)
        context = browser.new_context(color_scheme=scheme)
        context.set_default_timeout(30_000)
        window = context.new_page()
        visit = Visit(window, address, pages)
        window.on("console", lambda said: visit.complaints.append(said.text) if said.type == "error" else None)
        window.on("pageerror", lambda error: visit.complaints.append(str(error)))
        yield visit
        assert window.locator("html").get_attribute("data-bs-theme") == scheme
        browser.close()
    assert visit.complaints == []


def sign_in(visit: Visit) -> None:
    """Sign in, and change the password when that is asked."""
    page, pages = visit.page, visit.pages
    come_in(page, visit.address, pages)
    page.get_by_role("heading", name="Basics").wait_for()
    page.wait_for_load_state()


def come_in(page: Page, address: str, pages: RealPages) -> None:
    at_window.sign_in(page, f"{address}/appliance/", "admin", pages.password)
    if pages.password != NEW_PASSWORD:
        at_window.change_password(page, pages.password, NEW_PASSWORD)
        pages.password = NEW_PASSWORD


@pytest.mark.req("H3", "U2", "U3", "U8", "U9")
@pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)
def test_from_the_first_sign_in_to_an_installed_update(visit: Visit) -> None:
    sign_in(visit)
    page, control = visit.page, visit.pages.control
    page.get_by_role("link", name="Updates").click()
    accept = page.get_by_role("button", name="Accept")
    expect(accept).to_be_disabled()
    page.get_by_label("I have read the licence agreement and accept it.").check()
    accept.click()
    page.get_by_role("button", name="Check for updates").click()
    targets = page.locator("[data-target]")
    expect(targets).to_have_count(2)
    base, site = targets.all()
    assert site.get_by_role("button", name="Install this update").is_disabled()
    assert "Install base 1.1 first." in site.inner_text()
    assert "3 sessions are live" in page.locator("main").inner_text()
    base.get_by_role("button", name="Install this update").click()

    page.locator("[data-step=verify]").hover()
    page.mouse.down()
    control.tell(control.step(2, "download"))
    page.wait_for_timeout(1000)
    assert page.locator("[data-step=download][data-state=running]").count() == 0, "nothing moves under a finger"
    page.mouse.up()
    page.locator("[data-step=download][data-state=running]").wait_for()
    control.tell(InstallEvent(None, EventKind.PROGRESS, "download", "", 6_000_000, 24_000_000))
    bar = page.get_by_role("progressbar", name="Download")
    bar.wait_for()
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("6000000", "24000000")

    opened = len(control.opened_after)
    control.move()  # base is replaced: the page must open the stream again and go on
    wait_until("the page opens its stream again", lambda: len(control.opened_after) > opened)
    for number, name in enumerate(("stage", "check", "activate"), 3):
        control.tell(control.step(number, name))
    page.locator("[data-step=activate]").wait_for()
    control.end(6, JobState.COMMITTED, "base 1.1 is installed.")
    page.get_by_role("heading", name="Installed").wait_for()
    assert "Base 1.1 is installed." in page.locator("main").inner_text()
    assert page.locator("[data-step=activate]").get_attribute("data-state") == "done"
    expect(page.locator("[data-live]")).to_have_attribute("data-live-state", "ended")


@pytest.mark.req("U2")
def test_the_way_to_the_newest_follows_a_job_and_then_gives_the_buttons_back(visit: Visit) -> None:
    sign_in(visit)
    page, control = visit.page, visit.pages.control
    assert control.eula is not None
    control.eula = replace(control.eula, accepted=True)
    page.get_by_role("link", name="Updates").click()
    page.get_by_role("button", name="Check for updates").click()
    page.locator("[data-target]").first.wait_for()
    control.begin_job("base")
    control.status = replace(control.status, job=JOB)
    page.reload()
    running = page.locator('[data-stop="base 1.1"][data-state=running]')
    assert "Verify signatures" in running.inner_text()
    button = page.locator("[data-target]").first.get_by_role("button", name="Install this update")
    assert button.is_disabled()
    control.tell(control.step(2, "download"))
    running.get_by_text("Download").wait_for()
    control.end(3, JobState.UNDONE, "base 1.1 was not installed.")
    control.status = replace(control.status, job=None)
    page.locator('[data-stop="base 1.1"][data-state=next]').wait_for()
    wait_until("the buttons are there again", button.is_enabled)
    expect(page.locator("#now[hx-get]")).to_have_count(0)


def test_the_page_of_basics_keeps_itself_current(visit: Visit) -> None:
    sign_in(visit)
    control = visit.pages.control
    assert "128" in visit.page.locator("main").inner_text()
    control.status = replace(control.status, clients_online=129)
    visit.page.locator("main").get_by_text("129").wait_for()


@pytest.mark.req("U4", "U9")
def test_the_end_of_a_job_is_followed_by_history_and_upload(visit: Visit) -> None:
    sign_in(visit)
    page, control = visit.page, visit.pages.control
    control.begin_job()
    control.status = replace(control.status, job=JOB)
    page.goto(f"{visit.address}/appliance/updates")
    upload = page.get_by_role("button", name="Update software")
    chosen = page.get_by_label("File")
    chosen.set_input_files({"name": "a.bundle", "mimeType": "application/octet-stream", "buffer": b"x"})
    assert upload.is_disabled()
    control.end(2, JobState.COMMITTED, "The site software 1.1 is installed.")
    control.status = replace(control.status, job=None)
    expect(upload).to_be_enabled()
    expect(page.locator("#history")).to_contain_text("installed")
    assert chosen.evaluate("(field) => field.files[0].name") == "a.bundle", "what was chosen is not lost"


@pytest.mark.req("F9", "H5")
def test_the_shared_address_is_unticked_and_its_state_follows_by_itself(visit: Visit) -> None:
    sign_in(visit)
    page, control = visit.page, visit.pages.control
    page.get_by_role("link", name="IP configuration").click()
    enabled = page.get_by_label("Enabled")
    assert enabled.is_checked()
    enabled.uncheck()
    control.shared = replace(control.shared, state=SharedState.RELEASED)
    page.locator("#shared-now").get_by_text("released").wait_for()
    assert not enabled.is_checked(), "what was not saved yet is not lost"
    page.get_by_role("button", name="Save changes").click()
    page.get_by_text("is disabled on this appliance").wait_for()
    assert not control.shared.enabled


@pytest.mark.req("F7")
def test_a_pair_upgrade_is_permitted_and_withdrawn(visit: Visit) -> None:
    sign_in(visit)
    page, control = visit.page, visit.pages.control
    page.get_by_role("link", name="Pair upgrade").click()
    page.get_by_label("Hours").fill("48")
    page.get_by_role("button", name="Permit a pair upgrade").click()
    page.get_by_role("button", name="Withdraw").wait_for()
    assert control.grant is not None
    assert control.grant.until - control.grant.granted_at == timedelta(hours=48)
    page.get_by_role("button", name="Withdraw").click()
    page.get_by_text("No pair upgrade is permitted on this appliance.").wait_for()
    assert control.grant is None


def test_everything_can_be_reached_by_keyboard(visit: Visit) -> None:
    sign_in(visit)
    page = visit.page
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.textContent || '').trim()"))
    for name in ("Skip to the content", "Basics", "Certificates", "Updates", "Change password", "Sign out"):
        assert name in reached
    page.goto(f"{visit.address}/appliance/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_no_page_is_wider_than_a_phone_and_the_menu_opens(visit: Visit) -> None:
    sign_in(visit)
    page = visit.page
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("", "networking", "updates", "pair", "security/certificates", "change-password"):
        page.goto(f"{visit.address}/appliance/{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    updates = page.get_by_role("link", name="Updates")
    assert not updates.is_visible()
    page.get_by_text("Menu", exact=True).click()
    updates.click()
    page.get_by_role("heading", name="Available updates").wait_for()


@pytest.mark.req("S5", "U3")
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_in_italian_and_the_stream_speaks_it(served: tuple[RealPages, str], width: int) -> None:
    pages, address = served
    pages.control.forget()
    with sync_playwright() as playwright:
        browser = at_window.open_browser(playwright)
        context = browser.new_context(locale="it-IT", viewport={"width": width, "height": 800})
        context.set_default_timeout(30_000)
        page = context.new_page()
        come_in(page, address, pages)
        page.get_by_role("heading", name="Elementi Base").wait_for()
        for path in ("", "networking", "updates", "pair", "security/certificates", "change-password"):
            page.goto(f"{address}/appliance/{path}")
            assert page.locator("html").get_attribute("lang") == "it"
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        pages.control.begin_job()
        page.goto(f"{address}/appliance/updates/jobs/{JOB}")
        page.locator("[data-step=verify]").wait_for()
        pages.control.tell(pages.control.step(2, "reserve", "Checking that the disk has room for it."))
        page.get_by_text("Controllo dello spazio disponibile su disco.").wait_for()
        page.get_by_text("Riserva dello spazio su disco").wait_for()
        pages.control.end(3, JobState.COMMITTED, "site 1.1 is installed.")
        page.get_by_text("Il software del sito 1.1 è installato.").first.wait_for()
        browser.close()
