"""A technician in a browser, a real site, a real Jump Client: sessions outlive generations, reloads and tabs."""

import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from playwright.sync_api import TimeoutError as NeverCame

from browser.conftest import Window
from console.console_site import COMPUTER, PASSWORD, PROMPT, ConsoleSite, wait_until
from staffetta.kernel.clock import spoken_time
from staffetta.lab.window import change_password
from staffetta.wire import frames, messages

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.req("S1", "S5"), pytest.mark.timeout(600)]

LOST = re.compile(r"^console: WebSocket connection to ")
"""What the browser itself writes of a connection that could not be made or broke; only where a test breaks one."""
WORDS = "the quick brown fox jumps over the lazy dog 0123456789 "


@pytest.fixture(scope="module")
def site() -> Iterator[ConsoleSite]:
    with ConsoleSite() as started:
        yield started


@pytest.fixture
def arrive(chromium: Browser, site: ConsoleSite) -> Iterator[Callable[..., Window]]:
    """Someone arrives at the site with a browser of their own, and signs in; in the end nothing was complained of."""
    windows: list[Window] = []
    contexts: list[BrowserContext] = []

    def come(name: str = "rita", context: BrowserContext | None = None, **options: Any) -> Window:
        if context is None:
            # Playwright's own requests go out beside the browser, and have to be told to trust the site.
            usual = {"ignore_https_errors": True, "viewport": {"width": 1280, "height": 900}}
            context = chromium.new_context(**{**usual, **options})
            context.set_default_timeout(30_000)
            context.add_init_script("delete window.showSaveFilePicker")  # a file dialog answers no test
            contexts.append(context)
            window = Window(context.new_page(), site.url)
            window.sign_in("/login", name, PASSWORD)
            window.page.get_by_role("heading", name="Information").wait_for()
        else:
            window = Window(context.new_page(), site.url)
        windows.append(window)
        return window

    yield come
    for context in contexts:
        context.close()
    for window in windows:
        window.assert_content()


def begin(window: Window, what: str = "Start session") -> str:
    """Find the computer in the list and begin; the session's id, once it is connected."""
    window.go("Remote computers")
    row = window.page.get_by_role("row").filter(has_text=COMPUTER)
    row.get_by_role("link", name=what, exact=True).click()
    connected(window.page)
    return window.path.rpartition("/")[2]


def connected(page: Page) -> None:
    try:
        page.locator("#status[data-state=connected]").wait_for()
    except NeverCame as late:
        raise AssertionError(f"{late}; at {page.url} is {page.locator('main').inner_text()!r}") from None


def screen(page: Page) -> str:
    """What the terminal shows, without its colours."""
    return page.locator(".xterm-rows").inner_text().replace("\u00a0", " ")


def shows(page: Page, text: str) -> None:
    try:
        wait_until(f"{text!r} on the screen", lambda: text in screen(page))
    except AssertionError as late:
        raise AssertionError(f"{late}; there is {screen(page)!r}") from None


def finish(window: Window, session: str) -> dict[str, Any]:
    """Press *End session*; what the report says afterwards."""
    window.page.get_by_role("button", name="End session").click()
    window.page.get_by_text("The session has ended: you have ended it").wait_for()
    return report_of(window, session)


def report_of(window: Window, session: str) -> dict[str, Any]:
    def asked() -> dict[str, Any]:
        answer = window.page.request.get(f"{window.url}/login/reports/sessions/{session}.json")
        assert answer.status == 200
        said: dict[str, Any] = answer.json()
        return said

    wait_until("the end in the report", lambda: asked()["ended"])
    return asked()


def recording_of(window: Window, session: str) -> list[list[Any]]:
    """The events of the recording, once it is complete."""
    address = f"{window.url}/login/reports/sessions/{session}/recording.cast"
    wait_until("the recording", lambda: window.page.request.get(address).status == 200)
    return [json.loads(line) for line in window.page.request.get(address).text().splitlines()[1:]]


def away_told(page: Page) -> list[int | None]:
    """How long the console says that it was away, per attach from now on, over reloads too."""
    told: list[int | None] = []

    def sent(message: str | bytes) -> None:
        frame = frames.decode(message) if isinstance(message, bytes) else None
        attach = messages.parse(frame) if isinstance(frame, frames.Control) else None
        if isinstance(attach, messages.Attach):
            told.append(attach.away_ms)

    page.on("websocket", lambda socket: socket.on("framesent", sent))
    return told


def has_moved(page: Page, told: list[int | None]) -> None:
    """Wait until it has attached anew while it still held its place; before, a busy machine may have lost it one."""
    # asking the page something lets its events through
    wait_until("the console at the new generation", lambda: page.evaluate("true") and 0 in told)
    connected(page)


def forgive_lost_connections(window: Window) -> None:
    window.complaints[:] = [one for one in window.complaints if not LOST.match(one)]


@pytest.mark.req("U9", "C1")
def test_typing_goes_on_through_generations_deaths_and_reloads(
    arrive: Callable[..., Window], site: ConsoleSite
) -> None:
    rita = arrive()
    page = rita.page
    told = away_told(page)
    session = begin(rita)
    shows(page, PROMPT.strip())
    page.keyboard.type("stty -echo; echo \xe9ready; cat > typed\n")
    shows(page, "éready")
    chance = random.Random(7)
    typed = ""

    def type_on(length: int = 40) -> None:
        nonlocal typed
        text = "".join(chance.choice(WORDS) for _ in range(length)) + "\n"
        page.keyboard.type(text, delay=2)
        typed += text

    type_on()
    site.start_generation()  # its update: the older one moves the ends and drains
    type_on()
    has_moved(page, told)
    if any(told):  # a machine that stood still for seconds has cost it a connection
        forgive_lost_connections(rita)
    assert rita.complaints == [], "an update is not noticed"
    type_on(20)
    page.reload()
    expect(page.locator("#since time")).to_have_text(re.compile(r"\d{4}-\d\d-\d\d [0-9:]{8} UTC"))
    page.locator(".xterm-helper-textarea").focus()
    type_on()
    connected(page)
    shows(page, "éready")
    page.reload()
    page.reload()
    connected(page)
    type_on()
    site.kill_gateway()
    page.locator("#status[data-state=reconnecting]").wait_for()
    type_on()
    page.locator("#status-words").get_by_text(re.compile(r"what you type is held \(\d+ B\)")).wait_for()
    expect(page.locator("#announced")).to_contain_text("what you type is held")
    site.start_generation()
    connected(page)
    expect(page.locator("#announced")).to_contain_text("Connected again")
    forgive_lost_connections(rita)
    type_on()
    page.keyboard.press("Control+d")
    page.keyboard.type("stty echo; echo do''ne\n")
    shows(page, "done")
    assert (site.home / "typed").read_text() == typed

    account = finish(rita, session)
    assert account["end_reason"] == "left by the rep"
    versions = [one["version"] for one in account["story"] if one["event"] == "attached" and one["end"] == "console"]
    old, new = "1.0.0", "1.1.0"
    kept = versions.count(old)
    assert kept >= 2 and versions[:kept] == [old] * kept and versions[kept : kept + 1] == [new], (
        f"the console is of the new version once its page is loaded again: {versions}"
    )
    assert (account["rep"]["name"], account["recorded"]) == ("rita", True)
    events = recording_of(rita, session)
    sent = "".join(text for _, kind, text in events if kind == "i")
    assert typed.replace("\n", "\r") in sent.replace("\n", "\r"), "the recording has every key once"
    assert "éready" in "".join(text for _, kind, text in events if kind == "o")
    page.get_by_role("link", name="Report of the session").click()
    page.get_by_role("heading", name=f"rita with {COMPUTER}").wait_for()


@pytest.mark.req("S2")
def test_the_console_says_how_long_it_had_no_connection(arrive: Callable[..., Window], site: ConsoleSite) -> None:
    rita = arrive()
    page = rita.page
    told = away_told(page)
    session = begin(rita)
    shows(page, PROMPT.strip())
    site.start_generation()
    has_moved(page, told)
    assert told[0] is None, "first there was no connection before"
    moved = len(told)
    began = time.monotonic()
    page.reload()
    connected(page)
    assert len(told) > moved
    reloaded = len(told)
    killed = time.monotonic()
    site.kill_gateway()
    page.locator("#status[data-state=reconnecting]").wait_for()
    site.start_generation()
    connected(page)
    forgive_lost_connections(rita)
    now = time.monotonic()
    assert len(told) > reloaded
    assert all(one is not None and 0 < one <= (now - began) * 1000 for one in told[moved:reloaded]), told
    assert all(one is not None and 0 < one <= (now - killed) * 1000 for one in told[reloaded:]), told
    finish(rita, session)


def test_the_shells_exit_ends_the_session_with_its_status(arrive: Callable[..., Window]) -> None:
    rita = arrive(color_scheme="dark", timezone_id="Asia/Tokyo")
    session = begin(rita)
    shows(rita.page, PROMPT.strip())
    rita.page.keyboard.type("printf '\\033[38;2;9;200;30mgreen\\033[0m'; exit 3\n")
    rita.page.get_by_text("The session has ended: the shell has left with status 3").wait_for()
    assert "green" in screen(rita.page)
    green = rita.page.locator(".xterm-rows span", has_text=re.compile("^green$")).first
    assert green.evaluate("one => getComputedStyle(one).color") == "rgb(9, 200, 30)"
    report = report_of(rita, session)
    assert report["end_reason"] == "exit"
    opened = datetime.fromisoformat(report["opened"]).astimezone(ZoneInfo("Asia/Tokyo"))
    expect(rita.page.locator("#since time")).to_contain_text(f"{opened:%Y-%m-%d %H:%M}")
    rita.page.reload()
    rita.page.get_by_text("This session ended at").wait_for()


def test_another_tab_takes_the_session_over_and_gives_it_back(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    session = begin(rita)
    shows(rita.page, PROMPT.strip())
    rita.page.keyboard.type("echo one")
    shows(rita.page, "echo one")
    other = arrive(context=rita.page.context)
    other.open(f"/login/console/sessions/{session}")
    connected(other.page)
    rita.page.get_by_text("Another tab of this browser has taken this session over.").wait_for()
    shows(other.page, "echo one")
    other.page.keyboard.type(" and two\n")
    shows(other.page, "\none and two")
    rita.page.get_by_role("button", name="Take it back").click()
    connected(rita.page)
    other.page.get_by_text("Another tab of this browser has taken this session over.").wait_for()
    shows(rita.page, "\none and two")
    rita.page.keyboard.type("echo three\n")
    shows(rita.page, "\nthree")
    rita.open("/login/console")
    rita.page.get_by_role("link", name=f"Back to the session with {COMPUTER}").click()
    connected(rita.page)
    rita.page.keyboard.type("echo four\n")
    shows(rita.page, "\nfour")
    finish(rita, session)


def hold_back(window: Window, session: str) -> None:
    """Be the next to get the session's lock, as a page that a slow browser has not quite left yet."""
    hold = "(name) => void navigator.locks.request(name, () => new Promise((go) => { window.letGo = go; }))"
    window.page.evaluate(hold, f"staffetta-session-{session}")


def reload_behind(page: Page, other: Window, session: str) -> None:
    """Reload a session's page, and see it wait for the lock that another window holds."""
    page.reload()
    waits = "async (name) => (await navigator.locks.query()).pending.some((one) => one.name === name)"
    wait_until("the page waits", lambda: other.page.evaluate(waits, f"staffetta-session-{session}"))


def test_an_impatient_reload_loses_neither_the_session_nor_a_key(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    page = rita.page
    session = begin(rita)
    shows(page, PROMPT.strip())
    page.keyboard.type("seq 4000; stty -echo\n")
    shows(page, "\n4000\n")
    tab = arrive(context=page.context)
    tab.open("/login/console")
    hold_back(tab, session)
    reload_behind(page, tab, session)
    page.reload()
    tab.page.evaluate("window.letGo()")
    expect(page.locator(".xterm-helper-textarea")).to_be_focused()
    page.keyboard.type("echo every''key\n")
    shows(page, "everykey")
    finish(rita, session)


def test_what_a_duplicated_tab_has_kept_is_never_gone_on_from(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    page = rita.page
    session = begin(rita)
    shows(page, PROMPT.strip())
    there = rita.path
    rita.open("/login/console")  # on the way this tab keeps the session
    with page.context.expect_page() as opened:
        page.evaluate("() => void window.open('/login/console')")  # with a copy of what this tab has kept
    other = Window(opened.value, rita.url)
    rita.open(there)
    connected(page)
    page.keyboard.type("echo fur''ther\n")
    shows(page, "further")
    other.open(there)
    connected(other.page)
    other.page.reload()
    connected(other.page)
    other.page.keyboard.type("echo goes'' on\n")
    shows(other.page, "goes on")
    finish(other, session)
    other.assert_content()


def test_signing_out_leaves_nothing_of_a_session_that_is_just_coming_back(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    page = rita.page
    session = begin(rita)
    shows(page, PROMPT.strip())
    tab = arrive(context=page.context)
    tab.open("/login/console")
    hold_back(tab, session)
    reload_behind(page, tab, session)
    kept = "Object.keys(sessionStorage).filter((name) => name.startsWith('staffetta-session'))"
    assert page.evaluate(kept) == [f"staffetta-session-{session}"]
    rita.sign_out()
    assert page.evaluate(kept) == []


def test_a_browser_that_does_not_hold_the_session_says_so(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    session = begin(rita)
    elsewhere = arrive()
    elsewhere.open(f"/login/console/sessions/{session}")
    elsewhere.page.get_by_text("This browser does not hold this session").wait_for()
    connected(rita.page)
    finish(rita, session)


def test_the_list_keeps_itself_current_and_what_is_typed(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    page = rita.page

    def late(route: Route) -> None:
        page.wait_for_timeout(1000)
        route.continue_()

    page.route("**/htmx.min.js*", late)
    page.goto(f"{rita.url}/login/console", wait_until="commit")
    page.locator("#search").fill("nobody")  # before anything serves it
    page.get_by_text("No computer matches.").wait_for()
    page.locator("#search").press("Control+a")
    page.keyboard.type("FRONT")
    page.get_by_role("row").filter(has_text=COMPUTER).wait_for()
    page.wait_for_url("**search=FRONT*")
    page.get_by_role("link", name="Start session").focus()
    with page.expect_response(lambda answer: "page=1" in answer.url):  # it asks by itself
        pass
    page.wait_for_timeout(300)
    assert page.evaluate("document.activeElement.textContent") == "Start session", "the keyboard's place is kept"
    assert page.locator("#search").input_value() == "FRONT"
    page.get_by_label("Only online").check()
    page.wait_for_url("**online=yes*")
    page.get_by_role("row").filter(has_text=COMPUTER).wait_for()


def test_asking_for_the_page_begins_nothing(arrive: Callable[..., Window], site: ConsoleSite) -> None:
    rita = arrive()
    rita.go("Remote computers")
    link = rita.page.get_by_role("link", name="Start session").get_attribute("href")
    before = site.ask("from staffetta.site.support import service\nprint(len(service.live_sessions()))")
    rita.open(str(link))
    rita.page.get_by_role("button", name="Start session").wait_for()
    assert site.ask("from staffetta.site.support import service\nprint(len(service.live_sessions()))") == before
    rita.page.get_by_role("button", name="Start session").click()
    connected(rita.page)
    finish(rita, rita.path.rpartition("/")[2])


def test_a_click_before_the_page_is_whole_begins_all_the_same(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    page = rita.page

    def late(route: Route) -> None:
        page.wait_for_timeout(1000)
        route.continue_()

    page.route("**/list_page.js*", late)
    page.goto(f"{rita.url}/login/console", wait_until="commit")
    page.get_by_role("link", name="Start session").click()
    connected(page)
    finish(rita, rita.path.rpartition("/")[2])


def test_what_is_pressed_is_not_replaced_before_it_is_let_go(arrive: Callable[..., Window]) -> None:
    rita = arrive()
    page = rita.page
    rita.go("Remote computers")
    page.locator("#search").focus()
    page.get_by_role("link", name="Start session").hover()
    page.mouse.down()
    with page.expect_response(lambda answer: "page=1" in answer.url):  # the list asks by itself how it is
        pass
    page.wait_for_timeout(300)
    page.mouse.up()
    connected(page)
    finish(rita, rita.path.rpartition("/")[2])


def test_the_terminal_is_left_by_keyboard_and_follows_the_window(arrive: Callable[..., Window]) -> None:
    rita = arrive(permissions=["clipboard-read", "clipboard-write"])
    page = rita.page
    session = begin(rita)
    shows(page, PROMPT.strip())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className").startswith("xterm"), "Tab is the remote computer's"
    page.keyboard.type("echo words $((40+2))\n")
    shows(page, "words 42")
    page.keyboard.press("Control+Shift+L")
    assert page.evaluate("document.activeElement.id") == "copy"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "paste"
    page.evaluate("navigator.clipboard.writeText('echo pas')")
    page.keyboard.press("Enter")
    shows(page, "echo pas")
    page.keyboard.type("ted\n")
    shows(page, "\npasted")
    rows = rows_shown(page)
    page.keyboard.type("stty size\n")
    shows(page, f"\n{rows} ")
    page.set_viewport_size({"width": 700, "height": 500})
    wait_until("a smaller terminal", lambda: rows_shown(page) < rows)
    page.keyboard.type("stty size\n")
    shows(page, f"\n{rows_shown(page)} ")
    assert rita.narrow()
    finish(rita, session)


def rows_shown(page: Page) -> int:
    return page.locator(".xterm-rows > div").count()


def test_a_phone_has_the_keys_that_it_lacks(arrive: Callable[..., Window]) -> None:
    rita = arrive(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    page = rita.page
    rita.open("/login/console")
    page.get_by_role("link", name="Start session", exact=True).tap()
    connected(page)
    shows(page, PROMPT.strip())
    assert rita.narrow()
    page.keyboard.type("cat\nheld\n")
    shows(page, "\nheld\nheld")  # once typed, once by cat, which has the terminal by now
    page.locator("#touch-keys [data-key=control]").tap()
    page.keyboard.type("c")
    shows(page, f"^C\n{PROMPT.strip()}")
    page.keyboard.type("echo free\n")
    shows(page, "\nfree")
    page.locator("#end").tap()
    page.get_by_text("The session has ended").wait_for()


def test_files_both_ways(arrive: Callable[..., Window], site: ConsoleSite, tmp_path: Path) -> None:
    rita = arrive()
    page = rita.page
    big = tmp_path / "printer driver \xe8.bin"
    big.write_bytes(random.Random(5).randbytes(30_000_000))
    small = tmp_path / "small.txt"
    small.write_text("one\n")
    session = begin(rita, "Files")
    (site.home / "in").mkdir()
    page.locator("#chosen").set_input_files([big, small])
    page.get_by_label("Folder there").fill("in")
    page.get_by_role("button", name="Send").click()
    site.start_generation()  # a transfer goes along
    row = page.locator(".transfer").filter(has_text=big.name)
    expect(row).to_contain_text("stored, 30.0 MB")
    expect(row).to_contain_text(hashlib.sha256(big.read_bytes()).hexdigest())
    assert (site.home / "in" / big.name).read_bytes() == big.read_bytes()
    assert (site.home / "in" / small.name).read_text() == "one\n"

    small.write_text("two\n")
    page.locator("#chosen").set_input_files(small)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("A file of this name is there already.").wait_for()
    page.get_by_label("Replace a file that is there").check()
    page.locator("#chosen").set_input_files(small)
    page.get_by_role("button", name="Send").click()
    wait_until("the file replaced", lambda: (site.home / "in" / small.name).read_text() == "two\n")

    page.get_by_label("Path there").fill(f"in/{big.name}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Fetch").click()
    assert download.value.suggested_filename == big.name
    assert Path(download.value.path()).read_bytes() == big.read_bytes()
    page.get_by_label("Path there").fill("nowhere.txt")
    page.get_by_role("button", name="Fetch").click()
    page.get_by_text("There is no file").wait_for()

    (site.home / "huge").touch()
    with (site.home / "huge").open("wb") as file:
        file.truncate(2_000_000_000)
    page.get_by_label("Path there").fill("huge")
    page.get_by_role("button", name="Fetch").click()
    huge = page.locator(".transfer").filter(has_text="huge").first
    expect(huge).to_contain_text(" of 2.0 GB")
    huge.get_by_role("button", name="Cancel").click()
    expect(huge).to_contain_text("cancelled; nothing was stored")

    page.get_by_label("Path there").fill("huge")
    page.get_by_role("button", name="Fetch").click()
    expect(page.locator(".transfer").filter(has_text="huge").first).to_contain_text(" of 2.0 GB")
    page.on("dialog", lambda dialog: dialog.accept())  # "leave the page while a file is moved?"
    page.reload()
    connected(page)
    page.get_by_text("interrupted: the page was left while it was moved").wait_for()
    (site.home / "in" / "after").write_text("after")
    page.get_by_label("Path there").fill("in/after")
    with page.expect_download() as download:
        page.get_by_role("button", name="Fetch").click()
    assert Path(download.value.path()).read_text() == "after"

    account = finish(rita, session)
    moved = {(one["name"], one["outcome"]) for one in account["transfers"]}
    assert {(big.name, "stored"), (small.name, "stored"), (small.name, "already-there"), ("huge", "cancelled")} <= moved
    assert not any(one["disputed"] for one in account["transfers"] if one["outcome"] == "stored")
    (site.home / "huge").unlink()


@pytest.mark.req("S12")
def test_signing_out_elsewhere_ends_the_session_there_and_leaves_this_one(arrive: Callable[..., Window]) -> None:
    here, there = arrive(), arrive()
    sessions = [begin(window) for window in (here, there)]
    for window in (here, there):
        shows(window.page, PROMPT.strip())
    tab = arrive(context=here.page.context)
    tab.open("/login/my-account")
    expect(tab.page.get_by_text("every console for the terminal")).to_be_visible()
    tab.page.get_by_role("button", name="Sign out everywhere else").click()
    tab.page.get_by_text("You are signed out everywhere else.").wait_for()
    expect(there.page.get_by_text("this browser was signed out")).to_be_visible()
    assert report_of(tab, sessions[1])["end_reason"] == "signed-out"
    tab.open("/login/change-password")
    change_password(tab.page, PASSWORD, PASSWORD + " anew")
    tab.page.get_by_text("Your password is changed.").wait_for()
    tab.page.wait_for_timeout(5_000)  # as long as the gateway may take to end what may not go on
    here.page.reload()
    connected(here.page)
    here.page.keyboard.type("echo goes on\n")
    shows(here.page, "\ngoes on")
    finish(here, sessions[0])
    begin(here)  # with the credential that it has
    there.go("Remote computers", "Sign in")
    there.sign_in("/login", "rita", PASSWORD + " anew")
    begin(there)  # with a new one in place of the one it had
    for window in (here, there):
        window.page.get_by_role("button", name="End session").click()
        window.page.get_by_text("The session has ended: you have ended it").wait_for()
    tab.open("/login/change-password")
    change_password(tab.page, PASSWORD + " anew", PASSWORD)
    tab.page.get_by_text("Your password is changed.").wait_for()


@pytest.mark.req("S12")
def test_who_signs_out_or_is_disabled_is_out_of_the_session(arrive: Callable[..., Window], site: ConsoleSite) -> None:
    rita = arrive()
    session = begin(rita)
    tab = arrive(context=rita.page.context)
    tab.open("/login/console")
    tab.sign_out()
    rita.page.get_by_text("The session has ended: you have signed out").wait_for()
    names = rita.page.evaluate("indexedDB.databases().then(found => found.map(one => one.name))")
    assert "staffetta-console" not in names, "the key is gone"
    again = arrive()
    assert report_of(again, session)["end_reason"] == "the rep signed out"

    begin(again)
    site.ask(
        "from staffetta.site.accounts import service\nfrom staffetta.site.accounts.models import Account\n"
        "admin, rita = (Account.objects.get(username=name) for name in ('admin', 'rita'))\n"
        "service.disable(admin, rita.id)"
    )
    again.page.get_by_text("The session has ended: your account may not start sessions any more").wait_for()
    site.ask(
        "from staffetta.site.accounts import service\nfrom staffetta.site.accounts.models import Account\n"
        "admin, rita = (Account.objects.get(username=name) for name in ('admin', 'rita'))\n"
        "service.enable(admin, rita.id)"
    )


ENGLISH = "This Jump Client is passive and did not come when it was called; it is expected by {}. Try again then."
ITALIAN = (
    "Questo Jump Client è passivo e non ha risposto alla chiamata; il prossimo contatto è atteso entro il "
    "24/11/2026 05:48 UTC. Riprovare allora."
)
SAY = """async (text) => {
  const page = document.querySelector('script[src*="console/session_page.js"]').src;
  return (await import(page.replace("session_page", "words"))).say(text);
}"""


@pytest.mark.req("S5")
def test_a_session_is_held_in_italian(arrive: Callable[..., Window]) -> None:
    window = arrive()
    page = window.page
    page.get_by_role("button", name="Italiano").click()
    page.get_by_role("heading", name="Informazioni").wait_for()
    window.open("/login/console")
    page.get_by_role("row").filter(has_text=COMPUTER).get_by_role("link", name="Avvia sessione").click()
    expect(page.locator("#status-words")).to_have_text("Connesso")
    assert page.locator("html").get_attribute("lang") == "it"
    at = spoken_time(datetime(2026, 11, 24, 5, 48, 15, 123456, UTC))
    assert page.evaluate(SAY, ENGLISH.format(at)) == ITALIAN
    assert page.evaluate(SAY, "nobody has written this") == "nobody has written this"
    page.get_by_role("button", name="Termina sessione").click()
    expect(page.locator("#over-words")).to_have_text("La sessione è terminata: terminata da Lei")


@pytest.mark.req("S5")
def test_a_change_of_the_language_does_not_leave_the_session(arrive: Callable[..., Window]) -> None:
    window = arrive()
    page = window.page
    session = begin(window)
    shows(page, PROMPT.strip())
    for name, language in (("Italiano", "it"), ("English", "en")):
        page.get_by_role("button", name=name, exact=True).click()
        page.locator(f"html[lang={language}] #status[data-state=connected]").wait_for()
        assert window.path == f"/login/console/sessions/{session}"
        page.locator(".xterm-helper-textarea").focus()
        page.keyboard.type(f"echo st''ill {language}\n")
        shows(page, f"still {language}")
    finish(window, session)
