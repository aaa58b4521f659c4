"""The rollout of Jump Clients: who updates now, never more at a time than the limit, nobody while held; its pages."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from own_site import enrolled, run_site

from staffetta.kernel.clock import format_time, utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.models import Record
from staffetta.site.fleet import bundle, rollout, service, updates
from staffetta.site.fleet.errors import BadLimit
from staffetta.site.fleet.models import UpdateSlot
from staffetta.site.fleet.rollout import Facts, Slot, Verdict
from staffetta.site.fleet.updates import Question

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD, NEW = "1.0.0", "1.1.0"

pytestmark = pytest.mark.req("C4")


def _facts(**changed: object) -> Facts:
    usual = {
        "wanted": NEW, "client": "a", "version": OLD, "failed": "", "needs_slot": True, "slots": (), "limit": 2,
        "held": False, "behind": 0, "now": NOW,
    }  # fmt: skip
    return Facts(**{**usual, **changed})  # type: ignore[arg-type]


def _slot(client: str, minutes: float = 1, version: str = NEW) -> Slot:
    return Slot(client, version, NOW - timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("facts", "verdict", "take"),
    [
        (_facts(), Verdict.UPDATE, True),
        (_facts(wanted=None), Verdict.CURRENT, False),
        (_facts(version=NEW), Verdict.CURRENT, False),
        (_facts(version="2.0"), Verdict.CURRENT, False),
        (_facts(version="not a version"), Verdict.UPDATE, True),
        (_facts(held=True), Verdict.HELD, False),
        (_facts(held=True, needs_slot=False), Verdict.HELD, False),
        (_facts(failed=NEW), Verdict.FAILED, False),
        (_facts(failed="1.0.5"), Verdict.UPDATE, True),
        (_facts(slots=(_slot("b"),)), Verdict.UPDATE, True),
        (_facts(slots=(_slot("b"), _slot("c"))), Verdict.FULL, False),
        (_facts(slots=(_slot("b"), _slot("c")), needs_slot=False), Verdict.UPDATE, False),
        (_facts(slots=(_slot("b"), _slot("c", 15))), Verdict.UPDATE, True),
        (_facts(slots=(_slot("a"), _slot("c"))), Verdict.UPDATE, False),
        (_facts(slots=(_slot("a"), _slot("b"), _slot("c"))), Verdict.UPDATE, False),
        (_facts(slots=(_slot("a", version="1.0.5"), _slot("c"))), Verdict.UPDATE, True),
        (_facts(slots=(_slot("a", version="1.0.5"), _slot("b"), _slot("c"))), Verdict.FULL, False),
    ],
)
def test_what_a_client_is_told(facts: Facts, verdict: Verdict, take: bool) -> None:
    said = rollout.answer(facts)
    assert (said.verdict, said.take) == (verdict, take)
    assert said.version == (NEW if verdict is Verdict.UPDATE else facts.version)
    assert 1 <= said.retry_seconds <= 86_400


@given(behind=st.integers(0, 10**6), limit=st.integers(0, 10**4))
def test_who_waits_asks_again_soon_but_not_all_the_time(behind: int, limit: int) -> None:
    assert rollout.SHORTEST_RETRY <= rollout.retry_seconds(behind, limit) <= rollout.LONGEST_RETRY


@given(
    limit=st.integers(1, 4),
    events=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["ask", "done"]), st.integers(0, 400))),
)
def test_the_slots_in_use_are_never_more_than_the_limit(limit: int, events: list[tuple[str, str, int]]) -> None:
    slots: dict[str, Slot] = {}
    now = NOW
    for client, what, seconds in events:
        now += timedelta(seconds=seconds)
        if what == "done":
            slots.pop(client, None)
            continue
        said = rollout.answer(_facts(client=client, slots=tuple(slots.values()), limit=limit, now=now))
        if said.take:
            slots[client] = Slot(client, NEW, now)
        assert (said.verdict is Verdict.UPDATE) == (
            client in {slot.client for slot in rollout.in_use(slots.values(), now)}
        )
        assert len(rollout.in_use(slots.values(), now)) <= limit


def _ask(client: str, version: str = OLD, **more: str) -> Verdict:
    return updates.which_version(Question(client, "jump-client", version, **more), NEW).verdict


@pytest.mark.django_db
def test_a_slot_is_given_back_when_its_client_is_seen_with_the_version() -> None:
    first, second = enrolled("first"), enrolled("second")
    updates.set_limit("admin", 1)
    assert _ask(first) is Verdict.UPDATE
    assert _ask(first) is Verdict.UPDATE
    assert _ask(second) is Verdict.FULL
    service.touch_online(first, True, OLD)
    assert _ask(second) is Verdict.FULL
    service.touch_online(first, True, NEW)
    assert _ask(second) is Verdict.UPDATE


@pytest.mark.django_db
@pytest.mark.parametrize("detail", [{"update_failed": NEW}, {"update_waiting": NEW}])
def test_a_slot_is_given_back_by_who_went_back_or_waits_for_its_sessions(detail: dict[str, str]) -> None:
    first, second = enrolled("first"), enrolled("second")
    updates.set_limit("admin", 1)
    assert _ask(first) is Verdict.UPDATE
    service.touch_online(first, True, OLD, {**detail})
    assert _ask(second) is Verdict.UPDATE
    assert [slot.client for slot in updates.slots_in_use()] == [second]


@pytest.mark.django_db
def test_a_slot_ends_after_a_time() -> None:
    first, second = enrolled("first"), enrolled("second")
    updates.set_limit("admin", 1)
    assert _ask(first) is Verdict.UPDATE
    UpdateSlot.objects.update(since=utc_now() - rollout.SLOT_TIME)
    assert _ask(second) is Verdict.UPDATE
    assert UpdateSlot.objects.count() == 1


@pytest.mark.django_db
def test_who_is_no_enrolled_jump_client_takes_no_slot() -> None:
    revoked = enrolled("revoked")
    service.revoke_client("admin", revoked)
    for client, kind in ((revoked, "jump-client"), ("unknown", "jump-client"), ("", "console")):
        assert updates.which_version(Question(client, kind, OLD), NEW).verdict is Verdict.UPDATE
    assert not UpdateSlot.objects.exists()


@pytest.mark.django_db
def test_nobody_updates_while_held() -> None:
    client = enrolled("till")
    updates.hold("the pair is being upgraded")
    assert updates.held()[0] == "the pair is being upgraded"
    assert _ask(client) is Verdict.HELD
    assert updates.which_version(Question("", "console", OLD), NEW).verdict is Verdict.HELD
    updates.hold("still")
    updates.release_hold()
    updates.release_hold()
    assert _ask(client) is Verdict.UPDATE


@pytest.mark.django_db
def test_clients_that_are_current_cost_no_write(django_assert_num_queries: Callable[..., object]) -> None:
    with django_assert_num_queries(0):  # type: ignore[attr-defined]
        assert _ask("x", NEW) is Verdict.CURRENT


HERD = """
import os, sys, threading
import django
django.setup()
from django.db import connection
from staffetta.site.fleet import service, updates
from staffetta.site.fleet.models import UpdateSlot
from staffetta.site.fleet.updates import Question
from staffetta.wire.identity import SigningKey

limit = int(sys.argv[1])
token = service.make_installer_token("admin", 48, 1)
clients = [service.enrol(token.text, SigningKey(os.urandom(32)).public, f"pc {n}", {}).id for n in range(48)]
updates.set_limit("admin", limit)
together = threading.Barrier(12)
told, most = [], []

def ask(own):
    together.wait(20)
    for client in own:
        told.append(updates.which_version(Question(client, "jump-client", "1.0.0"), "1.1.0").verdict)
        most.append(UpdateSlot.objects.count())
    connection.close()

threads = [threading.Thread(target=ask, args=(clients[n::12],)) for n in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
print(len(told), told.count("update"), max(most))
"""


@pytest.mark.parametrize("limit", [1, 5])
def test_many_at_once_get_no_more_slots_than_there_are(site_folder: Path, limit: int) -> None:
    """Against the real database, from many threads: counting and giving out a slot are one transaction."""
    assert run_site(site_folder, "-c", HERD, str(limit)).split() == ["48", str(limit), str(limit)]


@pytest.mark.django_db
@pytest.mark.parametrize("number", [0, -1, updates.HIGHEST_LIMIT + 1])
def test_a_limit_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(BadLimit):
        updates.set_limit("admin", number)
    assert updates.limit() == updates.DEFAULT_LIMIT


@pytest.fixture
def _wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """This site's release brings the newer client."""
    monkeypatch.setattr(bundle, "version_handed_out", lambda: NEW)


@pytest.mark.django_db
@pytest.mark.req("C4", "C5")
@pytest.mark.usefixtures("_wanted")
def test_the_limit_is_set_in_the_page_and_audited(
    browser: Callable[..., Client], person: Callable[..., Account], admin: Account
) -> None:
    client = browser(admin)
    assert 'value="20"' in client.get("/login/jump-clients/upgrades").text
    assert client.post("/login/jump-clients/upgrades", {"simultaneous": 2}).status_code == 302
    assert updates.limit() == 2
    page = client.get("/login/jump-clients").text
    assert 'id="upgrades"' in page and 'value="2"' in page
    assert Record.objects.filter(kind="audit", body__action="fleet.limit-changed").count() == 1
    assert "simultaneous Jump Client upgrades to" in client.get("/login/audit-log").text
    wrong = client.post("/login/jump-clients/upgrades", {"simultaneous": 0})
    assert 'role="alert"' in wrong.text and updates.limit() == 2
    rita = browser(person("rita", Allowed.START_SESSIONS))
    assert rita.post("/login/jump-clients/upgrades", {"simultaneous": 5}).status_code == 403
    assert 'id="upgrades"' not in rita.get("/login/jump-clients").text
    assert updates.limit() == 2


@pytest.mark.django_db
@pytest.mark.req("C5", "U12")
@pytest.mark.usefixtures("_wanted")
def test_the_page_and_the_json_say_who_is_behind_and_what_failed(
    browser: Callable[..., Client], admin: Account
) -> None:
    updated = format_time(NOW)
    service.heartbeat("site-a", "1.1", [])
    details: dict[str, tuple[str, dict[str, str]]] = {
        "current": (NEW, {"updated_at": updated}),
        "behind": (OLD, {"updated_at": "yesterday, I think"}),
        "waiting": (OLD, {"update_waiting": NEW}),
        "failed": (OLD, {"update_failed": NEW, "update_failed_at": updated, "update_failed_why": "no <way>"}),
    }
    for name, (version, detail) in details.items():
        service.touch_online(enrolled(name), True, version, detail)
    enrolled("never seen")
    updates.hold("a pair <upgrade>")
    client = browser(admin)
    found = json.loads(client.get("/login/jump-clients.json").content)
    assert found["version"] == NEW and found["held"] == "a pair <upgrade>"
    assert found["counts"] == {
        "clients": 5, "current": 1, "behind": 3, "never_seen": 1, "updating": 0, "failed": 1,
        "active": 5, "passive": 0, "not_seen_since_upgrade": 0,
    }  # fmt: skip
    states = {one["name"]: one["state"] for one in found["clients"]}
    assert states == {**{name: name for name in details}, "never seen": None}
    rows = {one["name"]: one for one in found["clients"]}
    assert rows["current"]["updated_at"] == updated
    assert rows["behind"]["updated_at"] == rows["behind"]["enrolled_at"]
    assert rows["failed"]["failed"] == {"version": NEW, "why": "no <way>", "at": updated}
    page = client.get("/login/jump-clients").text
    assert "1 of 5 Jump Clients have it." in page
    assert "a pair &lt;upgrade&gt;" in page
    assert "Went back from 1.1.0: no &lt;way&gt;" in page
    assert "1.1.0 when its sessions have ended" in page
    assert "2026-11-24 12:00:00" in page


def test_a_file_that_is_no_bundle_makes_no_client_update(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "share/clients.bundle").write_bytes(b"nothing of the kind" * 100)
    found = bundle.ClientBundle.find(tmp_path)
    assert found is not None and found.version is None
    assert bundle.ClientBundle.find(tmp_path / "share") is None
