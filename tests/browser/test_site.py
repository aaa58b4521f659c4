"""People at `/login`: an administrator and a technician, through every page of the site."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.conftest import PHONE, People, Window
from staffetta.lab.appliance import new_password
from staffetta.lab.single import Single
from staffetta.lab.site import TECHNICIAN, TOKEN
from staffetta.lab.world import wait_until

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(600)]

EVERYTHING = [
    "Information", "Overview", "Jump Clients", "Remote computers", "Users", "Sessions", "File store", "Security",
    "Failover", "Audit log",
]  # fmt: skip
HEADINGS = {"Overview": "My account"}
COMPUTER = "computer-2"


@pytest.fixture(scope="module")
def session(alpha: Single) -> str:
    """The id of a session that rita held and ended."""
    work = alpha.technician.work_on(COMPUTER)
    before = {one["id"] for one in alpha.admin.sessions() if one["ended"]}
    wait_until("something to be typed", lambda: work.noted(), 30)
    account = work.finish(alpha.admin)
    assert account["recording"] == "complete"
    (found,) = {one["id"] for one in alpha.admin.sessions() if one["ended"]} - before
    return str(found)


@pytest.mark.req("S5")
def test_every_page_is_sound_in_light_and_dark_on_desk_and_phone(
    people: People, alpha: Single, session: str, site_administrator: Window
) -> None:
    assert site_administrator.pages() == EVERYTHING
    for name in EVERYTHING:
        site_administrator.go(name, HEADINGS.get(name))
    user = alpha.appliance.site_url
    paths = [
        "status/information", "my-account", "jump-clients", "jump-clients/installers", "users", "users/new",
        "reports/sessions", f"reports/sessions/{session}", "files", "management/security", "management/failover",
        "audit-log", "change-password", "console",
    ]  # fmt: skip
    for scheme, viewport in (("light", None), ("dark", None), ("light", PHONE), ("dark", PHONE)):
        options = {"color_scheme": scheme} | ({"viewport": viewport} if viewport else {})
        window = people.arrive(user, **options)
        window.open("/login")
        window.assert_sound()
        window.sign_in("/login", "admin", alpha.appliance.site_password)
        window.page.get_by_role("heading", name="Information").wait_for()
        for path in paths:
            window.open(f"/login/{path}")
            window.page.get_by_role("heading", level=1).wait_for()
            window.assert_sound()
            assert window.page.locator("html").get_attribute("data-bs-theme") == scheme
        window.page.context.close()


@pytest.mark.req("H3", "S12")
def test_a_new_technician_must_change_the_one_time_password(
    people: People, alpha: Single, site_administrator: Window
) -> None:
    page = site_administrator.page
    site_administrator.go("Users")
    page.get_by_role("link", name="New user").click()
    page.get_by_label("User name").fill("tessa")
    page.get_by_label("Start sessions with Jump Clients").check()
    page.get_by_label("Manage the file store").check()
    page.get_by_role("button", name="Make user").click()
    once = page.locator("#made-password").inner_text()
    page.get_by_role("link", name="All users").click()
    row = page.get_by_role("row").filter(has_text="tessa")
    assert "must change the password" in row.inner_text()

    lasting = new_password()
    tessa = people.arrive(alpha.appliance.site_url)
    tessa.sign_in("/login", "tessa", once)
    tessa.page.get_by_role("heading", name="Change your password").wait_for()
    for path in ("status/information", "jump-clients", "files"):
        tessa.open(f"/login/{path}")
        tessa.page.get_by_role("heading", name="Change your password").wait_for()
    tessa.change_first_password(once, lasting)
    tessa.page.get_by_role("heading", name="Information").wait_for()
    assert tessa.pages() == ["Information", "Overview", "Jump Clients", "Remote computers", "File store"]
    for path in ("users", "audit-log", "reports/sessions", "jump-clients/installers"):
        with tessa.refusal(403):
            tessa.open(f"/login/{path}")

    page.reload()
    assert "active" in row.inner_text()
    row.get_by_role("link", name="tessa").click()
    page.get_by_text("Disable…").click()
    page.get_by_role("button", name="Disable", exact=True).click()
    page.get_by_text("The user is disabled and signed out.").wait_for()
    tessa.open("/login/status/information")
    tessa.page.get_by_role("heading", name="Sign in").wait_for()
    tessa.sign_in("/login", "tessa", lasting)
    tessa.page.get_by_text("The user name or the password is wrong.").wait_for()


def test_a_wrong_password_and_too_many_of_them(people: People, alpha: Single) -> None:
    window = people.arrive(alpha.appliance.site_url)
    window.sign_in("/login", "mallory", "a guess")
    window.page.get_by_text("The user name or the password is wrong.").wait_for()
    with window.refusal(429):
        for _ in range(4):
            window.sign_in("/login", "mallory", "a guess")
            window.page.get_by_role("alert").wait_for()
    assert "Too many attempts" in window.page.get_by_role("alert").inner_text()


@pytest.mark.req("C5")
def test_jump_clients_are_seen_online_with_their_version(site_administrator: Window, alpha: Single) -> None:
    online = len(alpha.computers)
    for computer in alpha.computers:
        wait_until(f"{computer.name} online", lambda name=computer.name: alpha.technician.sees_online(name), 60)
    site_administrator.go("Information")
    site_administrator.page.locator("#clients-online").get_by_text(f"{online} / {online}").wait_for()
    site_administrator.go("Jump Clients")
    for computer in alpha.computers:
        row = site_administrator.page.get_by_role("row").filter(has_text=computer.name)
        assert "online" in row.inner_text()
        assert re.search(r"\b1\.\d\.0\b", row.inner_text()), row.inner_text()
    site_administrator.page.get_by_label("Search").fill(COMPUTER)
    site_administrator.page.keyboard.press("Enter")
    site_administrator.page.wait_for_url("**search=*")
    expect(site_administrator.page.locator("#clients tr")).to_have_count(1)


def test_an_installer_token_is_made_copied_and_revoked(site_administrator: Window) -> None:
    page = site_administrator.page
    site_administrator.go("Jump Clients")
    page.get_by_text("New installer token").click()
    page.get_by_label("computers").fill("7")
    page.get_by_role("button", name="Make token").click()
    page.get_by_role("heading", name="Installer token").wait_for()
    assert "7 computers" in site_administrator.words
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#install-command").inner_text()
    assert copied.endswith("--token -")
    page.locator("[data-copy=installer-token]").click()
    page.wait_for_function(
        "wanted => navigator.clipboard.readText().then(text => text === wanted)",
        arg=page.locator("#installer-token").inner_text(),
    )
    assert TOKEN.fullmatch(page.locator("#installer-token").inner_text())
    with page.expect_download() as download:
        page.get_by_role("link", name="root.json").click()
    assert json.loads(Path(download.value.path()).read_text())["signed"]["_type"] == "root"

    site_administrator.open("/login/jump-clients/installers")
    row = page.get_by_role("row").filter(has_text="0 / 7")
    row.get_by_text("Revoke…").click()
    row.get_by_role("button", name="Revoke").wait_for()
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Revoke").wait_for(state="hidden")
    page.keyboard.press("Enter")  # the keyboard is where the question was opened
    row.get_by_role("button", name="Revoke").click()
    page.get_by_text("The installer token is revoked").wait_for()
    assert "revoked" in page.get_by_role("row").filter(has_text="0 / 7").inner_text()


@pytest.mark.req("S2")
def test_a_session_leaves_a_report_and_a_recording(site_administrator: Window, alpha: Single, session: str) -> None:
    page = site_administrator.page
    site_administrator.go("Sessions")
    row = page.get_by_role("row").filter(has_text=COMPUTER).first
    assert alpha.technician.name in row.inner_text()
    page.locator(f'a[href$="/{session}"]').click()
    page.get_by_role("heading", name=f"{alpha.technician.name} with {COMPUTER}").wait_for()
    for said in ("Console attached", "Jump Client attached", "Ended"):
        assert said in site_administrator.words
    with page.expect_download() as download:
        page.get_by_role("link", name="Download recording").click()
    assert download.value.suggested_filename.endswith(".cast")
    header, *events = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert header["version"] == 2
    assert "READY" in "".join(text for _, kind, text in events if kind == "o")

    player = page.get_by_role("group", name="Player of the recording.")
    player.wait_for()
    expect(player).not_to_be_focused()  # the report is read first
    site_administrator.go("Sessions")
    row.get_by_role("link", name="Play").click()
    expect(player).to_be_focused()


@pytest.mark.req("S6")
def test_a_file_is_stored_fetched_and_deleted(site_administrator: Window, tmp_path: Path) -> None:
    page = site_administrator.page
    file = tmp_path / "printer driver è.bin"
    file.write_bytes(bytes(range(256)) * 4096)
    site_administrator.go("File store")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    row = page.get_by_role("row").filter(has_text=file.name)
    row.wait_for()
    assert "1.0 MB" in row.inner_text()
    with page.expect_download() as download:
        row.get_by_role("link", name=file.name).click()
    assert download.value.suggested_filename == file.name
    assert Path(download.value.path()).read_bytes() == file.read_bytes()
    row.get_by_text("Delete…").click()
    row.get_by_role("button", name="Delete").click()
    page.get_by_text(f"{file.name} is deleted.").wait_for()
    assert row.count() == 0

    site_administrator.go("Audit log")
    did = site_administrator.words
    assert did.count(file.name) >= 2
    page.get_by_label("Search").fill("nobody did this")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing matches.").wait_for()


@pytest.mark.req("S12")
def test_my_account_and_signing_out(people: People, alpha: Single) -> None:
    rita = people.arrive(alpha.appliance.site_url)
    rita.sign_in("/login", "rita", alpha.technician.password)
    rita.go("Overview", "My account")
    may = rita.page.get_by_role("listitem")
    for allowed in ("Start sessions with Jump Clients", "View reports and recordings", "Manage the file store"):
        assert may.filter(has_text=allowed).count() == 1
    assert len(TECHNICIAN) == 3
    rita.sign_out()
    rita.page.go_back()
    rita.page.get_by_role("heading", name="Sign in").wait_for()
    rita.open("/login/my-account")
    rita.page.get_by_role("heading", name="Sign in").wait_for()
    rita.sign_in("/login/my-account", "rita", alpha.technician.password)
    rita.page.get_by_role("heading", name="My account", level=1).wait_for()
