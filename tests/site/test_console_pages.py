"""The console's pages as the server makes them: who may, what the list finds and how fast, the browser's credential."""

import json
import os
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from own_site import enrolled

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import identity
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.records import current_incarnation
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.models import GatewayProcess, JumpClient, Presence
from staffetta.site.support import service as support
from staffetta.wire.fields import to_base64url
from staffetta.wire.identity import SigningKey
from staffetta.wire.signed import CREDENTIAL_LIFE, read_credential

pytestmark = [pytest.mark.django_db, pytest.mark.req("S1", "S5")]

LIST = "/login/console"
CREDENTIAL = "/login/console/credential.json"
Person = Callable[..., Account]
Browser = Callable[..., Client]


@pytest.fixture
def rita(person: Person) -> Account:
    return person("rita", Allowed.START_SESSIONS)


def online(client: str) -> None:
    fleet.heartbeat("site-1", "1.0", [])
    fleet.touch_online(client, True, "1.0.0")


def asked_with(key: SigningKey) -> str:
    return json.dumps({"public_key": to_base64url(key.public)})


def test_only_who_may_start_sessions_has_the_console(person: Person, browser: Browser, rita: Account) -> None:
    client = enrolled("front desk")
    paths = (LIST, f"{LIST}/begin/{client}/shell", f"{LIST}/begin/{client}/files")
    otto = browser(person("otto", Allowed.VIEW_REPORTS))
    assert f'href="{LIST}"' not in otto.get("/login/status/information").content.decode()
    for path in paths:
        assert otto.get(path).status_code == 403
        assert browser().get(path).status_code == 302
        assert browser(rita).get(path).status_code == 200
    assert otto.post(CREDENTIAL, asked_with(SigningKey(os.urandom(32))), "application/json").status_code == 403
    assert browser().post(CREDENTIAL, "{}", "application/json").status_code == 401
    assert f'href="{LIST}"' in browser(rita).get("/login/status/information").content.decode()


@pytest.mark.req("F2")
def test_a_backup_has_no_console(browser: Browser, rita: Account) -> None:
    identity.ensure()
    SiteInstance.objects.update(role="backup")
    page = browser(rita)
    assert "Remote computers" not in page.get("/login/status/information").content.decode()
    assert page.get(LIST).status_code == 409
    assert page.post(CREDENTIAL, asked_with(SigningKey(os.urandom(32))), "application/json").status_code == 409


def test_the_browser_gets_what_a_terminals_console_gets(browser: Browser, rita: Account) -> None:
    key = SigningKey(os.urandom(32))
    answer = browser(rita).post(CREDENTIAL, asked_with(key), "application/json")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    made = answer.json()
    credential = read_credential(made["credential"], identity.site_identity().public, utc_now())
    assert (credential.rep, credential.name, credential.key) == (rita.id, "rita", key.public)
    assert made["expires"] == credential.exp
    assert abs(credential.exp - (utc_now() + CREDENTIAL_LIFE).timestamp()) < 60
    log = browser(Account.objects.get(username="admin")).get("/login/audit-log").content.decode()
    assert "opened the console in a browser as" in log


@pytest.mark.parametrize("body", ["", "{}", '{"public_key": "AAAA"}', '{"public_key": 5}', "[]"])
def test_what_is_no_key_is_refused(browser: Browser, rita: Account, body: str) -> None:
    answer = browser(rita).post(CREDENTIAL, body, "application/json")
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_another_sites_form_gets_no_credential(browser: Browser, rita: Account) -> None:
    page = browser(rita, enforce_csrf_checks=True)
    assert page.post(CREDENTIAL, asked_with(SigningKey(os.urandom(32))), "application/json").status_code == 403


def test_a_disabled_rep_is_out_whatever_the_browser_holds(browser: Browser, rita: Account, admin: Account) -> None:
    page = browser(rita)
    assert page.post(CREDENTIAL, asked_with(SigningKey(os.urandom(32))), "application/json").status_code == 200
    accounts.disable(admin, rita.id)
    assert not accounts.may(rita.id, Allowed.START_SESSIONS)  # what the gateway asks at every hello and attach
    assert page.post(CREDENTIAL, asked_with(SigningKey(os.urandom(32))), "application/json").status_code == 401


def test_the_list_finds_by_name_and_by_who_is_online(browser: Browser, rita: Account) -> None:
    here, away = enrolled("front desk"), enrolled("back office")
    online(here)
    page = browser(rita)
    everything = page.get(LIST).content.decode()
    assert f"/begin/{here}/shell" in everything
    assert "back office" in everything
    assert f"/begin/{away}/" not in everything, "a session with a computer that is away"
    assert "back office" not in page.get(LIST, {"online": "yes"}).content.decode()
    assert "front desk" not in page.get(LIST, {"search": "OFFICE"}).content.decode()
    assert "No computer matches." in page.get(LIST, {"search": "nobody"}).content.decode()
    fleet.touch_online(here, False)
    seen = page.get(LIST).content.decode()
    assert re.search(r'<time datetime="\d{4}-\d\d-\d\dT[\d:.]+\+00:00">', seen)
    part = page.get(LIST, headers={"HX-Request": "true"}).content.decode()
    assert "front desk" in part
    assert "<html" not in part
    assert 'name="search"' not in part, "what is typed would be lost"


def test_a_session_is_the_reps_own(person: Person, browser: Browser, rita: Account) -> None:
    client = enrolled("front desk")
    opened = support.open_session(rita.id, client, "shell")
    page = browser(rita).get(f"{LIST}/sessions/{opened.id}")
    assert page.status_code == 200
    assert "front desk" in page.content.decode()
    assert browser(person("tom", Allowed.START_SESSIONS)).get(f"{LIST}/sessions/{opened.id}").status_code == 404
    support.end_session(opened.id, "exit")
    over = browser(rita).get(f"{LIST}/sessions/{opened.id}").content.decode()
    assert "This session ended at" in over
    assert "session_page.js" not in over


def test_a_sessions_page_allows_its_gateways_and_one_nonce_more_than_every_page(
    browser: Browser, rita: Account
) -> None:
    client = enrolled("front desk")
    page = browser(rita)
    address = f"{LIST}/begin/{client}/shell"
    policies = [
        page.get(address, headers={"Host": "localhost:444"}).headers["Content-Security-Policy"] for _ in range(2)
    ]
    usual = page.get(LIST).headers["Content-Security-Policy"]
    nonces = [re.search(r"'nonce-([\w-]{20,})'", policy) for policy in policies]
    assert nonces[0] and nonces[1]
    assert nonces[0][1] != nonces[1][1]
    more = policies[0].removeprefix(usual)
    gateways = "wss://localhost:444 wss://localhost:8443"
    assert more == f"; style-src 'self' 'nonce-{nonces[0][1]}'; connect-src 'self' {gateways}"
    assert "unsafe" not in policies[0]


@pytest.mark.parametrize("path", ["begin/nobody/shell", "begin/{client}/screen"])
def test_there_is_no_page_for_what_cannot_be_begun(browser: Browser, rita: Account, path: str) -> None:
    client = enrolled("front desk")
    assert browser(rita).get(f"{LIST}/{path.format(client=client)}").status_code == 404


MANY = 10_000


ASKED = ({}, {"search": "0004"}, {"online": "yes"}, {"page": "2"}, {"search": "linux", "online": "yes"})


def test_the_list_of_ten_thousand_computers_reads_as_few_rows_as_that_of_sixty(browser: Browser, rita: Account) -> None:
    page = browser(rita)
    fill(0, 60)
    few = [len(queries_of(page, wanted)) for wanted in ASKED]
    fill(60, MANY)
    many = [queries_of(page, wanted) for wanted in ASKED]
    assert [len(queries) for queries in many] == few
    (read,) = {query for query in many[-1] if "LIMIT" in query and "fleet_jumpclient" in query}
    assert "LIMIT 50" in read


def queries_of(page: Client, wanted: dict[str, str]) -> list[str]:
    """The queries of one look at the list, which shows a page of it at most."""
    with CaptureQueriesContext(connection) as queries:
        answer = page.get(LIST, wanted)
    assert answer.status_code == 200
    assert 0 < answer.content.count(b"<tr>") <= 51
    return [str(query["sql"]) for query in queries]


def fill(first: int, end: int) -> None:
    """Computers with these numbers, half of them online."""
    now = utc_now()
    GatewayProcess.objects.update_or_create(
        pk=current_incarnation(),
        defaults={"generation": "site-1", "version": "1.0", "beat_at": now + timedelta(hours=1), "reps": []},
    )
    JumpClient.objects.bulk_create(
        [
            JumpClient(
                id=f"client{index:05}",
                name=f"computer {index * 7919 % MANY:05}",
                public_key=index.to_bytes(32, "big"),
                platform={"system": "Linux", "release": "6.1"},
                enrolled_at=now,
                enrolled_by_token="token",
            )
            for index in range(first, end)
        ],
        batch_size=500,
    )
    Presence.objects.bulk_create(
        [
            Presence(
                client_id=f"client{index:05}",
                online=index % 2 == 0,
                holder=current_incarnation(),
                version="1.0.0",
                last_seen=now,
                detail={},
            )
            for index in range(first, end)
        ],
        batch_size=500,
    )
