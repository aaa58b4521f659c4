"""The pair, its job and the fleet in a real Chromium: sound, and kept current without losing the reader's place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from own_site import PASSWORD, run_site
from playwright.sync_api import Locator, expect
from running_site import RunningSite, running_site
from told_fleet import NAMES, WANTED

from browser import conftest as windows
from browser.conftest import PHONE, TABLET, WIDE, People, Window
from staffetta.site.fleet.standing import Standing
from vendor.publisher import release_with_clients

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(300)]
chromium, people = windows.chromium, windows.people


@pytest.fixture(scope="module")
def told(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSite, str]]:
    release = release_with_clients(tmp_path_factory.mktemp("release"), WANTED)
    with running_site(migrated, tmp_path_factory.mktemp("told") / "site", release) as made:
        job = run_site(made.folder, str(Path(__file__).with_name("told_pair.py"))).strip()
        yield made, f"/login/management/failover/jobs/{job}"


def _arrive(people: People, site: RunningSite, **options: object) -> Window:
    window = people.arrive(site.url, **options)
    window.sign_in("/login", "admin", PASSWORD)
    window.page.get_by_role("heading", name="Information").wait_for()
    return window


@pytest.mark.req("F3", "F7", "C5", "S5")
@pytest.mark.parametrize(("scheme", "viewport"), [("light", WIDE), ("dark", WIDE), ("light", PHONE), ("dark", PHONE)])
def test_pair_job_and_fleet_are_sound(
    people: People, told: tuple[RunningSite, str], scheme: str, viewport: dict[str, int]
) -> None:
    site, job = told
    window = _arrive(people, site, color_scheme=scheme, viewport=viewport)
    for path in ("/login/management/failover", job, "/login/jump-clients", "/login/jump-clients?standing=behind"):
        window.open(path)
        window.page.get_by_role("heading", level=1).wait_for()
        window.assert_sound()
    bar = window.page.locator(".fleet-bar rect[height='28']")
    assert bar.evaluate_all("(parts) => parts.map((part) => part.dataset.standing)") == list(Standing)
    assert all(place["width"] > 20 for place in map(Locator.bounding_box, bar.all()) if place)
    for standing, name in NAMES.items():
        window.page.locator(f"#standing-{standing}").click()
        expect(window.page.locator(f"#standing-{standing}")).to_have_attribute("aria-current", "true")
        listed = window.page.locator("#clients").inner_text()
        assert [one for one in NAMES.values() if one in listed] == [name]


@pytest.mark.req("C5", "S5")
@pytest.mark.parametrize(("viewport", "locale"), [(TABLET, "it-IT"), (PHONE, "en-GB")], ids=["tablet", "phone"])
def test_no_table_has_to_be_scrolled_to_the_side(
    people: People, told: tuple[RunningSite, str], viewport: dict[str, int], locale: str
) -> None:
    site, job = told
    window = people.arrive(site.url, viewport=viewport, locale=locale)
    window.sign_in("/login", "admin", PASSWORD)
    window.page.locator("#site-host").wait_for()
    pages = ("jump-clients", "jump-clients/installers", "users", "reports/sessions", "audit-log", "management/failover")
    for path in (*(f"/login/{page}" for page in pages), job):
        window.open(path)
        window.page.get_by_role("heading", level=1).wait_for()
        assert window.narrow(), path
        assert window.sideways() == [], path


@pytest.mark.req("C5", "S5")
def test_bar_and_list_follow_and_what_was_begun_there_goes_on(people: People, told: tuple[RunningSite, str]) -> None:
    site, _ = told
    window = _arrive(people, site)
    window.open("/login/jump-clients?search=shop-3")
    page = window.page
    late = page.locator("#clients tr").filter(has_text=NAMES[Standing.BEHIND])
    late.get_by_text("Revoke…").press("Enter")
    revoke = page.get_by_role("button", name="Revoke", exact=True)
    revoke.focus()
    page.get_by_label("Search").evaluate("(field) => { field.value = 'sh'; }")
    for part in ("/login/jump-clients?search=shop-3&page=1", "/login/jump-clients/progress?search=shop-3"):
        with page.expect_response(lambda answer, part=part: answer.url.endswith(part)):
            pass
    page.wait_for_timeout(300)  # until what came has taken its place
    expect(revoke).to_be_focused()
    assert page.get_by_label("Search").input_value() == "sh"
    page.locator("#standing-failed").click()
    expect(page.locator("#clients tr")).to_contain_text("No Jump Client matches.")
    page.locator("#standing-all").click()
    expect(late).to_have_count(1)
    expect(page.locator("#clients tr")).to_have_count(1)


@pytest.mark.req("F7", "S5")
def test_what_is_there_all_the_time_is_said_once(people: People, told: tuple[RunningSite, str]) -> None:
    site, job = told
    window = _arrive(people, site)
    window.open(job)
    page = window.page
    page.evaluate("""() => {
      window.said = [];
      const note = (changes) => changes.forEach((change) => window.said.push(change.target.textContent));
      for (const how of ["polite", "assertive"]) {
        new MutationObserver(note).observe(document.getElementById(`announced-${how}`), { childList: true });
      }
    }""")
    for _ in range(2):
        with page.expect_response(lambda answer: answer.url.endswith(job)):
            pass
    page.wait_for_timeout(300)
    assert page.evaluate("window.said") == []
    # In one go: the page, which asks all the time, puts back what stood there.
    said = page.evaluate("""async () => {
      document.querySelector("#live [data-announce]").textContent = "something else";
      document.dispatchEvent(new Event("staffetta:replaced"));
      await Promise.resolve();
      return window.said;
    }""")
    assert said == ["something else"]


@pytest.mark.req("F7")
def test_evidence_that_was_opened_stays_open_and_in_focus_while_the_job_goes_on(
    people: People, told: tuple[RunningSite, str]
) -> None:
    site, job = told
    window = _arrive(people, site)
    window.open(job)
    page = window.page
    evidence = page.locator("#evidence-preflight-1")
    failed = page.locator("#evidence-backup-1")
    expect(failed).to_have_attribute("open", "")
    evidence.locator("summary").press("Enter")
    expect(evidence.get_by_text("All checks hold.")).to_be_visible()
    failed.locator("summary").click()
    evidence.locator("summary").focus()
    for _ in range(2):
        with page.expect_response(lambda answer: answer.url.endswith(job)):
            pass
        page.wait_for_timeout(300)  # until what came has taken its place
    expect(evidence).to_have_attribute("open", "")
    expect(failed).not_to_have_attribute("open", "")
    expect(evidence.locator("summary")).to_be_focused()
