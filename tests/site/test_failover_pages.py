"""Management > Security and Management > Failover, and what a backup does not show."""

import re
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from staffetta.front.certificates import make_self_signed
from staffetta.kernel.clock import format_time
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.failover import identity, job_record, job_service, job_store, service
from staffetta.site.failover.job_errors import NothingNewer
from staffetta.site.failover.job_record import Targets
from staffetta.site.failover.models import Relationship
from staffetta.site.failover.rules import CheckName
from staffetta.wire import pair
from swapped import wrong_when_swapped

SECURITY = "/login/management/security"
FAILOVER = "/login/management/failover"


@pytest.fixture
def browser(admin: Account) -> Client:
    """The administrator, signed in."""
    client = Client()
    client.force_login(admin)
    return client


def become(role: Role) -> None:
    """This appliance's role, with a relationship that holds."""
    SiteInstance.objects.update(role=role)
    now = timezone.now()
    Relationship.objects.create(
        peer_origin="other", peer_key=b"k" * 32, peer_host="b.example.org", peer_port=443, own_host="a.example.org",
        own_port=443, peer_leaf="0" * 64, established_at=now, seen_at=now, looked_at=now,
    )  # fmt: skip


@pytest.mark.req("F1")
def test_the_key_is_generated_here_and_entered_there(browser: Client) -> None:
    assert "No key is set yet" in browser.get(SECURITY).content.decode()
    browser.post(f"{SECURITY}/generate")
    key = service.preshared_key()
    assert key is not None
    page = browser.get(SECURITY).content.decode()
    assert key in page
    assert f'id="key-fingerprint">{pair.key_fingerprint(key)}<' in page
    assert page.count(key) == 1, "nowhere but behind *Show the key*"
    refused = browser.post(SECURITY, {"key": "too short"})
    assert refused.status_code == 400
    assert service.preshared_key() == key, "a refused key changes nothing"
    assert browser.post(SECURITY, {"key": key.lower()}).status_code == 302
    assert service.preshared_key() == key


@pytest.mark.req("F1")
def test_the_page_is_not_configured_at_first_and_names_the_shared_host(browser: Client) -> None:
    page = browser.get(FAILOVER).content.decode()
    assert "Failover is not configured." in page
    assert "New backup site connection details" in page
    assert "Reverse connection details to this primary site" in page
    assert settings.STAFFETTA_SHARED_HOST in page


@pytest.mark.req("F1")
def test_each_failed_check_is_named_and_the_fields_keep_what_was_entered(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The certificate lies in an appliance's folder, and this site has none.
    monkeypatch.setattr(identity, "shown_leaf", lambda: (b"l" * 32, ("localhost",)))
    service.set_preshared_key(None, "admin")
    details = {"backup_host": "127.0.0.9", "backup_port": 9, "reverse_host": "127.0.0.8", "reverse_port": 9}
    answer = browser.post(f"{FAILOVER}/establish", details)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert 'data-check="backup-reached" data-state="failed"' in page
    named = re.findall(r'data-check="(.*?)" data-state="(.*?)"', page)
    assert {name for name, _ in named} == set(CheckName), "what was not looked at is named too"
    assert dict(named)["clocks"] == "later" and page.count("not looked at") == 8
    assert 'value="127.0.0.9"' in page
    shared = browser.post(f"{FAILOVER}/establish", {**details, "backup_host": settings.STAFFETTA_SHARED_HOST})
    assert 'data-check="not-the-shared-name" data-state="failed"' in shared.content.decode()
    monkeypatch.setattr(settings, "STAFFETTA_SHARED_ADDRESS", "127.0.0.7")
    monkeypatch.setattr(settings, "STAFFETTA_ADDRESSES", ("localhost:443", "127.0.0.7:443", "127.0.0.6:443"))
    assert 'value="127.0.0.6"' in browser.get(FAILOVER).content.decode(), "this appliance's own is filled in"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", ("127.0.0.7", 0))])
    for field, host in (("reverse_host", "127.0.0.7"), ("backup_host", "a-name-of-it.example.org")):
        shared = browser.post(f"{FAILOVER}/establish", {**details, field: host})
        assert 'data-check="not-the-shared-name" data-state="failed"' in shared.content.decode()
    wrong = browser.post(f"{FAILOVER}/establish", {**details, "backup_host": "not a host"})
    assert wrong.status_code == 400


@pytest.mark.req("F4")
def test_a_backup_says_whose_it_is_and_can_become_primary(browser: Client) -> None:
    become(Role.BACKUP)
    page = browser.get(FAILOVER).content.decode()
    assert "This appliance is the backup of b.example.org:443." in page
    assert "Pull a data-sync from b.example.org:443 while becoming primary" in page
    before, _, asked = (
        page.partition('id="become-primary"')[2].partition("</form>")[0].partition('<details class="confirm">')
    )
    assert "<button" not in before, "it asks first"
    assert "This appliance becomes the primary within" in asked and "both serve if the other one runs" in asked
    refused = browser.post(f"{FAILOVER}/become-primary", {"with_sync": "on"})
    assert refused.status_code == 503, "nobody answers there, so there is no last data-sync"
    assert SiteInstance.objects.get().role == Role.BACKUP
    assert browser.post(f"{FAILOVER}/become-primary", {}).status_code == 302
    assert SiteInstance.objects.get().role == Role.PRIMARY


@pytest.mark.req("F8", "H1")
def test_two_self_signed_certificates_are_warned_of_and_one_on_both_is_not(
    browser: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STAFFETTA_SITE_FOLDER", tmp_path)
    become(Role.PRIMARY)
    assert "two-certificates" not in browser.get(FAILOVER).content.decode(), "there is none to be seen"
    (tmp_path / "site.pem").write_bytes(make_self_signed(["localhost"], [], 10))
    assert 'id="two-certificates"' in browser.get(FAILOVER).content.decode()
    Relationship.objects.update(peer_leaf=identity.shown_leaf()[0].hex())
    assert "two-certificates" not in browser.get(FAILOVER).content.decode()


@pytest.mark.req("F4")
def test_a_break_keeps_the_details_for_the_next_time(browser: Client) -> None:
    become(Role.PRIMARY)
    browser.post(f"{FAILOVER}/break")
    assert SiteInstance.objects.get().role == Role.ALONE
    page = browser.get(FAILOVER).content.decode()
    assert 'value="b.example.org"' in page
    assert 'value="a.example.org"' in page


@pytest.mark.req("F3", "S5")
def test_what_is_replaced_every_few_seconds_keeps_the_focus_and_is_not_said_again(browser: Client) -> None:
    become(Role.PRIMARY)
    Relationship.objects.update(alarm="peer-silent")
    own = SiteInstance.objects.get().id
    job = job_record.begin("0" * 26, a=own, b="other", targets=Targets("1.2", None), actor="admin", now=timezone.now())
    job_store.add(job_record.step_done(job, "All good.", timezone.now()), None)
    for address in (FAILOVER, f"{FAILOVER}/jobs/{job.id}"):
        page = browser.get(address).content.decode()
        assert "data-announce" in page
        assert wrong_when_swapped(page) == [], address


@pytest.mark.req("F3", "S5")
def test_what_the_style_sheet_goes_by_is_the_same_in_every_language(browser: Client) -> None:
    become(Role.PRIMARY)
    for language in ("en", "it"):
        page = browser.get(FAILOVER, headers={"accept-language": language}).content.decode()
        assert f'<html lang="{language}">' in page
        assert set(re.findall(r'data-answers="(.*?)"', page)) <= {"own", "yes", "no"}
        assert 'data-answers="own"' in page and page.count("data-answers=") == 2


@pytest.mark.req("F2", "C5")
def test_a_backup_has_the_list_of_jump_clients_for_programs_and_for_spreadsheets(browser: Client) -> None:
    become(Role.BACKUP)
    for kind in ("json", "csv"):
        assert browser.get(f"/login/jump-clients.{kind}").status_code == 200


@pytest.mark.req("F2")
def test_pages_that_make_no_sense_on_a_backup_are_not_there(browser: Client) -> None:
    become(Role.BACKUP)
    page = browser.get("/login/status/information").content.decode()
    for gone in ("/login/users", "/login/files", "/login/jump-clients"):
        assert f'href="{gone}"' not in page
        assert browser.get(gone).status_code == 409
    for there in (FAILOVER, SECURITY, "/login/reports/sessions", "/login/audit-log"):
        assert f'href="{there}"' in page
        assert browser.get(there).status_code == 200
    assert Client().get("/login/users").status_code == 302, "a stranger is asked to sign in, and told nothing"


@pytest.mark.req("F2")
def test_who_came_by_the_backups_own_address_is_led_to_the_page_on_the_primary(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ALLOWED_HOSTS", ["a.example.org", "support.example.org"])
    become(Role.BACKUP)
    wanted = "/login/jump-clients?standing=behind"
    there = f'href="https://b.example.org{wanted}"'

    def refusal(host: str, path: str = wanted) -> str:
        answer = browser.get(path, headers={"host": host})
        assert answer.status_code == 409
        return answer.content.decode()

    assert "https://b.example.org" not in refusal("a.example.org"), "the other one is not heard to be the primary"
    Relationship.objects.update(peer_role=Role.PRIMARY)
    assert there in refusal("a.example.org") and there in refusal("a.example.org:443")
    assert "https://b.example.org" not in refusal("support.example.org"), "its next request finds the primary"
    sent = browser.post("/login/users/new", {"username": "late"}, headers={"host": "a.example.org"})
    assert sent.status_code == 409 and "https://b.example.org" not in sent.content.decode()


@pytest.mark.req("F1", "S12")
def test_only_who_manages_failover_may(person: Callable[..., Account]) -> None:
    client = Client()
    client.force_login(person("rita", Allowed.VIEW_REPORTS))
    for path in (SECURITY, FAILOVER, f"{FAILOVER}/upgrade"):
        assert client.get(path).status_code == 403
    for path in ("sync", "become-primary", "break", "establish", "upgrade", "upgrade/check"):
        assert client.post(f"{FAILOVER}/{path}").status_code == 403
    client.force_login(person("anna", Allowed.MANAGE_FAILOVER))
    assert client.get(FAILOVER).status_code == 200


@pytest.mark.req("F12")
def test_an_upgrade_that_cannot_be_is_explained_before_it_begins(browser: Client) -> None:
    become(Role.BACKUP)
    assert browser.post(f"{FAILOVER}/upgrade/check")["Location"] == f"{FAILOVER}/upgrade"
    page = browser.get(f"{FAILOVER}/upgrade")
    assert page.status_code == 409
    assert "begin the upgrade on the primary" in page.content.decode()


@pytest.mark.req("F12")
def test_that_both_run_the_newest_is_good_news_and_a_job_under_way_is_shown(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(Role.PRIMARY)

    def nothing_newer(wanted: str | None) -> None:
        raise NothingNewer("Both appliances run site 1.1, and nothing newer is on offer for both.")

    monkeypatch.setattr(job_service, "prepare", nothing_newer)
    page = browser.get(f"{FAILOVER}/upgrade")
    assert page.status_code == 200
    assert 'id="newest">Both appliances run site 1.1' in page.content.decode()
    assert 'id="problem"' not in page.content.decode()
    begun = job_record.begin("0" * 26, a="a", b="b", targets=Targets("1.2", None), actor="admin", now=timezone.now())
    job_store.add(begun, None)
    assert browser.get(f"{FAILOVER}/upgrade")["Location"] == f"{FAILOVER}/jobs/{begun.id}"


@pytest.mark.req("F3", "F4")
def test_the_pair_is_drawn_and_what_is_not_known_is_said(browser: Client) -> None:
    become(Role.PRIMARY)
    now = timezone.now()
    sync = {"finished_at": format_time(now - timedelta(seconds=4)), "records_behind": 3, "started_at": format_time(now)}
    Relationship.objects.update(
        peer_role="backup", peer_term=7, peer_version="1.1",
        peer_picture={"base_version": "2.0", "sync": sync, "suspended": True},
    )  # fmt: skip
    page = browser.get(FAILOVER, headers={"HX-Request": "true"}).content.decode()
    assert "style=" not in page and "<script" not in page, "the policy of the pages forbids them"
    left, _, right = page.partition('class="pair-link"')
    words = " ".join(re.sub(r"<[^>]+>", " ", left).split())
    assert "Traffic for localhost belongs here" in words and "a.example.org primary this appliance Site" in words
    assert "Base not known" in words, "this site runs without an appliance"
    words = " ".join(re.sub(r"<[^>]+>", " ", right).split())
    assert "catching up from a.example.org to the other 3 records behind last ended 4.0 s ago" in words
    assert "b.example.org backup automatic changes suspended ✓ answers Site 1.1 Base 2.0 Role term 7" in words
    assert "belongs here" not in words
    Relationship.objects.update(seen_at=now - timedelta(minutes=5))
    page = browser.get(FAILOVER).content.decode()
    assert 'data-sync="silent"' in page and "as the backup told last" in page
    assert 'data-answers="no"' in page and "has not answered since" in page
    Relationship.objects.update(seen_at=now, peer_role="primary", peer_term=SiteInstance.objects.get().role_term)
    assert "Where traffic for localhost belongs is not known" in browser.get(FAILOVER).content.decode()


@pytest.mark.req("F7")
def test_the_steps_of_a_job_are_a_timeline_with_evidence_to_open(browser: Client) -> None:
    become(Role.PRIMARY)
    began = timezone.now() - timedelta(seconds=100)
    own = SiteInstance.objects.get().id
    job = job_record.begin("0" * 26, a="other", b=own, targets=Targets("1.2", None), actor="admin", now=began)
    job = job_record.step_done(job, "All <good>.", began + timedelta(seconds=25))
    job = job_record.again(job, job.step, "The disk is full.", began + timedelta(seconds=50))
    job_store.add(job, None)
    page = browser.get(f"{FAILOVER}/jobs/{job.id}").content.decode()
    assert "style=" not in page
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "A b.example.org primary at the beginning B a.example.org backup at the beginning" in words
    steps = dict(re.findall(r'<li data-state="([a-z-]+)" data-step="([a-z-]+)"', page)[:2])
    assert steps == {"done": "preflight", "failed": "backup"}
    assert re.search(r'<details class="job-label" id="evidence-preflight-1" hx-preserve="true"><summary [^>]*>', page)
    assert '<div class="job-evidence">All &lt;good&gt;.</div>' in page
    assert re.search(r'id="evidence-backup-1" hx-preserve="true" open><summary [^>]*>Backup</summary>', page), (
        "what failed"
    )
    assert "evidence-backup-2" not in page, "a step under way has no evidence yet"
    places = [tuple(map(float, one)) for one in re.findall(r'job-span" x="([\d.]+)%" width="([\d.]+)%"', page)]
    assert places == [pytest.approx(one, abs=1.5) for one in ((0, 25), (25, 25), (50, 50))]
    assert page.count("job-axis") == page.count("data-step="), "each step has its place on the common axis"
