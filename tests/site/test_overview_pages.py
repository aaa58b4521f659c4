"""The pair, its job and the fleet in a real Chromium: sound, and kept current without losing the reader's place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from own_site import PASSWORD, run_site
from playwright.sync_api import expect
from running_site import RunningSite, running_site

from browser import conftest as windows
from browser.conftest import PHONE, WIDE, People, Window

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(300)]
chromium, people = windows.chromium, windows.people


@pytest.fixture(scope="module")
def told(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSite, str]]:
    with running_site(migrated, tmp_path_factory.mktemp("told") / "site") as made:
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
