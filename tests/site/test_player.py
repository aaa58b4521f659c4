"""A recording played in a real Chromium, on its session's page, behind the door and under the pages' own policy."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_site import PASSWORD
from playwright.sync_api import expect
from running_site import RunningSite, running_site

from browser import conftest as windows
from browser.conftest import PHONE, People, Window

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(300)]
chromium, people = windows.chromium, windows.people
SHOWN = "shown by the remote computer"


@pytest.fixture(scope="module")
def site(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(migrated, tmp_path_factory.mktemp("held") / "site") as made:
        yield made


def _open(people: People, site: RunningSite, session: str, **options: object) -> Window:
    window = people.arrive(site.url, **options)
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Information").wait_for()
    window.open(f"/login/reports/sessions/{site.sessions[session]}")
    return window


def _elapsed(window: Window) -> int:
    """The seconds that the player shows as played."""
    minutes, seconds = re.findall(r"\d+", window.page.locator(".ap-time-elapsed").inner_text())
    return int(minutes) * 60 + int(seconds)


@pytest.mark.req("S2")
@pytest.mark.parametrize(("scheme", "viewport"), [("light", windows.WIDE), ("dark", windows.WIDE), ("light", PHONE)])
def test_a_recording_is_played_paused_sought_and_sped_up(
    people: People, site: RunningSite, scheme: str, viewport: dict[str, int]
) -> None:
    window = _open(people, site, "whole", color_scheme=scheme, viewport=viewport)
    page = window.page
    player = page.get_by_role("group", name="Player of the recording")
    shown = player.locator(".ap-term-text")
    expect(shown).to_contain_text(f"line 0 of what is {SHOWN}")
    assert window.narrow()
    page.get_by_label("Speed").select_option("8")
    player.focus()
    page.keyboard.press("Space")
    expect(shown).to_contain_text("line 39")
    assert _elapsed(window) >= 9

    page.keyboard.press("5")  # half of it, by the keyboard
    expect(shown).not_to_contain_text("line 30")
    page.get_by_label("Speed").select_option("0.5")
    player.focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    stopped = shown.inner_text()
    bar = player.locator(".ap-bar")
    box = bar.bounding_box()
    assert box is not None
    bar.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    expect(shown).to_contain_text("line 38")
    assert shown.inner_text() != stopped

    player.focus()
    page.keyboard.press("f")
    expect(page.locator(":fullscreen")).not_to_have_count(0)
    page.evaluate("document.exitFullscreen()")
    expect(page.locator(":fullscreen")).to_have_count(0)
    assert page.locator("[data-player=remarks]").is_hidden()


@pytest.mark.req("S2")
def test_only_the_page_with_a_player_may_compile_webassembly(people: People, site: RunningSite) -> None:
    window = people.arrive(site.url)
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Information").wait_for()
    for path, may in (
        (f"reports/sessions/{site.sessions['whole']}", True),
        (f"reports/sessions/{site.sessions['files']}", False),
        ("reports/sessions", False),
    ):
        answer = window.page.goto(f"{site.url}/login/{path}")
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert ("'wasm-unsafe-eval'" in policy) == may
        assert "unsafe-inline" not in policy and "'unsafe-eval'" not in policy
        assert "default-src 'self'" in policy and "object-src 'none'" in policy


@pytest.mark.req("S2")
def test_gaps_and_what_is_not_here_are_said_in_words(people: People, site: RunningSite) -> None:
    window = _open(people, site, "gap")
    remarks = window.page.get_by_role("note").filter(has_text="This recording has gaps")
    expect(remarks).to_contain_text("00:06 5 pieces of what the computer showed are missing")
    window = _open(people, site, "absent")
    assert "1 of 2 pieces of this recording is not on this appliance" in window.words
    expect(window.page.get_by_role("note").filter(has_text="gaps")).to_contain_text(
        "1 of 2 segments missing or damaged"
    )
    expect(window.page.locator(".ap-term-text")).to_contain_text("line 0")


@pytest.mark.req("S2")
def test_without_javascript_the_download_remains(people: People, site: RunningSite) -> None:
    window = _open(people, site, "whole", java_script_enabled=False)
    expect(window.page.locator("[data-recording]")).to_be_hidden()
    with window.page.expect_download() as download:
        window.page.get_by_role("link", name="Download recording").click()
    assert SHOWN in Path(download.value.path()).read_text()
    assert "needs JavaScript" in window.page.locator("main").inner_text()


@pytest.mark.req("S2")
def test_a_large_recording_waits_to_be_asked_for(people: People, site: RunningSite) -> None:
    window = people.arrive(site.url)
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Information").wait_for()
    address = f"/login/reports/sessions/{site.sessions['whole']}"
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url))
    # The same page, but that its recording is told to be large.
    window.page.route(
        re.compile(f"{address}$"),
        lambda route: route.fulfill(
            response=(answer := route.fetch()),
            body=re.sub(r'data-size="\d+"', 'data-size="70000000"', answer.text()),
        ),
    )
    window.open(address)
    button = window.page.get_by_role("button", name="Load the recording")
    button.wait_for()
    assert not [url for url in asked if url.endswith("recording.cast")]
    button.click()
    expect(window.page.locator(".ap-term-text")).to_contain_text("line 0")
    assert button.is_hidden()
