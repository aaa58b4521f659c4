"""Jump Clients: installer tokens, enrolment, revocation, who is online, and the pages of it."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from own_site import enrolled

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import identity, records
from staffetta.site.data.models import Record
from staffetta.site.fleet import check_ins, presence, service
from staffetta.site.fleet.errors import BadToken, ClientRevoked, ClientUnknown, EnrolmentRefused, TokenUnknown
from staffetta.site.fleet.models import GatewayProcess, InstallerToken, JumpClient
from staffetta.site.management import audit_log
from staffetta.wire.enrolment import parse_installer_token
from staffetta.wire.identity import SigningKey

pytestmark = pytest.mark.django_db


def _key() -> bytes:
    return SigningKey(os.urandom(32)).public


def _refusal(token: str, key: bytes | None = None, name: str = "computer") -> str:
    with pytest.raises(EnrolmentRefused) as refused:
        service.enrol(token, _key() if key is None else key, name, {})
    return refused.value.reason


def test_a_token_names_the_site_and_its_secret_is_stored_nowhere(settings: Any) -> None:
    settings.STAFFETTA_ADDRESSES = ("site.example:443", "192.0.2.1:8443")
    made = service.make_installer_token("admin", 1, 1)
    parsed = parse_installer_token(made.text)
    assert parsed.site_key == identity.site_identity().public
    assert parsed.addresses == settings.STAFFETTA_ADDRESSES
    assert made.text not in repr(made)
    stored = str(InstallerToken.objects.values()) + str(Record.objects.values())
    assert parsed.secret.hex() not in stored and made.text not in stored


def test_a_computer_enrols_and_is_known_by_its_key() -> None:
    key = _key()
    token = service.make_installer_token("admin", 1, 1)
    client = service.enrol(token.text, key, "  till  7 ", {"system": "Linux"})
    assert client.name == "till 7"
    who = service.authenticate_client(client.id)
    assert (who.id, who.name, who.public_key) == (client.id, "till 7", key)
    assert Record.objects.filter(kind="fleet.client-enrolled", body__client=client.id).count() == 1


@pytest.mark.req("S5")
def test_the_audit_log_tells_once_which_computer_was_enrolled_and_who_had_made_the_token() -> None:
    key, token = _key(), service.make_installer_token("anna", 2, 1, passive=True)
    client = service.enrol(token.text, key, "till", {})
    service.enrol(token.text, key, "till", {})  # its answer was lost
    assert _refusal(token.text, b"no key") == "key-bad"
    (entry,) = [one for one in audit_log.entries() if one.action == "client.enrolled"]
    assert (entry.who, str(entry.words), entry.about) == ("installer token", "enrolled the Jump Client", "till")
    assert entry.detail == {"client": client.id, "token": token.id, "made_by": "anna", "passive": True}


def test_asking_again_with_the_same_token_and_key_counts_once() -> None:
    key, token = _key(), service.make_installer_token("admin", 1, 1)
    first = service.enrol(token.text, key, "till", {})
    assert service.enrol(token.text, key, "till", {}) == first
    assert InstallerToken.objects.get().uses == 1
    other = service.make_installer_token("admin", 1, 1)
    assert _refusal(other.text, key) == "key-known"


def test_a_token_is_used_up_expires_and_is_revoked() -> None:
    token = service.make_installer_token("admin", 2, 1)
    for _ in range(2):
        service.enrol(token.text, _key(), "till", {})
    assert _refusal(token.text) == "token-used-up"
    expired = service.make_installer_token("admin", 1, 1)
    InstallerToken.objects.filter(pk=expired.id).update(expires_at=utc_now())
    assert _refusal(expired.text) == "token-expired"
    revoked = service.make_installer_token("admin", 1, 1)
    service.revoke_token("admin", revoked.id)
    assert _refusal(revoked.text) == "token-revoked"
    assert JumpClient.objects.count() == 2
    assert [token.usable for token in service.list_tokens()] == [False] * 3


def test_what_is_no_token_of_this_site_is_refused() -> None:
    foreign = service.make_installer_token("admin", 1, 1)
    InstallerToken.objects.all().delete()
    assert _refusal(foreign.text) == "token-unknown"
    for text in ("", "stf1.", "stf1.AAAA", "hello", "stf1." + "A" * 20_000):
        assert _refusal(text) == "token-unknown"


@pytest.mark.parametrize("key", [b"", b"short", bytes(33)])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    assert _refusal(service.make_installer_token("admin", 1, 1).text, key) == "key-bad"


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x00b"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    token = service.make_installer_token("admin", 1, 1)
    assert _refusal(token.text, name=name) == "name-bad"
    assert InstallerToken.objects.get().uses == 0


@pytest.mark.parametrize(("uses", "hours"), [(0, 1), (1, 0), (-1, 1), (10**9, 1), (1, 10**9)])
def test_limits_out_of_range_are_refused(uses: int, hours: int) -> None:
    with pytest.raises(BadToken):
        service.make_installer_token("admin", uses, hours)


def test_revoked_and_deleted_clients_are_let_in_no_more() -> None:
    good, revoked, deleted = (enrolled(name) for name in ("good", "revoked", "deleted"))
    service.revoke_client("admin", revoked)
    service.delete_client("admin", deleted)
    assert service.authenticate_client(good).name == "good"
    with pytest.raises(ClientRevoked):
        service.authenticate_client(revoked)
    for unknown in (deleted, "never-there"):
        with pytest.raises(ClientUnknown):
            service.authenticate_client(unknown)
    assert service.revoked_among([good, revoked, deleted, "x"]) == {revoked, deleted, "x"}
    assert service.revoked_among([]) == set()
    assert [row.name for row in service.list_clients()] == ["good"]
    assert {row.name for row in service.list_clients(include_revoked=True)} == {"good", "revoked"}
    with pytest.raises(TokenUnknown):
        service.revoke_token("admin", "none")


def test_revocation_is_a_record_and_wins() -> None:
    """Put together from records (a peer's, a restored copy), what was revoked is revoked again."""
    from staffetta.site.data.projections import rebuild_projections

    client = enrolled("till")
    service.revoke_client("admin", client)
    JumpClient.objects.update(revoked_at=None)
    rebuild_projections()
    with pytest.raises(ClientRevoked):
        service.authenticate_client(client)


def test_many_clients_are_asked_about_at_once() -> None:
    known = enrolled("till")
    assert service.revoked_among([known, *(f"x{number}" for number in range(2000))]) == {
        f"x{number}" for number in range(2000)
    }


def test_online_is_what_the_holder_of_the_newest_connection_says() -> None:
    """A client that moved to a new generation's gateway is not taken offline by the old one's goodbye."""
    client = enrolled("till")
    old = records.current_incarnation()
    service.heartbeat("site-old", "1.0", [])
    service.touch_online(client, True, "1.0", {"battery": "full"})
    assert service.list_clients()[0].online
    records.draw_incarnation()
    service.heartbeat("site-new", "1.1", [])
    service.touch_online(client, True, "1.1")
    new = records.current_incarnation()
    records._DRAWN.id = old
    service.touch_online(client, False)
    assert service.list_clients()[0].online
    records._DRAWN.id = new
    service.touch_online(client, False)
    shown = service.list_clients()[0]
    assert (shown.online, shown.version) == (False, "1.1")
    assert shown.last_seen is not None


def test_who_a_silent_gateway_held_is_offline() -> None:
    client = enrolled("till")
    service.heartbeat("site-a", "1.0", ["rep-1", "rep-1", "rep-2"])
    service.touch_online(client, True, "1.0")
    assert (service.fleet_now().clients_online, service.fleet_now().reps_online) == (1, 2)
    GatewayProcess.objects.update(beat_at=utc_now() - presence.SILENT_AFTER - timedelta(seconds=1))
    assert not service.list_clients()[0].online
    assert (service.fleet_now().clients_online, service.fleet_now().reps_online) == (0, 0)
    GatewayProcess.objects.update(beat_at=utc_now() - presence.FORGOTTEN_AFTER - timedelta(seconds=1))
    records.draw_incarnation()
    service.heartbeat("site-b", "1.0", [])
    assert not service.list_clients()[0].online
    assert GatewayProcess.objects.count() == 1


def test_a_gateway_that_leaves_holds_nobody() -> None:
    client = enrolled("till")
    service.heartbeat("site-a", "1.0", ["rep"])
    service.touch_online(client, True, "1.0")
    service.leave()
    assert not service.list_clients()[0].online
    assert service.fleet_now().reps_online == 0


def test_a_deleted_client_that_is_still_connected_is_passed_over() -> None:
    client = enrolled("till")
    service.delete_client("admin", client)
    service.touch_online(client, True, "1.0")
    service.touch_online(client, False)


@pytest.mark.req("C5", "S5")
def test_the_list_shows_and_finds_clients(browser: Callable[..., Client], person: Callable[..., Account]) -> None:
    till, desk = enrolled("till <7>"), enrolled("front desk")
    service.heartbeat("site-a", "1.0", [])
    service.touch_online(till, True, "1.2.3")
    rita = browser(person("rita", Allowed.START_SESSIONS))
    page = rita.get("/login/jump-clients").text
    assert "till &lt;7&gt;" in page and "<7>" not in page
    assert "1.2.3" in page and "online" in page and "front desk" in page
    assert "Revoke" not in page
    assert "front desk" not in rita.get("/login/jump-clients?search=TILL").text
    assert "front desk" in rita.get(f"/login/jump-clients?search={desk}").text
    assert "No Jump Client matches" in rita.get("/login/jump-clients?search=nothing").text
    assert "<html" not in rita.get("/login/jump-clients", headers={"HX-Request": "true"}).text


def test_the_list_has_pages(browser: Callable[..., Client], admin: Account) -> None:
    token = service.make_installer_token("admin", 150, 1)
    for number in range(150):
        service.enrol(token.text, _key(), f"computer {number:03}", {})
    client = browser(admin)
    first, second = client.get("/login/jump-clients").text, client.get("/login/jump-clients?page=2").text
    assert "computer 099" in first and "computer 100" not in first
    assert "computer 100" in second and "computer 149" in second
    assert client.get("/login/jump-clients?page=99999").status_code == 200


@pytest.mark.req("S5")
def test_a_token_is_made_in_the_pages_and_shown_once(browser: Callable[..., Client], admin: Account) -> None:
    client = browser(admin)
    page = client.post("/login/jump-clients/installers", {"uses": 3, "valid_hours": 48}).text
    found = re.search(r'id="installer-token">(stf1\.[^<]+)<', page)
    assert found is not None
    command = re.search(r'id="install-command">([^<]+)<', page)
    assert command is not None
    assert command[1].startswith("staffetta jump-client install --state ")
    assert command[1].endswith(" --token -")  # no secret on a command line
    assert page.count(found[1]) == 1
    assert "take it from the vendor" in page
    service.enrol(found[1], _key(), "till", {})
    later = client.get("/login/jump-clients/installers").text
    assert found[1] not in later and "1 / 3" in later
    wrong = client.post("/login/jump-clients/installers", {"uses": 0, "valid_hours": "x"})
    assert wrong.text.count('role="alert"') == 2
    client.post(f"/login/jump-clients/installers/{InstallerToken.objects.get().pk}/revoke")
    assert _refusal(found[1]) == "token-revoked"


def test_clients_are_revoked_and_deleted_in_the_pages(
    browser: Callable[..., Client], person: Callable[..., Account], admin: Account
) -> None:
    one, other = enrolled("one"), enrolled("other")
    rita = browser(person("rita", Allowed.START_SESSIONS))
    for address in (f"/login/jump-clients/{one}/revoke", f"/login/jump-clients/{one}/delete"):
        assert rita.post(address).status_code == 403
        assert browser(admin).get(address).status_code == 405
    client = browser(admin)
    client.post(f"/login/jump-clients/{one}/revoke")
    client.post(f"/login/jump-clients/{other}/delete")
    assert service.revoked_among([one, other]) == {one, other}
    assert "revoked" in client.get("/login/jump-clients").text
    assert client.post("/login/jump-clients/unknown/revoke").status_code == 404
    assert "revoked the Jump Client" in client.get("/login/audit-log").text


def test_the_vendors_root_is_handed_out(
    browser: Callable[..., Client], admin: Account, settings: Any, tmp_path: Path
) -> None:
    client = browser(admin)
    assert client.get("/login/jump-clients/root.json").status_code == 404
    settings.STAFFETTA_TRUST_ROOT = tmp_path / "root.json"
    settings.STAFFETTA_TRUST_ROOT.write_text("{}")
    assert client.get("/login/jump-clients/root.json").status_code == 200


@pytest.mark.req("C5", "S5")
def test_information_shows_the_moment(browser: Callable[..., Client], admin: Account, settings: Any) -> None:
    settings.STAFFETTA_GENERATION = "site-abc"
    service.heartbeat("site-abc", "1.0", ["rep"])
    service.touch_online(enrolled("till"), True, "1.0")
    enrolled("other")
    client = browser(admin)
    page = client.get("/login/status/information").text
    figure = re.compile(r'id="([a-z-]+)">([^<]*)<')
    shown = dict(figure.findall(page))
    assert (shown["clients-online"], shown["reps-online"], shown["sessions-now"]) == ("1 / 2", "1", "0")
    assert (shown["site-generation"], shown["site-version"]) == ("site-abc", settings.STAFFETTA_VERSION)
    assert len(shown["site-identity"]) == 43
    assert "passive" not in shown
    assert check_ins.set_mode("admin", service.list_clients()[0].id, passive=True)
    page = client.get("/login/status/information").text
    assert dict(figure.findall(page))["passive"] == "1 is passive: it checks in now and then"
    assert 'hx-get="/login/status/information"' in page
    fragment = client.get("/login/status/information", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment and "1 / 2" in fragment
