"""The fleet by version: one bar, a legend in words, a list that is filtered by it, and the export (C5)."""

import csv
import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from own_site import body_of, enrolled

from staffetta.kernel.clock import format_time, utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.fleet import bundle, exports, service, standing, updates
from staffetta.site.fleet.models import JumpClient, Presence, ServedVersion, UpdateSlot
from staffetta.site.fleet.standing import Standing
from swapped import wrong_when_swapped

pytestmark = [pytest.mark.django_db, pytest.mark.req("C5")]

OLD, NEW = "1.0.0", "1.1.0"
CLIENTS = "/login/jump-clients"
UPGRADED = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A fleet in the middle of an upgrade, one or two in each place; by name, their ids."""
    monkeypatch.setattr(bundle, "version_handed_out", lambda: NEW)
    service.heartbeat("site-a", "1.1", [])
    before, after = format_time(UPGRADED - timedelta(days=40)), format_time(UPGRADED + timedelta(minutes=3))
    told: dict[str, tuple[str, dict[str, str]]] = {
        "has it": (NEW, {"updated_at": after}),
        "newer": ("2.0", {"updated_at": after}),
        "slow clock": (NEW, {"updated_at": before}),
        "enrolled late": (OLD, {}),
        "late": (OLD, {"updated_at": before}),
        "busy": (OLD, {"updated_at": before, "update_waiting": NEW}),
        "back": (OLD, {"updated_at": before, "update_failed": NEW, "update_failed_why": "no way"}),
        "at it": (OLD, {"updated_at": before}),
        "again": (OLD, {"updated_at": before, "update_failed": NEW}),
        "older failure": (OLD, {"updated_at": before, "update_failed": "1.0.5"}),
        "unreadable": ("=cmd", {"updated_at": before}),
    }
    ids = {name: enrolled(name) for name in (*told, "never", "never, late", "revoked")}
    for name, (version, detail) in told.items():
        service.touch_online(ids[name], True, version, detail)
    for name in ("at it", "again", "has it"):  # a slot that is left over makes nobody late
        UpdateSlot.objects.create(client=ids[name], version=NEW, since=utc_now())
    UpdateSlot.objects.create(client=ids["late"], version=NEW, since=utc_now() - timedelta(hours=1))
    service.touch_online(ids["revoked"], True, OLD)
    service.revoke_client("admin", ids["revoked"])
    JumpClient.objects.filter(pk=ids["never"]).update(enrolled_at=UPGRADED - timedelta(days=50))
    ServedVersion.objects.create(version="1.1", since=UPGRADED)
    return ids


EXPECTED = {
    Standing.CURRENT: {"has it", "newer", "slow clock"},
    Standing.UPDATING: {"at it", "again"},
    Standing.BEHIND: {"late", "busy", "older failure", "unreadable", "enrolled late"},
    Standing.FAILED: {"back"},
    Standing.NEVER_SEEN: {"never", "never, late"},
}


@pytest.mark.usefixtures("fleet")
def test_each_client_stands_in_one_place_and_the_counts_are_the_lists() -> None:
    counts = standing.counts(NEW, utc_now())
    assert counts == {place: len(names) for place, names in EXPECTED.items()}
    for place, names in EXPECTED.items():
        at = service.Place(place, NEW)
        assert {row.name for row in service.list_clients(include_revoked=True, at=at)} == names
        assert service.count_clients(at=at) == len(names)
    progress = updates.progress(NEW)
    assert (progress.clients, progress.current, progress.behind, progress.failed, progress.never_seen) == (
        13,
        3,
        8,
        1,
        2,
    )
    assert updates.progress(None).current == 11, "a site that brings no client leaves nobody behind"


PLACE_OF = {
    "current": Standing.CURRENT,
    "updating": Standing.UPDATING,
    "behind": Standing.BEHIND,
    "waiting": Standing.BEHIND,
    "failed": Standing.FAILED,
    "": Standing.NEVER_SEEN,
}
"""Which place in the bar has the clients whose row says so."""


@pytest.mark.usefixtures("fleet")
def test_what_a_row_says_is_the_place_where_the_database_counts_its_client() -> None:
    counted = {row.id: place for place in Standing for row in service.list_clients(at=service.Place(place, NEW))}
    updating = {slot.client for slot in updates.slots_in_use() if slot.version == NEW}
    rows = [exports.ClientRow.of(client, NEW, updating) for client in service.list_clients()]
    assert {row.client.id: PLACE_OF[row.state] for row in rows} == counted
    assert {row.state for row in rows} == PLACE_OF.keys(), "no way to stand is left out"


@pytest.mark.usefixtures("fleet")
def test_the_bar_has_a_part_for_each_place_and_the_legend_leads_to_its_clients(
    browser: Callable[..., Client], person: Callable[..., Account]
) -> None:
    client = browser(person("rita", Allowed.START_SESSIONS))
    page = client.get(CLIENTS).text
    bar = page[page.index('class="fleet-bar"') : page.index('class="legend"')]
    pieces = re.findall(r'<rect x="([\d.]+)%" width="([\d.]+)%" height="28" data-standing="([a-z-]+)"', bar)
    assert [name for *_, name in pieces] == [place.value for place in Standing]
    assert sum(float(width) for _, width, _ in pieces) == pytest.approx(100, abs=0.1)
    legend = re.sub(r"<svg.*?</svg>|<[^>]+>", "", page[page.index('class="legend"') :].partition("</ul>")[0])
    words = ("3 current", "2 upgrading", "5 behind", "1 went back", "2 never connected")
    assert all(word in " ".join(legend.split()) for word in words)
    italian = client.get(CLIENTS, headers={"accept-language": "it"}).text.partition('class="legend"')[2]
    legend = " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", "", italian.partition("</ul>")[0]).split())
    words = ("3 aggiornati", "2 in aggiornamento", "5 non aggiornati", "1 tornato indietro", "2 mai connessi")
    assert all(re.search(rf"{word}\b", legend) for word in words), legend
    assert "style=" not in page, "the policy of the pages forbids inline styles"
    everyone = set[str]().union(*EXPECTED.values())
    for place, names in EXPECTED.items():
        rows = client.get(f"{CLIENTS}?standing={place}").text.partition('id="clients"')[2]
        assert {name for name in everyone if f"<div>{name}</div>" in rows} == names
    assert "upgrading</span>" in client.get(f"{CLIENTS}?standing=updating").text
    chosen = client.get(f"{CLIENTS}/progress?standing=behind").text
    assert chosen.lstrip().startswith('<div id="fleet"') and "?standing=behind" in chosen
    assert 'id="standing-behind" href="/login/jump-clients?standing=behind" aria-current="true"' in chosen
    found = client.get(f"{CLIENTS}?standing=behind&search=late").text
    assert "<div>late</div>" in found and "<div>busy</div>" not in found
    assert '<input type="hidden" name="standing" value="behind">' in found
    assert "<div>revoked</div>" in client.get(f"{CLIENTS}?standing=nonsense").text, "as if nothing was chosen"


@pytest.mark.usefixtures("fleet")
def test_the_bar_and_the_list_follow_and_keep_what_is_searched_for(
    browser: Callable[..., Client], admin: Account
) -> None:
    client = browser(admin)
    page = client.get(f"{CLIENTS}?standing=behind&search=at%26e").text
    for part in (page, client.get(f"{CLIENTS}/progress?standing=behind&search=at%26e").text):
        assert 'hx-get="/login/jump-clients/progress?search=at%26e&amp;standing=behind" hx-trigger="every 5s"' in part
        assert 'id="standing-failed" href="/login/jump-clients?standing=failed&amp;search=at%26e"' in part
        assert 'id="standing-all" href="/login/jump-clients?search=at%26e"' in part
    assert 'id="clients" hx-get="/login/jump-clients?search=at%26e&amp;standing=behind&amp;page=1"' in page
    everything = client.get(CLIENTS).text
    assert 'id="clients" hx-get="/login/jump-clients?page=1" hx-trigger="every 10s" hx-swap="innerHTML"' in everything
    assert wrong_when_swapped(everything) == []
    rows = client.get(f"{CLIENTS}?standing=failed&page=1", headers={"HX-Request": "true"}).text
    assert rows.lstrip().startswith("<tr>") and "<div>back</div>" in rows and "<div>late</div>" not in rows
    updates.hold("pair upgrade 7")
    assert wrong_when_swapped(client.get(CLIENTS).text) == []


@pytest.mark.usefixtures("fleet")
def test_the_bar_asks_less_often_when_nobody_is_behind(browser: Callable[..., Client], admin: Account) -> None:
    Presence.objects.update(version=NEW)
    assert 'hx-trigger="every 30s"' in browser(admin).get(CLIENTS).text
    updates.hold("pair upgrade 7")
    assert 'hx-trigger="every 30s"' not in browser(admin).get(CLIENTS).text


@pytest.mark.usefixtures("fleet")
def test_who_asks_again_within_seconds_is_told_what_was_counted(
    django_assert_num_queries: Callable[[int], AbstractContextManager[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = updates.LateProgress()
    assert late.read(NEW) == updates.progress(NEW)
    with django_assert_num_queries(0):
        assert late.read(NEW).wanted == NEW
    assert late.read(OLD).wanted == OLD
    Presence.objects.update(version=NEW)
    monkeypatch.setattr(updates, "KEPT_SECONDS", 0.0)
    assert late.read(NEW) == updates.progress(NEW)


def test_a_fleet_without_clients_has_no_bar(browser: Callable[..., Client], admin: Account) -> None:
    assert "fleet-bar" not in browser(admin).get(CLIENTS).text


@pytest.mark.usefixtures("fleet")
def test_the_export_has_who_is_not_current_first_and_both_parts_sorted_by_status_details(
    browser: Callable[..., Client], admin: Account
) -> None:
    answer = browser(admin).get(f"{CLIENTS}.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "jump-clients.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(body_of(answer).decode())))
    parts = {said: [row for row in rows if row["current"] == said] for said in ("no", "yes")}
    assert rows == parts["no"] + parts["yes"]
    for part in parts.values():
        assert [row["status_details"] for row in part] == sorted(row["status_details"] for row in part)
    by_name = {row["name"]: row for row in rows}
    assert by_name.keys() == set[str]().union(*EXPECTED.values()), "who was revoked is not exported"
    assert {row["name"] for row in parts["yes"]} == EXPECTED[Standing.CURRENT]
    assert rows[0]["name"] == "never" and rows[0]["status_details"].endswith(" never connected")
    assert by_name["back"]["status_details"].endswith(" behind, went back from 1.1.0: no way")
    assert by_name["busy"]["status_details"].endswith(" behind, takes on 1.1.0 when its sessions have ended")
    assert by_name["at it"]["status_details"].endswith(" upgrading")
    assert by_name["has it"]["status_details"] == f"{format_time(UPGRADED + timedelta(minutes=3))} current"
    assert by_name["unreadable"]["version"] == "'=cmd", "no spreadsheet takes it for a formula"
    assert by_name["slow clock"]["status_details"] < by_name["enrolled late"]["status_details"]
    some = body_of(browser(admin).get(f"{CLIENTS}.csv?standing=failed")).decode()
    assert [row["name"] for row in csv.DictReader(io.StringIO(some))] == ["back"]


@pytest.mark.req("C5", "S12")
def test_only_who_may_modify_all_jump_clients_exports_them(
    browser: Callable[..., Client], person: Callable[..., Account]
) -> None:
    rita = browser(person("rita", Allowed.START_SESSIONS))
    assert rita.get(f"{CLIENTS}.csv").status_code == 403
    assert "jump-clients.csv" not in rita.get(CLIENTS).text
    anna = browser(person("anna", Allowed.MODIFY_ALL_JUMP_CLIENTS))
    assert anna.get(f"{CLIENTS}.csv").status_code == 200
    assert "jump-clients.csv" in anna.get(CLIENTS).text


def test_a_large_fleet_is_counted_by_few_queries_and_not_client_by_client(
    django_assert_max_num_queries: Callable[[int], object],
) -> None:
    now = utc_now()
    clients = [
        JumpClient(id=f"c{number}", name=f"c{number}", public_key=number.to_bytes(32), platform={}, enrolled_at=now)
        for number in range(300)
    ]
    JumpClient.objects.bulk_create(clients)
    Presence.objects.bulk_create(
        Presence(client=one, holder="h", version=OLD if number % 3 else NEW, last_seen=now, detail={})
        for number, one in enumerate(clients)
    )
    with django_assert_max_num_queries(2):  # type: ignore[attr-defined]
        counts = standing.counts(NEW, now)
    assert (counts[Standing.CURRENT], counts[Standing.BEHIND]) == (100, 200)
