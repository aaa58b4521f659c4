"""People in a real Chromium: windows that note everything a browser complains of, and must end with no complaint."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

from staffetta.lab.appliance import Appliance, install_base
from staffetta.lab.publisher import NEW
from staffetta.lab.single import Single
from staffetta.lab.window import change_password, open_browser, sign_in

WIDE = {"width": 1280, "height": 900}
TABLET = {"width": 820, "height": 1180}
PHONE = {"width": 390, "height": 844}
PATIENCE_SECONDS = 60
"""For one page or element; what takes longer by nature says so itself."""

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CUT_OFF = """() => [...document.querySelectorAll("main table")].filter((table) => {
  const place = table.parentElement;
  const style = getComputedStyle(place);
  const scrolls = style.overflowX === "auto" && place.tabIndex === 0 && style.backgroundImage !== "none";
  return place.scrollWidth > place.clientWidth + 1 && !scrolls;
}).map((table) => table.innerText.slice(0, 80))"""
"""A table that is too wide must be in a place that scrolls, that the keyboard reaches, and whose edge is shaded."""

SIDEWAYS = """() => [...document.querySelectorAll("main .table-responsive")].filter(
  (place) => place.scrollWidth > place.clientWidth + 1
).map((place) => place.innerText.slice(0, 80))"""

GIVEN_UP = "net::ERR_ABORTED"
"""The page itself dropped the request: a stream that is opened again, a poll that a click overtakes, a download."""


@dataclass
class Window:
    """One person's window at one face, and what the browser complained of: console, scripts, policy, requests."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        # Violations of the content security policy arrive here as errors too.
        if message.type == "error":
            self.complaints.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _failed(self, request: Request) -> None:
        if request.failure != GIVEN_UP:
            self.complaints.append(f"request: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"answer: {response.request.method} {response.url}: {response.status}")

    def open(self, path: str) -> None:
        """Open a page of this face by its address."""
        self.page.goto(f"{self.url}{path}")

    @property
    def path(self) -> str:
        """Where the person is."""
        return urlsplit(self.page.url).path

    @property
    def words(self) -> str:
        """What the page says, without the navigation."""
        return self.page.locator("main").inner_text()

    def sign_in(self, path: str, name: str, password: str) -> None:
        """Fill in the sign-in page and press Enter."""
        sign_in(self.page, f"{self.url}{path}", name, password)

    def change_first_password(self, old: str, new: str) -> None:
        """Answer the page that the first sign-in leads to."""
        self.page.get_by_role("heading", name="Change your password").wait_for()
        change_password(self.page, old, new)

    def sign_out(self) -> None:
        """Press *Sign out* and see the sign-in page."""
        self.page.get_by_role("button", name="Sign out", exact=True).click()
        self.page.get_by_role("heading", name="Sign in").wait_for()

    def go(self, name: str, heading: str | None = None) -> None:
        """Follow a link of the navigation to the page with that heading."""
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
        self.page.get_by_role("heading", name=heading or name, exact=True, level=1).wait_for()
        self.page.wait_for_load_state()

    def pages(self) -> list[str]:
        """The links of the navigation, by name."""
        return self.page.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()

    def hear(self, words: str) -> None:
        """Wait until the browser has complained of something in these words."""
        end = time.monotonic() + 30
        while not any(words in one for one in self.complaints):
            assert time.monotonic() < end, f"nothing was said of {words!r}: {self.complaints}"
            self.page.wait_for_timeout(50)

    @contextlib.contextmanager
    def refusal(self, status: int) -> Iterator[None]:
        """Inside, an answer with this status is what the test wants: it must come, and nothing else may be wrong."""
        before = list(self.complaints)
        yield
        wanted = re.compile(rf"^answer: .*: {status}$|^console: .*status of {status} ")
        found = self.complaints[len(before) :]
        assert any(re.search(rf": {status}$", one) for one in found), f"no answer had the status {status}: {found}"
        self.hear(f"status of {status} ")  # the console may say it after the page is there
        found = self.complaints[len(before) :]
        self.complaints[:] = before + [one for one in found if not wanted.search(one)]

    def narrow(self) -> bool:
        """Whether the page fits its window, with nothing sticking out to the right."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def violations(self) -> list[str]:
        """What axe finds on the page against WCAG 2.2 A and AA: rule, what is wrong, and where."""
        found = Axe().run(self.page, options={"runOnly": WCAG, "resultTypes": ["violations"]}).response["violations"]
        return [
            f"{self.path}: {one['id']}: {node['failureSummary']} at {node['target']}: {node['html'][:200]}"
            for one in found
            for node in one["nodes"]
        ]

    def cut_off(self) -> list[str]:
        """Tables that are wider than their place and do not show it: no bar, no shade says that they scroll."""
        return list(self.page.evaluate(CUT_OFF))

    def sideways(self) -> list[str]:
        """Tables that have to be scrolled to the side to be read whole."""
        return list(self.page.evaluate(SIDEWAYS))

    def assert_sound(self) -> None:
        """The page fits its window, nothing on it is cut off unseen, and axe finds nothing."""
        assert self.narrow(), self.path
        assert self.cut_off() == [], self.path
        found = self.violations()
        assert found == [], "\n".join(found)

    def assert_content(self) -> None:
        """The browser had nothing to complain of."""
        assert self.complaints == [], "\n".join(self.complaints)


@dataclass
class People:
    """Opens a window for each person; at the end of the test no window may have a complaint."""

    browser: Browser
    windows: list[Window] = field(default_factory=list)

    def arrive(self, url: str, **options: Any) -> Window:
        """A person with a browser of their own opens a window at a face."""
        # The browser trusts the face as it is; Playwright's own requests, which go out beside it, have to be told.
        context = self.browser.new_context(ignore_https_errors=True, **{"viewport": WIDE, **options})
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        window = Window(context.new_page(), url)
        self.windows.append(window)
        return window


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        yield browser
        browser.close()


@pytest.fixture
def people(chromium: Browser) -> Iterator[People]:
    """Those who walk in one test."""
    crowd = People(chromium)
    yield crowd
    for window in crowd.windows:
        window.page.context.close()
    for window in crowd.windows:
        window.assert_content()


@pytest.fixture
def administrator(people: People, alpha: Single) -> Window:
    """The administrator of the shared world's appliance, signed in at `/appliance`."""
    window = people.arrive(alpha.appliance.appliance_url)
    window.sign_in("/appliance/", "admin", alpha.appliance.password)
    window.page.get_by_role("heading", name="Basics").wait_for()
    return window


@pytest.fixture
def site_administrator(people: People, alpha: Single) -> Window:
    """The administrator of the shared world's site, signed in at `/login`."""
    window = people.arrive(alpha.appliance.site_url, permissions=["clipboard-read", "clipboard-write"])
    window.sign_in("/login/", "admin", alpha.appliance.site_password)
    window.page.get_by_role("heading", name="Information").wait_for()
    return window


@pytest.fixture(scope="session")
def beta(alpha: Single) -> Appliance:
    """A second appliance of the shared world, just laid out: base alone, nobody has signed in."""
    return install_base(alpha.world, "beta", 2, alpha.published, {})


@pytest.fixture
def damaged(alpha: Single, tmp_path: Path) -> Path:
    """The newer base as the vendor bundles it for appliances without a network, one byte in the middle changed."""
    path = tmp_path / "base-damaged.bundle"
    repository = alpha.published.root.parents[1]
    alpha.world.run("vendor", "bundle", "--repository", str(repository), f"base/{NEW}", "--output", str(path))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return path
