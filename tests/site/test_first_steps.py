"""The first steps on Status > Information: who sees which, and when each and the whole list are gone."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client
from own_site import PASSWORD, enrolled, run_site
from running_site import RunningSite, running_site

from browser import conftest as windows
from browser.conftest import PHONE, WIDE, People
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.support import service as support
from swapped import wrong_when_swapped

chromium, people = windows.chromium, windows.people
INFORMATION = "/login/status/information"
FRESH = """
import django; django.setup()
from staffetta.site.accounts.models import Account
from staffetta.site.fleet.models import JumpClient
from staffetta.site.support.models import SessionReport
SessionReport.objects.all().delete()
JumpClient.objects.all().delete()
Account.objects.exclude(username="admin").delete()
"""


def steps(client: Client) -> list[tuple[str, str]]:
    """The steps on the page, each with its state."""
    return re.findall(r'data-step="(.*?)" data-state="(.*?)"', client.get(INFORMATION).content.decode())


@pytest.mark.req("S12", "C1", "F1")
def test_each_step_is_gone_when_done_and_the_list_when_only_a_pair_is_left(
    admin: Account, browser: Callable[..., Client], person: Callable[..., Account]
) -> None:
    client = browser(admin)
    page = client.get(INFORMATION).content.decode()
    assert wrong_when_swapped(page) == []
    links = re.findall(r'id="step-\w+" href="(.*?)"', page)
    assert links == ["/login/jump-clients/installers", "/login/users/new", "/login/management/failover"]
    assert all(client.get(link).status_code == 200 for link in links)
    everything = [("computer", "running"), ("representative", "later"), ("pair", "later")]
    assert steps(client) == everything
    person("paul", Allowed.VIEW_REPORTS)
    assert steps(client) == everything, "who may not start sessions is no representative"
    shop = enrolled("shop-1")
    assert steps(client) == [("representative", "running"), ("pair", "later")]
    SiteInstance.objects.update(role=Role.PRIMARY)
    assert steps(client) == [("representative", "running")]
    SiteInstance.objects.update(role=Role.BACKUP)
    assert steps(client) == [], "on a backup nothing of it can be done"
    assert 'id="role">backup: ' in client.get(INFORMATION).content.decode(), "and the page says that it is one"
    SiteInstance.objects.update(role=Role.ALONE)
    rita = person("rita", Allowed.START_SESSIONS)
    assert steps(client) == [], "a pair is only for those who want one"
    Account.objects.filter(pk=rita.pk).update(is_active=False)
    assert steps(client) == [("representative", "running"), ("pair", "later")]
    support.open_session(admin.pk, shop, "shell")
    assert steps(client) == [], "the administrator gives support alone"


@pytest.mark.req("S12")
def test_only_what_an_account_may_do_is_offered_to_it(
    browser: Callable[..., Client], person: Callable[..., Account]
) -> None:
    assert steps(browser(person("rita", Allowed.START_SESSIONS, Allowed.VIEW_REPORTS))) == []
    assert steps(browser(person("fred", Allowed.MODIFY_ALL_JUMP_CLIENTS))) == [("computer", "running")]
    assert steps(browser(person("anna", Allowed.MANAGE_FAILOVER))) == [], "a pair alone is no list"
    assert steps(browser(person("ulla", Allowed.MANAGE_USERS))) == [], (
        "there is the administrator besides her, and rita"
    )


@pytest.fixture
def fresh(migrated: Path, tmp_path: Path) -> Iterator[RunningSite]:
    """A site on which nothing has been done."""
    with running_site(migrated, tmp_path / "site") as site:
        run_site(site.folder, "-c", FRESH)
        yield site


@pytest.mark.live
@pytest.mark.browser
@pytest.mark.req("S5", "S12")
@pytest.mark.parametrize(
    ("scheme", "viewport", "locale"), [("light", WIDE, "en-GB"), ("dark", PHONE, "it-IT")], ids=["desk", "phone"]
)
def test_a_newcomer_goes_from_step_to_step(
    fresh: RunningSite, people: People, scheme: str, viewport: dict[str, int], locale: str
) -> None:
    window = people.arrive(fresh.url, color_scheme=scheme, viewport=viewport, locale=locale)
    window.sign_in("/login", "admin", PASSWORD)
    page = window.page
    page.locator("#first-steps").wait_for()
    window.assert_sound()
    page.locator("#step-representative").click()
    page.wait_for_url("**/login/users/new")
    page.locator("[name=username]").fill("rita")
    page.locator("[name=permissions][value=start_sessions]").check()
    page.locator("main form button[type=submit]").click()
    page.locator("#made-password").wait_for()
    window.open(INFORMATION)
    page.locator("#first-steps").wait_for()
    assert page.locator("#first-steps [data-step=representative]").count() == 0
    enrol = "import django; django.setup(); from own_site import enrolled; enrolled('shop-1')"
    run_site(fresh.folder, "-c", f"import sys; sys.path.append({str(Path(__file__).parent)!r}); {enrol}")
    page.locator("#first-steps").wait_for(state="detached")  # by itself
    window.assert_sound()
