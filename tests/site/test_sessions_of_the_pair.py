"""Sessions that the other appliance opened: taken up from tickets, told whole once its records are here too."""

import csv
import io
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client
from own_site import body_of, enrolled

from staffetta.kernel.clock import format_time, utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import projections, records
from staffetta.site.data.models import Record, SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.models import GatewayProcess, Presence
from staffetta.site.support import service, stories
from staffetta.site.support.errors import Fenced
from staffetta.site.support.models import SessionEvent, SessionReport
from staffetta.site.support.pauses import MOST_BELIEVED_MS, Before, pause_before

T0 = datetime.fromisoformat("2026-11-24T05:00:00+00:00")


@pytest.fixture
def rita(person: Callable[..., Account]) -> Account:
    return person("rita", Allowed.START_SESSIONS, Allowed.VIEW_REPORTS)


def _take_up(rep: str, client: str, session: str = "of-the-other") -> service.SessionFacts:
    return service.take_up(session, "shell", rep, client, True, T0, T0 + timedelta(minutes=5))


@pytest.mark.req("F11", "S2")
def test_a_session_is_taken_up_once_and_goes_on_from_there(rita: Account) -> None:
    client = enrolled("till")
    taken = _take_up(rita.pk, client)
    assert (taken.rep_name, taken.client_name, taken.opened_at, taken.recorded) == ("rita", "till", T0, True)
    assert _take_up(rita.pk, client) == taken
    assert service.note_attached("of-the-other", "console", 9, "site-b", "1.0", T0).pause_ms is None
    with pytest.raises(Fenced):
        service.note_attached("of-the-other", "console", 8, "site-b", "1.0", T0)
    told = stories.story("of-the-other")
    assert [event.event for event in told.events] == ["attached", "taken-up"]
    assert (told.summary.rep_name, told.summary.opened_at) == ("rita", T0)


@pytest.mark.req("F11", "S2")
def test_the_report_is_whole_whatever_comes_first(rita: Account) -> None:
    """The old primary's records arrive later, or first, or in between: the same rows."""
    whose = {"rep_id": rita.pk, "rep_name": "rita", "client_id": "c", "client_name": "till", "kind": "shell"}
    unnamed = {**whose, "client_name": "", "recorded": True, "opened_at": format_time(T0)}
    told = [
        Record(origin="a", incarnation="a1", sequence=1, kind="session.opened", at=T0, body=whose | {"recorded": True}),
        Record(origin="a", incarnation="a1", sequence=2, kind="session.attached", at=T0, body={"end": "console"}),
        Record(origin="b", incarnation="b1", sequence=1, kind="session.taken-up", at=T0 + timedelta(9), body=unnamed),
        Record(
            origin="c",
            incarnation="c1",
            sequence=1,
            kind="session.taken-up",
            at=T0 + timedelta(8),
            body=unnamed | {"client_name": "renamed"},
        ),
    ]
    for record in told:
        record.body["session"] = "s"

    def rows(order: tuple[Record, ...]) -> object:
        SessionReport.objects.all().delete()
        for record in order:
            projections.apply(record)
        story = stories.story("s")
        return story.summary, [(event.event, event.at) for event in story.events]

    whole = {str(rows(order)) for order in itertools.permutations(told)}
    assert len(whole) == 1
    assert stories.story("s").summary.client_name == "till"
    without_the_opening = {str(rows(order)) for order in itertools.permutations(told[1:])}
    assert len(without_the_opening) == 1
    assert stories.story("s").summary.client_name == "renamed", "the earliest says it"
    assert SessionEvent.objects.count() == 3


@pytest.mark.req("F4")
def test_a_backup_ends_no_session_for_being_silent(rita: Account) -> None:
    session = service.open_session(rita.pk, enrolled("till"), "shell").id
    SiteInstance.objects.update(role=Role.BACKUP.value)
    now = utc_now()
    for later in range(0, 30, 5):
        assert service.expire_silent(now + timedelta(minutes=later)) == ()
    SiteInstance.objects.update(role=Role.PRIMARY.value)
    assert service.expire_silent(now + timedelta(minutes=30)) == (), "the ends have their whole time from now on"
    assert service.expire_silent(now + timedelta(minutes=37)) == (session,)


@pytest.mark.parametrize(
    ("told", "pause"), [(None, None), (0, 0), (120, 120), (MOST_BELIEVED_MS, MOST_BELIEVED_MS), (-1, None)]
)
@pytest.mark.parametrize("generation", ["site-mine", "site-of-the-other"])
def test_what_an_end_says_counts_where_the_other_appliance_held_it(
    told: int | None, pause: int | None, generation: str
) -> None:
    """Whether that appliance lives is not known here; an older end says nothing, and then nothing is known."""
    at = T0 + timedelta(seconds=9)
    held_there = Before(True, T0, "of-the-other", generation, None)
    assert pause_before(held_there, "mine", "site-mine", at, told) == pause
    assert pause_before(None, "mine", "site-mine", at, told) == pause, "a session that was taken up"


@pytest.mark.parametrize("told", [MOST_BELIEVED_MS + 1, 2**64 - 1])
def test_nobody_is_away_for_more_than_a_day(told: int) -> None:
    assert pause_before(None, "mine", "site-mine", T0, told) is None


@pytest.mark.parametrize("told", [0, 5, 10**6])
def test_what_the_site_has_seen_counts_more_than_what_an_end_says(told: int) -> None:
    at = T0 + timedelta(seconds=9)
    gone = Before(False, T0, "of-the-other", "site-of-the-other", None)
    assert pause_before(gone, "mine", "site-mine", at, told) == 9000
    much_later = T0 + timedelta(hours=2)
    assert pause_before(gone, "mine", "site-mine", much_later, told) == told, "it was at the other one meanwhile"
    assert pause_before(gone, "mine", "site-mine", much_later) == 7_200_000
    assert pause_before(Before(True, T0, "mine", "site-mine", T0), "mine", "site-mine", at, told) == 0
    assert pause_before(Before(True, T0, "died", "site-mine", T0), "mine", "site-mine", at, told) == 9000


@pytest.mark.req("F11", "S2")
def test_the_report_tells_the_pause_of_a_session_that_came_from_the_other_appliance(
    rita: Account, browser: Callable[..., Client]
) -> None:
    client = enrolled("till")
    first = Record(origin="a", incarnation="a1", sequence=1, kind="session.attached", at=T0)
    first.body = {"session": "of-the-other", "end": "console", "counter": 1, "generation": "site-a", "version": "1.0"}
    _take_up(rita.pk, client)
    projections.apply(first)
    at = T0 + timedelta(minutes=5)
    moved = service.note_attached("of-the-other", "console", 4, "site-b", "2.0", at, away_ms=0)
    assert (moved.pause_ms, moved.again) == (0, True)
    lost = service.note_attached("of-the-other", "jump-client", 9, "site-b", "2.0", at, away_ms=120)
    assert (lost.pause_ms, lost.again) == (120, True)
    assert stories.story("of-the-other").summary.longest_pause_ms == 120
    person = browser(rita)
    page = person.get("/login/reports/sessions/of-the-other").text
    assert "Console attached again: move to the other appliance, no pause" in page
    assert "pause not known" not in page and "120 ms" in page
    assert "console version 2.0 · site generation site-b · attach 2" in page, (
        "the second that got in, whatever its counter is"
    )
    assert "attach 4" not in page and "attach 9" not in page
    told = person.get("/login/reports/sessions/of-the-other.json").json()
    assert told["longest_pause_ms"] == 120
    assert [one["pause_ms"] for one in told["story"] if one["event"] == "attached"] == [None, 0, 120]
    (row,) = csv.DictReader(io.StringIO(body_of(person.get("/login/reports/sessions.csv")).decode("utf-8-sig")))
    assert row["longest_pause_ms"] == "120"


def test_who_was_held_by_the_other_appliance_is_offline_in_the_end(rita: Account) -> None:
    here, there = enrolled("here"), enrolled("there")
    fleet.heartbeat("site-b", "1.0", [])
    fleet.touch_online(here, True)
    Presence.objects.create(client_id=there, online=True, holder="of-the-other", last_seen=T0, detail={})
    assert fleet.fleet_now().clients_online == 2
    fleet.forget_unknown_holders()
    assert [row.name for row in fleet.list_clients() if row.online] == ["here"]
    assert GatewayProcess.objects.get().pk == records.current_incarnation()
