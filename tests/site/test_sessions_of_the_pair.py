"""Sessions that the other appliance opened: taken up from tickets, told whole once its records are here too."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from own_site import enrolled

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
from staffetta.site.support.pauses import Before, pause_before

T0 = datetime.fromisoformat("2026-11-24T05:00:00+00:00")


@pytest.fixture
def rita(person: Callable[..., Account]) -> Account:
    return person("rita", Allowed.START_SESSIONS)


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


def test_how_long_an_end_of_a_dead_appliance_was_away_is_not_known() -> None:
    before = Before(True, T0, "of-the-other", "site-of-the-other", None)
    assert pause_before(before, "mine", "site-mine", T0 + timedelta(seconds=9)) is None


def test_who_was_held_by_the_other_appliance_is_offline_in_the_end(rita: Account) -> None:
    here, there = enrolled("here"), enrolled("there")
    fleet.heartbeat("site-b", "1.0", [])
    fleet.touch_online(here, True)
    Presence.objects.create(client_id=there, online=True, holder="of-the-other", last_seen=T0, detail={})
    assert fleet.fleet_now().clients_online == 2
    fleet.forget_unknown_holders()
    assert [row.name for row in fleet.list_clients() if row.online] == ["here"]
    assert GatewayProcess.objects.get().pk == records.current_incarnation()
