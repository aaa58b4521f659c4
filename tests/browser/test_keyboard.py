"""People without a mouse: everything is reached with Tab and seen to be, and done with Enter and Space."""

import pytest
from playwright.sync_api import Locator, expect

from browser.conftest import People, Window
from staffetta.lab.single import Single
from staffetta.lab.world import wait_until

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.req("S5")]

STOPS = 200
"""No page has more places where Tab stops."""
COMPUTER = "computer-2"

LOOK = """(element) => {
  if (element === document.activeElement) return null;
  const { outlineStyle, outlineWidth, outlineColor, boxShadow } = getComputedStyle(element);
  return { outline: `${outlineStyle} ${outlineWidth} ${outlineColor}`, boxShadow };
}"""
SEEN = """(element, before) => {
  for (const change of element.getAnimations()) change.finish();
  const style = getComputedStyle(element), place = element.getBoundingClientRect();
  const drawn = (color) => !/^transparent$|^rgba\\(.*, ?0\\)$|\\/ ?0%?\\)$/.test(color);
  const outline = `${style.outlineStyle} ${style.outlineWidth} ${style.outlineColor}`;
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 && drawn(style.outlineColor)
    && outline !== before?.outline;
  const colors = style.boxShadow.match(/[a-z]+\\([^)]*\\)/g) ?? [];
  const shadowed = colors.some(drawn) && style.boxShadow !== before?.boxShadow;
  return element.matches(":focus-visible") && (outlined || shadowed) && place.bottom > 0 && place.top < innerHeight;
}"""
"""Whether the focus shows: an outline or a shadow that was not there before, in a colour that can be seen."""
MARK = """() => {
  const element = document.activeElement, last = document.querySelector("[data-stopped=last]");
  if (element === document.body) return true;
  if (element.dataset.stopped && element !== last) return false;
  if (last) last.dataset.stopped = "yes";
  element.dataset.stopped = "last";
  return true;
}"""
"""Notes where Tab has stopped; false where it was before. A date has several stops, and the page's end is none."""
MISSED = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter((element) => element.checkVisibility() && !element.disabled && element.type !== "radio")
  .filter((element) => element.tabIndex >= 0 && !element.dataset.stopped)
  .map((element) => element.outerHTML.slice(0, 120))"""


class Keyboard:
    """Hands that know only keys."""

    def __init__(self, window: Window) -> None:
        self.page = window.page

    def to(self, target: Locator) -> Locator:
        """Press Tab until the target has the focus, which must be seen."""
        expect(target).to_have_count(1)
        before = None
        for _ in range(STOPS):
            before = before or target.evaluate(LOOK)
            self.page.keyboard.press("Tab")
            if target.evaluate("(element) => element === document.activeElement"):
                assert target.evaluate(SEEN, before), f"the focus is not seen at {target}"
                return target
        raise AssertionError(f"Tab never comes to {target}")

    def press(self, target: Locator, key: str = "Enter") -> None:
        """Go to the target and press a key there."""
        self.to(target)
        self.page.keyboard.press(key)

    def fill(self, target: Locator, text: str) -> None:
        """Go to a field and type."""
        self.to(target)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def follow(self, name: str) -> None:
        """Go to a page through the menu."""
        self.press(self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True))
        self.page.get_by_role("heading", level=1).wait_for()

    def sign_in(self, name: str, password: str) -> None:
        """Fill in the sign-in page."""
        self.fill(self.page.get_by_label("User name"), name)
        self.fill(self.page.get_by_label("Password"), password)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("navigation", name="Pages").wait_for()

    def missed(self) -> list[str]:
        """What can be used on the page and is not reached by Tab."""
        for _ in range(STOPS):
            self.page.keyboard.press("Tab")
            if not self.page.evaluate(MARK):
                break
        return list(self.page.evaluate(MISSED))


@pytest.mark.parametrize(
    ("style", "seen"),
    [
        ("outline: 2px solid blue", True),
        ("outline: none; box-shadow: 0 0 0 4px rgb(0 0 255 / 25%)", True),
        ("outline: 2px solid rgb(0 0 0)", True),
        ("outline: none", False),
        ("outline: 2px solid transparent", False),
        ("outline: 2px solid rgb(0 0 255 / 0)", False),
        ("outline: none; box-shadow: 0 0 0 4px rgb(0 0 255 / 0)", False),
    ],
)
def test_these_hands_see_where_the_focus_is(people: People, style: str, seen: bool) -> None:
    window = people.arrive("about:blank")
    page = window.page
    page.set_content(
        "<style>button { box-shadow: 0 1px 2px rgb(0 0 0 / 10%); transition: box-shadow 2s }"
        f"button:focus-visible {{ {style} }}</style><a href='#'>one</a><button>two</button>"
    )
    if seen:
        Keyboard(window).to(page.get_by_role("button"))
    else:
        with pytest.raises(AssertionError, match="not seen"):
            Keyboard(window).to(page.get_by_role("button"))


def test_a_technician_gives_support_without_a_mouse(people: People, alpha: Single) -> None:
    wait_until(f"{COMPUTER} online", lambda: alpha.technician.sees_online(COMPUTER), 60)
    window = people.arrive(alpha.appliance.site_url)
    window.open("/login")
    hands, page = Keyboard(window), window.page
    hands.sign_in("rita", alpha.technician.password)
    hands.follow("Remote computers")
    hands.fill(page.get_by_label("Search"), COMPUTER)
    expect(page.locator("#computers tbody tr")).to_have_count(1)
    hands.press(page.get_by_role("link", name="Start session", exact=True))
    page.locator("#status[data-state=connected]").wait_for()
    page.keyboard.type("echo wo''rks\n")
    rows = page.locator(".xterm-rows")
    wait_until("the answer", lambda: "works" in rows.inner_text(), 60)
    page.keyboard.press("Control+Shift+L")
    hands.press(page.get_by_role("button", name="End session"))
    page.get_by_text("The session has ended: you have ended it").wait_for()
    hands.press(page.get_by_role("link", name="Remote computers", exact=True).last)
    page.get_by_label("Search").wait_for()


def test_an_administrator_makes_an_installer_token_without_a_mouse(people: People, alpha: Single) -> None:
    window = people.arrive(alpha.appliance.site_url)
    window.open("/login")
    hands, page = Keyboard(window), window.page
    hands.sign_in("admin", alpha.appliance.site_password)
    hands.to(page.get_by_role("link", name="Skip to the content"))
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    hands.follow("Jump Clients")
    hands.press(page.locator("summary").filter(has_text="New installer token"))
    hands.press(page.get_by_role("button", name="Make token"), "Space")
    page.locator("#installer-token").wait_for()


def test_everything_on_every_page_is_reached_by_tab(people: People, alpha: Single) -> None:
    missed = {}
    faces = (
        (alpha.appliance.site_url, "/login", alpha.appliance.site_password),
        (alpha.appliance.appliance_url, "/appliance/", alpha.appliance.password),
    )
    for url, first, password in faces:
        window = people.arrive(url)
        window.open(first)
        hands = Keyboard(window)
        missed[f"{first} before sign-in"] = hands.missed()
        window.sign_in(first, "admin", password)
        window.page.get_by_role("navigation", name="Pages").wait_for()
        links = window.page.get_by_role("navigation", name="Pages").get_by_role("link")
        for path in links.evaluate_all("(links) => links.map((link) => link.getAttribute('href'))"):
            window.open(path)
            window.page.get_by_role("heading", level=1).wait_for()
            missed[path] = hands.missed()
    assert {path: found for path, found in missed.items() if found} == {}
