"""A pair's life with real appliances: its primary killed and back, the pair broken and joined, restarted, refused.

One world for all of it, at the older release; each test goes on where the one before has ended.
"""

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from browser.conftest import Window
from staffetta.lab.appliance import SITE_PORT
from staffetta.lab.asynchronous import Asynchronous
from staffetta.lab.pair import Member
from staffetta.lab.publisher import OLD, Publisher
from staffetta.lab.site import SiteAdministrator, Work
from staffetta.lab.window import open_browser
from staffetta.lab.world import LabFailure, wait_until
from worlds import a_story

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

CLIENTS = 3
CONFLICT = "failover.conflict"
CATCH_UP_SECONDS = 10.0
"""So long a session may still pause when it has been resumed at the backup."""
RIGHTS = {"A": ("start_sessions", "view_reports"), "B": ("start_sessions", "manage_files")}
"""What each appliance makes of the same technician's rights while the two know nothing of each other."""
ACCOUNTS = """
select account.id, username, codename from accounts_account as account
left join accounts_account_user_permissions as given on given.account_id = account.id
left join auth_permission on auth_permission.id = given.permission_id
"""


class Life(Asynchronous):
    """A pair at the older release."""

    apart: list[dict[str, Any]]
    """Sessions that ended while A was dead, their recordings not judged yet."""

    def publish(self) -> str:
        """The vendor has one release of each."""
        self.publisher = Publisher(self.world, self.options.cache)
        self.published = self.publisher.publish_older()
        return f"base and site {OLD} signed"


@pytest.fixture(scope="module")
def life() -> Iterator[Life]:
    with a_story(Life, CLIENTS) as story:
        for step in ("publish", "install", "establish", "enrol_clients"):
            began = time.monotonic()
            print(f"{step}: {getattr(story, step)()} ({time.monotonic() - began:.1f} s)")
        certificate = story.pair.certificate
        story.user("who is there", "weathervane", story.pair.url, "--certificate", certificate)
        story.user("pages", "poller", f"{story.pair.url}/login/", "--certificate", certificate)
        yield story
        story.pair.kill(*story.pair)  # nothing here needs a gentle end, which takes half a minute


@pytest.mark.req("F4", "F5", "F11", "S1")
def test_the_primary_is_killed_and_the_session_goes_on_at_the_backup(life: Life) -> None:
    a, b = life.pair
    kept, ended = life.technician.work_on("computer-1"), life.technician.work_on("computer-3")
    life.work.append(kept)
    workers = b.appliance.processes("site", "worker")
    are_back = [resumed(kept), resumed(ended)]
    for pid in workers:  # what comes now is on A alone
        os.kill(pid, signal.SIGSTOP)
    try:
        SiteAdministrator(a.appliance).sign_in()
        time.sleep(1)
        began = time.monotonic()
        life.pair.kill(a)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    life.seen = a.data().keys | b.data().keys
    assert a.data().keys - b.data().keys, "A must have had something that B had not"
    b.failover("become-primary", "--no-sync", "--yes")
    commanded = time.monotonic() - began
    for is_back in are_back:
        wait_until("both sessions to be resumed", is_back, 60)
    moved = time.monotonic() - began
    assert role(b) == "primary"
    wait_until("B to hold the shared address", lambda: b.shared_address() == "held", 60)
    time.sleep(1)
    account = ended.leave()
    life.apart = [account]
    pages, who = life.dismiss_users()[::-1]
    print(
        f"A killed: B primary after {commanded:.1f} s, sessions resumed after {moved:.1f} s; longest pause "
        f"{account['longest_pause_ms']:.0f} ms; no page for {pages['longest_gap_ms']:.0f} ms, "
        f"{pages['failed']} of {pages['requests']} requests failed"
    )
    assert (account["ended"], account["lost"], account["doubled"]) == (False, 0, 0)
    assert account["longest_pause_ms"] < (moved + CATCH_UP_SECONDS) * 1000
    assert len({turn["origin"] for turn in who["turns"]}) == len(who["turns"]) == 2


@pytest.mark.req("F4", "F5", "S2")
def test_the_old_primary_comes_back_as_the_backup_and_what_it_alone_had_is_joined(life: Life) -> None:
    a, b = life.pair
    began = time.monotonic()
    watch_who_is_there(life)
    life.pair.start()
    wait_until("A to be the backup", lambda: role(a) == "backup", 60)
    stepped = time.monotonic() - began
    a.appliance.wait_for_site()
    statuses = [one.status() for one in life.pair]
    assert [one["role"] for one in statuses] == ["backup", "primary"]
    assert statuses[0]["term"] == statuses[1]["term"]
    life.admin = SiteAdministrator(b.appliance, life.pair.url)
    life.admin.sign_in()
    session = life.work.pop().leave()
    life.apart.append(session)
    assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
    same(life)
    joined = time.monotonic() - began
    print(f"A started again: backup after {stepped:.1f} s, everything on both after {joined:.1f} s")
    for account in life.apart:
        work = Work(life.technician, account["computer"], life.world.start("nobody", ["true"]), life.world.folder)
        assert work.recording(life.admin, account["typed"]) == "complete"
    wait_until("A to have released the shared address", lambda: a.shared_address() == "released", 60)
    assert_only_b(life)


@pytest.mark.browser
@pytest.mark.req("F4", "S1")
def test_a_session_in_a_browser_goes_with_the_traffic_and_back(life: Life) -> None:
    a, b = life.pair
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        window = Window(browser.new_context().new_page(), life.pair.url)
        page = window.page
        window.sign_in("/login", "rita", life.technician.password)
        window.go("Remote computers")
        page.get_by_role("row").filter(has_text="computer-1").get_by_role("link", name="Start session").click()
        page.locator("#status[data-state=connected]").wait_for()
        rows = page.locator(".xterm-rows")

        def shown(text: str) -> bool:
            return text in rows.inner_text().replace("\u00a0", " ")

        for taker, giver in ((a, b), (b, a)):
            page.keyboard.type(f"echo to {taker.side}: half of it")
            taker.failover("become-primary", "--yes")
            page.keyboard.type(" and the re''st\n")
            wait_until("the answer", partial(shown, f"to {taker.side}: half of it and the rest"), 60)
            page.locator("#status[data-state=connected]").wait_for()
            wait_until("the giver to be the backup", lambda giver=giver: role(giver) == "backup", 60)  # type: ignore[misc]
            page.reload()  # over the connection that the browser keeps, whose other end is a backup now
            page.locator("#status[data-state=connected]").wait_for()
        browser.close()
    wait_until("A to have released the shared address", lambda: a.shared_address() == "released", 60)


@pytest.mark.req("F1", "F5", "F11")
def test_what_was_done_apart_is_joined_once_and_a_conflict_is_kept(life: Life) -> None:
    a, b = life.pair
    began = time.monotonic()
    b.failover("break", "--yes")
    assert [role(one) for one in life.pair] == ["alone", "alone"]
    for one, name in zip(life.pair, ("ada", "bert"), strict=True):
        admin = SiteAdministrator(one.appliance)
        admin.sign_in()
        admin.make_technician(name)
        set_rights(admin, "rita", RIGHTS[one.side])
    before = [one.data().keys for one in life.pair]
    assert before[0] - before[1]
    assert before[1] - before[0]
    life.seen = before[0] | before[1]
    established = time.monotonic()
    b.failover("establish", "--backup", a.endpoint(), "--reverse", b.endpoint(), "--yes")
    a.failover("sync-now", "--wait")
    same(life)
    print(
        f"broken, worked on both, joined: {time.monotonic() - began:.1f} s, "
        f"{time.monotonic() - established:.1f} s of that from establishing"
    )
    assert [role(one) for one in life.pair] == ["backup", "primary"]
    for one in life.pair:
        found = accounts(one)
        assert sorted(found) == ["ada", "admin", "bert", "rita"], one.side
        assert found["rita"] == set(RIGHTS["B"]), "the primary's holds"
        (conflict,) = [json.loads(record.body) for record in one.data().records if record.kind == CONFLICT]
        assert (conflict["kept"]["username"], conflict["lost"]["username"]) == ("rita", "rita")
        assert conflict["kept"] != conflict["lost"]
    life.admin = SiteAdministrator(b.appliance)
    life.admin.sign_in()
    assert "where both appliances had changed accounts.Account rita" in life.admin.browser.open("/login/audit-log")


@pytest.mark.req("F4", "U10", "S1")
def test_after_a_restart_of_both_the_roles_are_as_before_and_the_session_goes_on(life: Life) -> None:
    a, b = life.pair
    work = life.technician.work_on("computer-2")
    terms = [one.status()["term"] for one in life.pair]
    is_back = resumed(work)
    began = time.monotonic()
    life.pair.kill(a, b)
    life.pair.start()
    wait_until("the session to be resumed", is_back, 90)
    back = time.monotonic() - began
    watch_who_is_there(life)
    for one in life.pair:
        one.appliance.wait_for_site()
    statuses = [one.status() for one in life.pair]
    assert [one["role"] for one in statuses] == ["backup", "primary"]
    assert [one["term"] for one in statuses] == terms
    life.admin = SiteAdministrator(b.appliance, life.pair.url)
    life.admin.sign_in()
    session = work.finish(life.admin)
    print(f"both restarted: session resumed after {back:.1f} s, longest pause {session['longest_pause_ms']:.0f} ms")
    assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
    assert session["recording"] == "complete"
    wait_until("B to hold the shared address", lambda: b.shared_address() == "held", 60)
    wait_until("A to have released the shared address", lambda: a.shared_address() == "released", 60)
    same(life)
    assert_only_b(life)


@pytest.mark.req("F1", "F3")
def test_another_key_and_the_shared_name_are_refused_by_name(life: Life) -> None:
    a, b = life.pair
    b.failover("break", "--yes")
    shared = f"{life.pair.address}:{SITE_PORT}"
    for backup, reverse in ((shared, b.endpoint()), (a.endpoint(), shared)):
        words = refused(b, backup, reverse)
        assert "FAILED  not-the-shared-name" in words
        assert shared in words
    a.failover("key", "--generate")
    words = refused(b, a.endpoint(), b.endpoint())
    assert [line.split()[1] for line in words.splitlines() if line.startswith("FAILED")] == ["same-key:"]
    assert [role(one) for one in life.pair] == ["alone", "alone"]


def role(member: Member) -> str:
    """The role that the appliance says it has."""
    return str(member.status()["role"])


def resumed(work: Work) -> Callable[[], bool]:
    """Whether the session has been resumed since now."""
    before = sum(note["event"] == "resumed" for note in work.noted())
    return lambda: sum(note["event"] == "resumed" for note in work.noted()) > before


def same(life: Life) -> None:
    """Both hold the same records and recordings, each once, and nothing that was seen before is lost."""
    for name, found in life.pair.same(life.seen).items():
        wrong = {key: found.get(key, 0) for key in ("only_a", "only_b", "doubled", "lost")}
        assert not any(wrong.values()), f"{name}: {found}"
        assert found["a"] > 0, f"{name}: nothing was compared"


def watch_who_is_there(life: Life) -> None:
    life.user("who is there", "weathervane", life.pair.url, "--certificate", life.pair.certificate)


def assert_only_b(life: Life) -> None:
    """Nobody but the primary, B, has answered at the shared address since the weathervane was put up."""
    (who,) = life.dismiss_users()
    assert who["requests"] > 20
    assert [turn["origin"] for turn in who["turns"]] == [life.pair.b.status()["origin"]], who


def refused(member: Member, backup: str, reverse: str) -> str:
    with pytest.raises(LabFailure) as caught:
        member.failover("establish", "--backup", backup, "--reverse", reverse, "--yes")
    return caught.value.message


def accounts(member: Member) -> dict[str, set[str]]:
    """Every account on the appliance's disk, with its rights; a backup has no page that shows them."""
    path = f"file:{member.appliance.folder}/site/site.sqlite3?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True)) as database:
        rows = database.execute(ACCOUNTS).fetchall()
    names = [name for _, name, _ in dict.fromkeys((key, name, "") for key, name, _ in rows)]
    assert len(names) == len(set(names)), names
    return {name: {right for _, whose, right in rows if whose == name and right} for name in names}


def set_rights(admin: SiteAdministrator, name: str, permissions: tuple[str, ...]) -> None:
    admin.browser.open("/login/users")
    (link,) = [one for one in admin.browser.select("td a[href]") if one.get_text(strip=True) == name]
    admin.browser.open(link["href"])
    admin.browser.submit("form:has(input[name=permissions])", {"permissions": permissions})
