"""Passive Jump Clients at the site: the mode of each, when one is expected, where it is woken, who was not seen."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from own_site import enrolled

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.models import Record
from staffetta.site.fleet import check_ins, service, updates
from staffetta.site.fleet.check_ins import WakePlace
from staffetta.site.fleet.errors import ClientUnknown
from staffetta.site.fleet.models import JumpClient, Presence, ServedVersion
from staffetta.wire.identity import SigningKey

pytestmark = [pytest.mark.django_db, pytest.mark.req("C4")]

SLEEPS = {"mode": "passive", "check_in_seconds": "3600", "wake_port": "5832"}


def _enrol(token: str, passive: bool | None = None) -> service.EnrolledClient:
    return service.enrol(token, SigningKey(os.urandom(32)).public, "till", {}, passive)


def _left(client: str, ago: timedelta, detail: dict[str, Any] = SLEEPS, address: str = "192.0.2.7") -> None:
    """A client that came, and left so long ago."""
    service.touch_online(client, True, "1.0", detail, address)
    service.touch_online(client, False)
    Presence.objects.filter(client_id=client).update(last_seen=utc_now() - ago)


@pytest.mark.parametrize(
    ("token", "asked", "becomes"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_the_token_decides_unless_the_installer_does(token: bool, asked: bool | None, becomes: bool) -> None:
    made = service.make_installer_token("admin", 2, 1, passive=token)
    client = _enrol(made.text, asked)
    assert client.passive is becomes
    assert JumpClient.objects.get(pk=client.id).passive is becomes
    assert service.authenticate_client(client.id).passive is becomes
    assert service.list_tokens()[0].passive is token


def test_a_passive_client_is_expected_an_interval_after_it_was_seen() -> None:
    client = enrolled("till")
    assert check_ins.of_passive(client) is None, "it is an active one"
    check_ins.set_mode("admin", client, passive=True)
    assert check_ins.of_passive(client) == check_ins.CheckIns(None, None, None)
    _left(client, timedelta(minutes=10))
    found = check_ins.of_passive(client)
    assert found is not None and found.last is not None and found.expected is not None
    assert found.expected - found.last == timedelta(hours=1)
    assert found.wake == WakePlace("192.0.2.7", 5832)
    (shown,) = service.list_clients()
    assert (shown.passive, shown.online, shown.next_check_in) == (True, False, found.expected)
    service.revoke_client("admin", client)
    assert check_ins.of_passive(client) is None
    (shown,) = service.list_clients(include_revoked=True)
    assert shown.next_check_in is None


@pytest.mark.parametrize("seconds", ["", "0", "-1", "1e3", "86401", "99999999999", "٣", 5, None])
def test_what_a_client_says_of_its_interval_is_never_believed_beyond_a_day(seconds: object) -> None:
    now = utc_now()
    assert check_ins.expected(now, {"check_in_seconds": seconds}) == now + timedelta(hours=24)


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("local", "5832"),
        ("", "5832"),
        ("example.net", "5832"),
        ("192.0.2.7", "0"),
        ("192.0.2.7", "65536"),
        ("192.0.2.7", "22 "),
        ("192.0.2.7", None),
    ],
)
def test_nobody_is_called_at_a_place_that_is_none(address: str, port: str | None) -> None:
    assert check_ins.wake_place(address, {"wake_port": port}) is None


def test_one_that_was_made_active_and_has_not_heard_of_it_is_still_waited_for() -> None:
    client = _enrol(service.make_installer_token("admin", 1, 1, passive=True).text).id
    _left(client, timedelta(minutes=10))
    check_ins.set_mode("admin", client, passive=False)
    found = check_ins.of_passive(client)
    assert found is not None and found.wake is not None
    _left(client, timedelta(minutes=1), {"mode": "active"})
    assert check_ins.of_passive(client) is None


def test_the_mode_is_changed_once_and_noted() -> None:
    client = enrolled("till")
    assert check_ins.modes([client, "unknown"]) == {client: False}
    assert check_ins.set_mode("ada", client, passive=True)
    assert not check_ins.set_mode("ada", client, passive=True)
    assert check_ins.modes([client]) == {client: True}
    assert Record.objects.filter(kind="audit", body__action="client.made-passive").count() == 1
    with pytest.raises(ClientUnknown):
        check_ins.set_mode("ada", "unknown", passive=True)
    service.revoke_client("ada", client)
    assert check_ins.modes([client]) == {}


@pytest.mark.req("C12")
def test_who_was_not_seen_since_the_sites_upgrade_is_listed_apart(
    browser: Callable[..., Client], admin: Account
) -> None:
    service.heartbeat("site-a", "1.0", [])
    check_ins.note_served("1.0.0")
    first = check_ins.served_since()
    check_ins.note_served("1.0.0")
    assert check_ins.served_since() == first, "noted once"
    asleep, late, here, gone, never = (enrolled(name) for name in ("asleep", "late", "here", "gone", "never"))
    check_ins.set_mode("admin", asleep, passive=True)
    check_ins.set_mode("admin", late, passive=True)
    _left(asleep, timedelta(minutes=10))
    _left(late, timedelta(days=2))
    _left(gone, timedelta(minutes=10))
    service.revoke_client("admin", gone)
    service.touch_online(here, True, "1.0")
    Presence.objects.filter(client_id=here).update(last_seen=utc_now() - timedelta(days=3))
    ServedVersion.objects.update(since=utc_now() - timedelta(hours=1))
    assert [one.name for one in service.list_not_seen()] == ["late", "never"]
    check_ins.note_served("2.0.0")
    assert [one.name for one in service.list_not_seen()] == ["asleep", "late", "never"]
    assert [one.id for one in service.list_not_seen(1)] == [asleep]
    assert (updates.progress(None).not_seen, updates.progress(None).passive) == (3, 2)
    client = browser(admin)
    found = json.loads(client.get("/login/jump-clients.json").content)
    assert found["counts"] | {"active": 2, "passive": 2, "not_seen_since_upgrade": 3} == found["counts"]
    rows = {one["name"]: one for one in found["clients"]}
    assert {name: row["seen_since_upgrade"] for name, row in rows.items()} == {
        "asleep": False, "late": False, "here": True, "gone": False, "never": False
    }  # fmt: skip
    assert rows["asleep"]["mode"] == "passive" and rows["here"]["mode"] == "active"
    assert rows["asleep"]["last_check_in"] == rows["asleep"]["last_seen"] < rows["asleep"]["next_check_in"]
    assert rows["here"]["last_check_in"] is rows["here"]["next_check_in"] is None
    page = client.get("/login/jump-clients").text
    apart = page[page.index('id="not-seen"') : page.index('id="clients"')]
    assert "(3)" in apart and "asleep" in apart and "never" in apart and "<td>here</td>" not in apart
    assert apart.count("overdue") == 1
    _left(asleep, timedelta(0))
    _left(late, timedelta(0))
    service.touch_online(never, True, "1.0")
    assert 'id="not-seen"' not in client.get("/login/jump-clients").text


def test_who_may_chooses_the_mode_in_the_pages(
    browser: Callable[..., Client], person: Callable[..., Account], admin: Account
) -> None:
    till = enrolled("till")
    rita, client = browser(person("rita", Allowed.START_SESSIONS)), browser(admin)
    assert rita.post(f"/login/jump-clients/{till}/mode", {"mode": "passive"}).status_code == 403
    assert client.get(f"/login/jump-clients/{till}/mode").status_code == 405
    assert "Make active" not in client.get("/login/jump-clients").text
    assert client.post(f"/login/jump-clients/{till}/mode", {"mode": "passive"}).status_code == 302
    page = client.get("/login/jump-clients").text
    assert "Make active" in page and "resting" in page
    assert client.post("/login/jump-clients/unknown/mode", {"mode": "passive"}).status_code == 404
    client.post(f"/login/jump-clients/{till}/mode", {"mode": "active"})
    assert check_ins.modes([till]) == {till: False}
    assert "made passive the Jump Client" in client.get("/login/audit-log").text
    made = client.post("/login/jump-clients/installers", {"uses": 1, "valid_hours": 1, "mode": "passive"}).text
    assert "They become passive Jump Clients" in made
    assert service.list_tokens()[0].passive
    wrong = client.post("/login/jump-clients/installers", {"uses": 1, "valid_hours": 1, "mode": "asleep"})
    assert wrong.text.count('role="alert"') == 1
