"""Every page of the site in a real Chromium: it fits its window, nothing is cut off unseen, axe finds nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_site import PASSWORD
from running_site import RunningSite, running_site

from browser import conftest as windows
from browser.conftest import PHONE, WIDE, People

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(600)]
chromium, people = windows.chromium, windows.people
PAGES = (
    "status/information", "my-account", "jump-clients", "jump-clients/installers", "users", "users/new",
    "reports/sessions", "reports/sessions?since=yesterday", "reports/sessions?rep=nobody", "files",
    "management/security", "management/failover", "audit-log", "change-password",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(migrated, tmp_path_factory.mktemp("sound") / "site") as made:
        yield made


@pytest.mark.req("S5")
@pytest.mark.parametrize(("scheme", "viewport"), [("light", WIDE), ("dark", PHONE)])
def test_every_page_is_sound(people: People, site: RunningSite, scheme: str, viewport: dict[str, int]) -> None:
    window = people.arrive(site.url, color_scheme=scheme, viewport=viewport)
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Information").wait_for()
    for path in (*PAGES, *(f"reports/sessions/{site.sessions[name]}" for name in ("gap", "files", "running", "young"))):
        window.open(f"/login/{path}")
        window.page.get_by_role("heading", level=1).wait_for()
        window.assert_sound()


@pytest.mark.req("S5")
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["desk", "phone"])
def test_every_page_is_sound_in_italian(people: People, site: RunningSite, viewport: dict[str, int]) -> None:
    window = people.arrive(site.url, locale="it-IT", viewport=viewport)
    window.open("/login")
    window.assert_sound()
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Informazioni").wait_for()
    for path in (*PAGES, *(f"reports/sessions/{site.sessions[name]}" for name in ("gap", "files", "running", "young"))):
        window.open(f"/login/{path}")
        window.page.get_by_role("heading", level=1).wait_for()
        assert window.page.locator("html").get_attribute("lang") == "it"
        window.assert_sound()
    window.open(f"/login/reports/sessions/{site.sessions['gap']}")
    window.page.locator("main time[data-turned]").first.wait_for()
    assert re.match(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d \w+", window.page.locator("main time").first.inner_text())
    window.page.get_by_text("parti di ciò che il computer ha mostrato").first.wait_for()


@pytest.mark.req("S2")
def test_times_are_in_the_readers_zone_which_is_named(people: People, site: RunningSite) -> None:
    window = people.arrive(site.url, timezone_id="Asia/Tokyo", locale="en-US")
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Information").wait_for()
    window.open(f"/login/reports/sessions/{site.sessions['gap']}")
    shown = window.page.locator("main time").first
    window.page.locator("main time[data-turned]").first.wait_for()
    local, server = shown.inner_text(), shown.get_attribute("title")
    assert local.endswith(" GMT+9") and server is not None and server.endswith(" UTC")
    assert window.page.evaluate(
        "([local, server]) => Date.parse(local.replace(' GMT+9', '+09:00').replace(' ', 'T'))"
        " === Date.parse(server.replace(' UTC', 'Z').replace(' ', 'T'))",
        [local, server],
    )
