"""A technician gives support from a browser, in the shared world: a shell, a reload in mid-typing, files both ways."""

import hashlib
import json
import random
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import People, Window
from staffetta.lab.single import Single
from staffetta.lab.world import wait_until

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.req("S1")]

COMPUTER = "computer-2"


@pytest.fixture
def rita(people: People, alpha: Single) -> Window:
    """The technician, at the list of computers."""
    wait_until(f"{COMPUTER} online", lambda: alpha.technician.sees_online(COMPUTER), 60)
    window = people.arrive(alpha.appliance.site_url)
    window.page.add_init_script("delete window.showSaveFilePicker")
    window.sign_in("/login", "rita", alpha.technician.password)
    window.go("Remote computers")
    return window


def begin(window: Window, what: str) -> str:
    """Begin a session from the list; its id."""
    window.page.get_by_label("Search").fill(COMPUTER)
    row = window.page.get_by_role("row").filter(has_text=COMPUTER)
    expect(window.page.locator("#computers tbody tr")).to_have_count(1)
    row.get_by_role("link", name=what, exact=True).click()
    window.page.locator("#status[data-state=connected]").wait_for()
    return window.path.rpartition("/")[2]


def shows(page: Page, text: str) -> None:
    rows = page.locator(".xterm-rows")
    wait_until(f"{text!r} on the screen", lambda: text in rows.inner_text().replace("\u00a0", " "), 60)


def end(window: Window, alpha: Single, session: str) -> dict[str, object]:
    """End the session; what its report says."""
    window.page.get_by_role("button", name="End session").click()
    window.page.get_by_text("The session has ended: you have ended it").wait_for()
    ended = {str(one["id"]): one for one in alpha.admin.sessions() if one["ended"]}
    wait_until("the report", lambda: session in {str(one["id"]) for one in alpha.admin.sessions() if one["ended"]}, 60)
    return ended.get(session) or next(one for one in alpha.admin.sessions() if one["id"] == session)


def test_a_shell_goes_on_after_a_reload(rita: Window, alpha: Single) -> None:
    session = begin(rita, "Start session")
    page = rita.page
    page.keyboard.type("echo be''gun\n")
    shows(page, "begun")
    page.keyboard.type("echo half of it")
    page.reload()
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type(" and the re''st\n")
    shows(page, "half of it and the rest")
    report = end(rita, alpha, session)
    assert report["end_reason"] == "left by the rep"
    page.get_by_role("link", name="Report of the session").click()
    page.get_by_role("heading", name=f"rita with {COMPUTER}").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download recording").click()
    _, *events = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    typed = "".join(text for _, kind, text in events if kind == "i")
    assert typed.count("echo half of it and the re''st") == 1


def test_files_go_both_ways(rita: Window, alpha: Single, tmp_path: Path) -> None:
    session = begin(rita, "Files")
    page = rita.page
    file = tmp_path / "prices \xe8.bin"
    file.write_bytes(random.Random(1).randbytes(3_000_000))
    there = tmp_path / "there"
    there.mkdir()
    page.locator("#chosen").set_input_files(file)
    page.get_by_label("Folder there").fill(str(there))
    page.get_by_role("button", name="Send").click()
    row = page.locator(".transfer").filter(has_text=file.name).first
    expect(row).to_contain_text(f"SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}")
    assert (there / file.name).read_bytes() == file.read_bytes()
    page.get_by_label("Path there").fill(str(there / file.name))
    with page.expect_download() as download:
        page.get_by_role("button", name="Fetch").click()
    assert Path(download.value.path()).read_bytes() == file.read_bytes()
    expect(page.locator(".transfer").first).to_contain_text(re.compile("saved, 3.0 MB"))
    report = end(rita, alpha, session)
    assert {(one["name"], one["direction"], one["outcome"]) for one in report["transfers"]} == {  # type: ignore[attr-defined]
        (file.name, "send", "stored"),
        (file.name, "fetch", "stored"),
    }


def test_while_a_place_is_chosen_the_page_says_so(rita: Window, alpha: Single) -> None:
    session = begin(rita, "Files")
    page = rita.page
    page.evaluate(
        "() => { window.showSaveFilePicker = () => new Promise((_, reject) => {"
        " window.thinkBetter = () => reject(new DOMException('', 'AbortError')); }); }"
    )
    page.get_by_label("Path there").fill("/etc/hostname")
    page.get_by_role("button", name="Fetch").click()
    expect(page.locator(".transfer")).to_contain_text("choose where to save it")
    page.evaluate("window.thinkBetter()")
    expect(page.locator(".transfer")).to_have_count(0)
    page.get_by_text("Nothing has been moved yet.").wait_for()

    page.get_by_role("button", name="Fetch").click()
    page.locator(".transfer").get_by_role("button", name="Cancel").click()
    page.evaluate("window.thinkBetter()")
    expect(page.locator(".transfer")).to_have_count(0)
    end(rita, alpha, session)
