"""`/login` in Italian: every page, with things on it, says nothing past the catalogue."""

import ast
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone, translation
from own_site import body_of, enrolled
from told_fleet import NAMES, WANTED, tell_fleet

import staffetta.site
from languages import bracketed, unsaid
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.failover import identity, job_record, job_service, job_store, service
from staffetta.site.failover.job_errors import NothingNewer
from staffetta.site.failover.job_record import PairJobRecord, Targets
from staffetta.site.failover.models import Relationship, SyncState
from staffetta.site.failover.preflight import Check
from staffetta.site.fleet import bundle, check_ins, updates
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.standing import Standing
from staffetta.site.management.audit_log import DETAILS
from staffetta.site.support import service as support
from staffetta.site.support.models import SessionSegment
from staffetta.ui.sentences import say
from staffetta.wire.notes import Direction, Transferred

DATA: Final = (
    "admin", "rita", "till-3", "cellar", "gone-9", "Linux", "prices.csv", "/srv/prices.csv", "log",
    "testserver", "localhost", "/var/log/syslog", "b.example.org", "a.example.org", "site",
    "other", "nobody", "support.example.org", *NAMES.values(),
)  # fmt: skip
MANAGEMENT: Final = "/login/management"
ITALIAN: Final = "it"


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def marked() -> Iterator[None]:
    with bracketed():
        yield


@pytest.fixture
def italian(admin: Account) -> Client:
    """The administrator, whose browser prefers Italian."""
    client = Client(headers={"accept-language": ITALIAN, "x-forwarded-proto": "https"})
    client.force_login(admin)
    return client


@pytest.fixture
def furnished(admin: Account, person: Callable[..., Account]) -> dict[str, str]:
    """A site with computers, tokens, sessions of both kinds, a file and users; returns ids by name."""
    person("rita", Allowed.START_SESSIONS, Allowed.VIEW_REPORTS)
    till, cellar, gone = enrolled("till-3"), enrolled("cellar"), enrolled("gone-9")
    fleet.revoke_client("admin", gone)
    check_ins.set_mode("admin", cellar, passive=True)
    fleet.make_installer_token("admin", 2, 24, passive=True)
    session = support.open_session(admin.pk, till, "shell").id
    now = timezone.now()
    for counter in (1, 2):
        for end in ("console", "jump-client"):
            support.note_attached(session, end, counter, "site-aaaaaaaaaaaaaaaaaaaaaaaaaa", "1.0", now)
    support.note_detached(session, "console", 2, now, "nothing heard for two seconds")
    support.end_session(session, "silent")
    files = support.open_session(admin.pk, till, "files").id
    support.note_transfer(
        files,
        "console",
        Transferred(1, Direction.SEND, "prices.csv", "stored", "/srv/prices.csv", 1_500_000, bytes(32)),
        now,
    )
    support.note_transfer(files, "console", Transferred(2, Direction.FETCH, "log", "no-such-file"), now)
    running = support.open_session(admin.pk, till, "shell").id
    return {"session": session, "files": files, "running": running, "till": till}


def paired(role: Role) -> None:
    """This appliance's role, in a relationship that holds."""
    SiteInstance.objects.update(role=role)
    now = timezone.now()
    Relationship.objects.create(
        peer_origin="other", peer_key=b"k" * 32, peer_host="b.example.org", peer_port=443, own_host="a.example.org",
        own_port=443, peer_leaf="0" * 64, established_at=now, seen_at=now, looked_at=now,
        alarm="silent",
    )  # fmt: skip
    SyncState.objects.update_or_create(only=True, defaults={"error": "The peer has not become the backup yet."})


@pytest.mark.req("S5")
def test_no_page_has_a_word_past_the_catalogue(
    italian: Client, furnished: dict[str, str], monkeypatch: pytest.MonkeyPatch, marked: None
) -> None:
    italian.post("/login/files/upload", {"file": SimpleUploadedFile("prices.csv", b"1,2\n")})
    tell_fleet()
    monkeypatch.setattr(bundle, "version_handed_out", lambda: WANTED)
    bar = text_of(italian.get("/login/jump-clients")).partition('class="fleet-bar"')[2].partition("</svg>")[0]
    assert all(f'data-standing="{standing}"' in bar for standing in Standing)
    updates.hold("pair upgrade 7")
    addresses = (
        "status/information", "my-account", "jump-clients", "jump-clients?search=nobody", "jump-clients/installers",
        *(f"jump-clients?standing={standing}" for standing in Standing), "jump-clients/upgrades",
        "users", "users/new", "reports/sessions", "reports/sessions?since=yesterday",
        "reports/sessions?rep=nobody", "files", "management/security", "management/failover", "audit-log",
        "audit-log?search=nobody", "change-password", "console", "console?search=nobody",
        f"reports/sessions/{furnished['session']}", f"reports/sessions/{furnished['files']}",
        f"reports/sessions/{furnished['running']}",
        f"console/begin/{furnished['till']}/shell", f"console/begin/{furnished['till']}/files",
        f"console/sessions/{furnished['session']}", f"console/sessions/{furnished['running']}",
        f"users/{Account.objects.get(username='rita').pk}", "nothing-here",
    )  # fmt: skip
    found = {}
    for address in addresses:
        answer = italian.get(f"/login/{address}")
        page = text_of(answer)
        assert '<html lang="it">' in page, address
        found[address] = [answer.status_code, *unsaid(page, DATA)]
    wrong = {address: said for address, said in found.items() if said not in ([200], [404])}
    assert wrong == {}, "\n".join(f"{one}: {said}" for one, said in wrong.items())
    assert [address for address, said in found.items() if said == [404]] == ["nothing-here"]


@pytest.mark.req("S5")
def test_a_pair_and_its_job_have_none_either(
    italian: Client, furnished: dict[str, str], monkeypatch: pytest.MonkeyPatch, marked: None
) -> None:
    monkeypatch.setattr(identity, "shown_leaf", lambda: (b"l" * 32, ("localhost",)))
    failover = f"{MANAGEMENT}/failover"
    italian.post(f"{MANAGEMENT}/security/generate")
    assert unsaid(text_of(italian.get(f"{MANAGEMENT}/security")), (str(service.preshared_key()), *DATA)) == []
    assert (
        unsaid(
            text_of(italian.post(f"{MANAGEMENT}/security", {"key": "nein"})),
            ("nein", str(service.preshared_key()), *DATA),
        )
        == []
    )
    details = {"backup_host": "127.0.0.9", "backup_port": 9, "reverse_host": "127.0.0.8", "reverse_port": 9}
    for wrong in (
        {},
        {"backup_host": "not a host"},
        {"backup_host": settings.STAFFETTA_SHARED_HOST},
        {"backup_port": "x"},
    ):
        page = text_of(italian.post(f"{failover}/establish", {**details, **wrong}))
        assert unsaid(page, ("not a host", *DATA)) == [], wrong
    paired(Role.PRIMARY)
    assert unsaid(text_of(italian.get(failover)), DATA) == []

    checks = (
        Check("clocks", True, "The clocks differ by 0.2 s."),
        Check("grant on B", False, "An administrator of b.example.org must permit the pair upgrade again."),
    )
    begun = job_record.begin(
        "0" * 26, a="a.example.org", b="b.example.org", targets=Targets("1.2", "1.1"), actor="admin", now=timezone.now()
    )
    monkeypatch.setattr(job_service, "prepare", lambda wanted: (begun, checks))
    assert unsaid(text_of(italian.get(f"{failover}/upgrade")), DATA) == []

    def nothing_newer(wanted: str | None) -> None:
        raise NothingNewer(
            "Both appliances run site 1.1, and nothing newer is on offer for both. Checked 2026-11-24 05:48 UTC."
        )

    monkeypatch.setattr(job_service, "prepare", nothing_newer)
    assert unsaid(text_of(italian.get(f"{failover}/upgrade")), DATA) == []
    job_store.add(begun, None)
    for job in jobs_of(begun):
        monkeypatch.setattr(job_service, "job", lambda _, job=job: job)
        monkeypatch.setattr(job_service, "jobs", lambda _, job=job: [job])
        assert unsaid(text_of(italian.get(f"{failover}/jobs/{begun.id}")), DATA) == []
        assert unsaid(text_of(italian.get(failover)), DATA) == []

    SiteInstance.objects.update(role=Role.BACKUP)
    for address in (failover, f"{failover}/upgrade", "/login/users", "/login/status/information"):
        assert unsaid(text_of(italian.get(address)), DATA) == [], address
    assert unsaid(text_of(italian.post(f"{failover}/become-primary", {"with_sync": "on"})), DATA) == []


def jobs_of(begun: PairJobRecord) -> Iterator[PairJobRecord]:
    """The job in its states, with sentences of its plan."""
    now = timezone.now() + timedelta(seconds=3)
    done = job_record.step_done(begun, "12 checks passed. Sessions live now: 3.", now)
    yield from (begun, done)
    yield job_record.held_up(done, "Appliance B has not answered for 9 s, at backup. it does not answer in time")
    yield job_record.pause(done, "rita")
    yield job_record.undo(done, "Both appliances are primary (a.example.org term 3, b.example.org term 4).", now)
    yield job_record.give_up(begun, "Clients keep their version until both appliances have it.")


@pytest.mark.req("S5")
def test_what_is_done_and_refused_has_none_either(italian: Client, furnished: dict[str, str], marked: None) -> None:
    rita = Account.objects.get(username="rita").pk
    for address, form in (
        ("jump-clients/installers", {"uses": 2, "valid_hours": 2, "mode": "passive"}),
        ("jump-clients/installers", {"uses": 0, "valid_hours": "x"}),
        ("jump-clients/upgrades", {"simultaneous": 0}),
        (f"jump-clients/{furnished['till']}/mode", {"mode": "passive"}),
        (f"jump-clients/{furnished['till']}/revoke", {}),
        (f"jump-clients/{furnished['till']}/delete", {}),
        ("jump-clients/nobody/delete", {}),
        ("users/new", {"username": "rita"}),
        ("users/new", {"username": ""}),
        ("users/new", {"username": "nobody", "permissions": ["view_reports"]}),
        (f"users/{rita}", {"permissions": ["bogus"]}),
        (f"users/{rita}/disable", {}),
        (f"users/{rita}", {"permissions": ["view_reports"]}),
        (f"users/{Account.objects.get(username='admin').pk}/disable", {}),
        (f"users/{rita}/reset-password", {}),
        ("files/upload", {}),
        ("my-account/sign-out-elsewhere", {}),
        ("change-password", {"old_password": "x", "new_password1": "abc", "new_password2": "abd"}),
    ):
        page = text_of(italian.post(f"/login/{address}", form, follow=True))
        # a token and a password are shown once; they are no words
        secrets = (*(part for part in page.split('"') if part.startswith("staffetta-")), "bogus", *shown_once(page))
        assert unsaid(page, (*secrets, *DATA)) == [], address


def shown_once(page: str) -> list[str]:
    """What a page shows this once: between the tags of `shown-once`."""
    return [part.partition("<")[0] for part in page.split('data-one-time-password="')[1:]]


@pytest.mark.req("S5")
def test_an_error_a_number_and_a_time_are_said_in_italian(italian: Client, furnished: dict[str, str]) -> None:
    refused = italian.post("/login/users/new", {"username": "rita"})
    assert "Esiste già un account con questo nome utente." in text_of(refused)
    italian.post("/login/files/upload", {"file": SimpleUploadedFile("prices.csv", b"1" * 1500)})
    page = text_of(italian.get("/login/files"))
    assert "1 file, 1,5 KB" in page
    assert "3 sessioni" in text_of(italian.get("/login/reports/sessions"))
    assert "1 sessione" in text_of(italian.get("/login/reports/sessions?kind=files"))
    assert timezone.localtime().strftime("%d/%m/%Y") in text_of(italian.get("/login/audit-log"))
    missing = italian.post("/login/jump-clients/nobody/delete")
    assert missing.status_code == 404
    assert "Questo Jump Client non esiste." in text_of(missing)


@pytest.mark.req("S5")
def test_a_recording_tells_in_italian_what_is_missing(italian: Client, admin: Account) -> None:
    with translation.override("it"):
        said = say("3 pieces of what the computer showed are missing")
    assert said == "Mancano 3 parti di ciò che il computer ha mostrato"
    session = support.open_session(admin.pk, enrolled("till-3"), "shell").id
    support.end_session(session, "console")
    SessionSegment.objects.create(report_id=session, sha256="0" * 64, size=1, sealed_at=timezone.now())
    lines = body_of(italian.get(f"/login/reports/sessions/{session}/recording.cast")).decode()
    assert "segmenti mancanti o danneggiati: 1 su 1" in lines


@pytest.mark.req("S5")
def test_every_detail_that_an_act_notes_has_a_word() -> None:
    noted = set()
    for path in Path(staffetta.site.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            match call:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="audit"), attr="note")):
                    noted |= {
                        key.value for part in ast.walk(call) if isinstance(part, ast.Dict)
                        for key in part.keys if isinstance(key, ast.Constant)
                    }  # fmt: skip
    assert len(noted) > 10
    assert noted - DETAILS.keys() == set()
