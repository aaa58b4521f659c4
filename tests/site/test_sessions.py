"""Sessions: who may open one, the fence, pauses, silence, segments, and the reports made of it all."""

import csv
import hashlib
import io
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from own_site import body_of, enrolled

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import blobs, records
from staffetta.site.data.errors import BlobDamaged
from staffetta.site.data.models import Blob, Record
from staffetta.site.fleet import service as fleet
from staffetta.site.support import playback, service, stories
from staffetta.site.support.errors import BadAttach, Fenced, SessionOver, SessionRefused, SessionUnknown
from staffetta.site.support.pauses import Before, Cause, Place, cause_of, pause_before
from staffetta.site.support.segments import Recorder
from staffetta.wire import frames
from staffetta.wire.notes import Direction, Transferred
from staffetta.wire.vocabulary import EndName

T0 = datetime.fromisoformat("2026-11-24T05:00:00+00:00")


@pytest.fixture
def rita(person: Callable[..., Account]) -> Account:
    """A rep."""
    return person("rita", Allowed.START_SESSIONS, Allowed.VIEW_REPORTS)


@pytest.fixture
def session(rita: Account) -> str:
    """An open session of the rep with a computer."""
    return service.open_session(rita.pk, enrolled("till"), "shell").id


def _attach(session: str, end: str, counter: int, generation: str = "site-a", at: datetime | None = None) -> int | None:
    return service.note_attached(session, end, counter, generation, "1.0", at or utc_now()).pause_ms


def test_only_reps_with_known_clients_open_sessions(rita: Account, person: Callable[..., Account]) -> None:
    client, revoked = enrolled("till"), enrolled("old")
    fleet.revoke_client("admin", revoked)
    clerk = person("clerk", Allowed.VIEW_REPORTS)
    for rep, wanted, reason in (
        (clerk.pk, client, "may-not-start-sessions"),
        ("nobody", client, "may-not-start-sessions"),
        (rita.pk, "unknown", "client-unknown"),
        (rita.pk, revoked, "client-revoked"),
    ):
        with pytest.raises(SessionRefused) as refused:
            service.open_session(rep, wanted, "shell")
        assert refused.value.reason == reason
    assert service.live_sessions() == ()
    accounts.disable(Account.objects.get(username="admin"), rita.pk)
    with pytest.raises(SessionRefused):
        service.open_session(rita.pk, client, "shell")


def test_an_attach_must_have_a_higher_counter_than_all_before(session: str) -> None:
    _attach(session, "console", 1)
    _attach(session, "console", 5, "site-b")
    for counter in (5, 4, 1, 0):
        with pytest.raises(Fenced):
            _attach(session, "console", counter)
    _attach(session, "jump-client", 1)
    assert service.session(session).counters == {"console": 5, "jump-client": 1}


@pytest.mark.parametrize(("end", "counter"), [("rep", 1), ("console", -1), ("console", 2**63)])
def test_what_is_no_end_or_counter_is_refused(session: str, end: str, counter: int) -> None:
    with pytest.raises(BadAttach):
        _attach(session, end, counter)


def test_nobody_attaches_to_a_session_that_is_over_or_unknown(session: str) -> None:
    assert service.end_session(session, "console")
    assert not service.end_session(session, "jump-client")
    with pytest.raises(SessionOver):
        _attach(session, "console", 1)
    with pytest.raises(SessionUnknown):
        _attach("unknown", "console", 1)
    assert service.session(session).end_reason == "console"
    assert service.live_sessions() == ()


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 10**6))
def test_pauses(present: bool, same_process: bool, same_generation: bool, away: int) -> None:
    before = Before(
        present,
        T0,
        "p1" if same_process else "p0",
        "g1" if same_generation else "g0",
        T0 - timedelta(milliseconds=50),
    )
    pause = pause_before(before, "p1", "g1", T0 + timedelta(milliseconds=away))
    if not present:
        assert pause == away
    elif same_process or not same_generation:
        assert pause == 0
    else:
        assert pause == away + 50


def test_the_first_attach_has_no_pause_and_later_ones_are_measured(session: str) -> None:
    assert _attach(session, "console", 1, at=T0) is None
    service.note_detached(session, "console", 1, T0 + timedelta(seconds=1), "lost")
    assert _attach(session, "console", 2, at=T0 + timedelta(seconds=1.25)) == 250
    assert _attach(session, "console", 3, "site-b", at=T0 + timedelta(seconds=2)) == 0
    # the goodbye of the connection that was replaced comes late and means nothing
    service.note_detached(session, "console", 2, T0 + timedelta(seconds=3))
    assert _attach(session, "console", 4, "site-b", at=T0 + timedelta(seconds=4)) == 0


def test_the_pause_after_a_killed_process_is_told_at_its_longest(session: str) -> None:
    before = utc_now()
    fleet.heartbeat("site-a", "1.0", [])
    after = utc_now()
    _attach(session, "console", 1)
    records.draw_incarnation()
    pause = _attach(session, "console", 2, at=after + timedelta(seconds=2))
    assert pause is not None and 1999 <= pause <= 2001 + (after - before).total_seconds() * 1000


def test_every_event_is_a_record_at_once(session: str) -> None:
    _attach(session, "console", 1)
    service.note_detached(session, "console", 1, utc_now(), "silent")
    service.end_session(session, "console")
    kinds = [record.kind for record in Record.objects.filter(kind__startswith="session.").order_by("pk")]
    assert kinds == ["session.opened", "session.attached", "session.detached", "session.ended"]


def test_a_probe_session_leaves_no_record(db: None, tmp_path: Path) -> None:
    before = Record.objects.count()
    probe = service.open_session("", "", "shell", probe=True, recorded=False).id
    _attach(probe, "console", 1)
    service.note_detached(probe, "console", 1, utc_now())
    (tmp_path / "segment").write_bytes(b"x")
    service.add_segment(probe, tmp_path / "segment", hashlib.sha256(b"x").hexdigest(), 1)
    service.end_session(probe, "proven")
    assert Record.objects.count() == before
    assert service.count_live_sessions() == 0
    assert not Blob.objects.exists()


def test_a_session_ends_when_both_ends_have_been_gone_long(session: str) -> None:
    now = utc_now()
    fleet.heartbeat("site-a", "1.0", [])
    _attach(session, "console", 1, at=now)
    _attach(session, "jump-client", 1, at=now)
    later = now + service.ENDS_GIVE_UP_AFTER
    assert service.expire_silent(now) == ()
    service.note_detached(session, "console", 1, now)
    assert service.expire_silent(now) == ()
    assert service.expire_silent(now + timedelta(seconds=5)) == ()
    service.note_detached(session, "jump-client", 1, now)
    assert service.expire_silent(now) == ()  # noticed five seconds ahead of this clock
    assert service.expire_silent(later - timedelta(seconds=1)) == ()
    assert service.expire_silent(later + timedelta(seconds=1)) == (session,)
    assert service.session(session).end_reason == "silent"


def test_a_session_is_over_when_one_end_has_given_up_and_not_for_one_that_has_just_left(session: str) -> None:
    """A closed tab must not leave a shell open on the remote computer for ever."""
    now = utc_now()
    patience = service.ENDS_GIVE_UP_AFTER
    _attach(session, "console", 1, at=now)
    _attach(session, "jump-client", 1, at=now)
    service.note_detached(session, "jump-client", 1, now)
    assert service.expire_silent(now) == ()
    _attach(session, "jump-client", 2, at=now + patience / 2)
    service.note_detached(session, "console", 1, now + patience / 2)
    assert service.expire_silent(now + patience / 2) == ()
    assert service.expire_silent(now + patience) == (), "the console left three minutes ago only"
    assert service.expire_silent(now + patience * 3 / 2) == (session,)
    assert service.session(session).end_reason == "silent"


def test_an_end_that_comes_back_keeps_the_session(session: str) -> None:
    now = utc_now()
    assert service.expire_silent(now) == ()  # nobody has attached yet
    _attach(session, "console", 1, at=now + timedelta(minutes=5))
    assert service.expire_silent(now + timedelta(minutes=7)) == ()
    assert service.count_live_sessions() == 1


def test_ends_of_a_dead_process_get_their_whole_time_to_come_back(session: str) -> None:
    now = utc_now()
    fleet.heartbeat("site-a", "1.0", [])
    _attach(session, "console", 1)
    records.draw_incarnation()
    fleet.heartbeat("site-a", "1.0", [])
    from staffetta.site.fleet.models import GatewayProcess

    GatewayProcess.objects.exclude(pk=records.current_incarnation()).update(beat_at=now - timedelta(hours=1))
    assert service.expire_silent(now) == ()
    assert service.expire_silent(now + timedelta(minutes=5)) == ()


def _segment(folder: Path, data: bytes) -> tuple[Path, str, int]:
    path = folder / os.urandom(4).hex()
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest(), len(data)


def test_a_segment_becomes_a_blob_once(
    session: str, tmp_path: Path, django_capture_on_commit_callbacks: object
) -> None:
    path, sha256, size = _segment(tmp_path, b"frames")
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        service.add_segment(session, path, sha256, size)
    assert not path.exists()
    assert blobs.path_of(sha256).read_bytes() == b"frames"
    service.add_segment(session, path, sha256, size)  # a repetition after a crash
    service.add_segment(session, *_segment(tmp_path, b"frames"))
    assert stories.story(session).summary.segments == 1
    blobs.release(sha256)
    assert Blob.objects.count() == 1  # the report holds it


def test_a_segment_is_lost_by_no_kill_before_the_commit(session: str, tmp_path: Path) -> None:
    path, sha256, size = _segment(tmp_path, b"frames")
    from django.db import transaction

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        service.add_segment(session, path, sha256, size)
        raise ZeroDivisionError
    assert path.read_bytes() == b"frames"
    service.add_segment(session, path, sha256, size)
    assert stories.story(session).summary.recorded_bytes == 6


def test_a_damaged_segment_is_refused_and_kept(session: str, tmp_path: Path) -> None:
    path, sha256, size = _segment(tmp_path, b"frames")
    for wrong in ((sha256, size + 1), ("0" * 64, size)):
        with pytest.raises(BlobDamaged):
            service.add_segment(session, path, *wrong)
    assert path.exists()
    with pytest.raises(SessionUnknown):
        service.add_segment("unknown", path, sha256, size)


@pytest.mark.req("S2", "S8")
def test_a_session_is_told_in_pages_and_to_programs(
    browser: Callable[..., Client], rita: Account, session: str
) -> None:
    _attach(session, "console", 1, "site-a", T0)
    _attach(session, "jump-client", 1, "site-a", T0)
    service.note_detached(session, "console", 1, T0 + timedelta(seconds=1), "silent")
    _attach(session, "console", 2, "site-b", T0 + timedelta(seconds=1.5))
    client = browser(rita)
    live = client.get("/login/status/information").text
    assert f"/login/reports/sessions/{session}" in live
    service.end_session(session, "console", utc_now() + timedelta(minutes=2))
    told = client.get(f"/login/reports/sessions/{session}.json").json()
    assert told["rep"]["name"] == "rita" and told["client"]["name"] == "till"
    assert told["generations"] == ["site-a", "site-b"]
    assert told["counters"] == {"console": 2, "jump-client": 1}
    assert (told["attaches"], told["resumes"], told["longest_pause_ms"]) == (3, 1, 500)
    assert told["resumes_by_end"] == {"console": 1, "jump-client": 0}
    assert told["end_reason"] == "console" and told["ended"] is not None
    assert {event["event"] for event in told["story"]} == {"opened", "attached", "detached", "ended"}
    (resumed,) = (event for event in told["story"] if event.get("counter") == 2)
    assert (resumed["generation"], resumed["version"], resumed["pause_ms"]) == ("site-b", "1.0", 500)
    for address in ("/login/reports/sessions.json", "/reports/sessions.json"):
        assert json.loads(body_of(client.get(address)))["sessions"] == [told]
    assert client.get(f"/reports/sessions/{session}.json").json() == told
    page = client.get(f"/login/reports/sessions/{session}").text
    assert "site-a → site-b" in page and "pause 500 ms" in page and "rita with till" in page
    assert "rita opened the session with till" in page
    assert "Console attached again: restart of the site, pause 500 ms" in page
    assert "Ended by the representative, at the console" in page
    listed = client.get("/login/reports/sessions").text
    assert "rita" in listed and "500 ms" in listed
    assert "No session matches" in client.get("/login/reports/sessions?search=nobody").text


@pytest.mark.req("S2")
def test_a_reload_of_the_console_is_not_told_as_a_fault_of_the_network(
    browser: Callable[..., Client], rita: Account, session: str
) -> None:
    for counter, end in enumerate(("console", "jump-client"), 1):
        _attach(session, end, counter, "site-a", T0)
        service.note_detached(session, end, counter, T0 + timedelta(seconds=1), "left")
        _attach(session, end, counter + 1, "site-a", T0 + timedelta(seconds=1.5))
    page = browser(rita).get(f"/login/reports/sessions/{session}").text
    assert "Console attached again: network, or the console was opened again, pause 500 ms" in page
    assert "Jump Client attached again: network, pause 500 ms" in page


@pytest.mark.req("S2")
def test_the_list_the_csv_and_the_json_are_of_the_same_sessions(
    browser: Callable[..., Client], person: Callable[..., Account]
) -> None:
    may = (Allowed.START_SESSIONS, Allowed.VIEW_REPORTS)
    rita, rolf = person("rita", *may), person("rolf", *may)
    till, printer = enrolled("till"), enrolled("printer")
    made = {
        "rita at the till": service.open_session(rita.pk, till, "shell").id,
        "files to the till": service.open_session(rita.pk, till, "files").id,
        "rolf at the printer": service.open_session(rolf.pk, printer, "shell").id,
        "long ago": service.open_session(rolf.pk, till, "shell").id,
    }
    stories.SessionReport.objects.filter(pk=made["long ago"]).update(opened_at=T0)
    service.end_session(made["rolf at the printer"], "console")
    client = browser(rita)
    for query, names in {
        "": set(made),
        "?rep=ROL": {"rolf at the printer", "long ago"},
        "?computer=print": {"rolf at the printer"},
        "?kind=files": {"files to the till"},
        "?state=ended": {"rolf at the printer"},
        "?state=going-on&rep=rolf": {"long ago"},
        "?since=2026-11-24&until=2026-11-24": {"long ago"},
        "?until=2026-11-23": set(),
        f"?search={made['long ago'][:10]}": {"long ago"},
        "?search=rita&kind=shell": {"rita at the till"},
    }.items():
        expected = {made[name] for name in names}
        listed = client.get(f"/login/reports/sessions{query}")
        assert {row.id for row in listed.context["rows"]} == expected, query
        rows = csv.DictReader(io.StringIO(body_of(client.get(f"/login/reports/sessions.csv{query}")).decode()))
        assert {row["id"] for row in rows} == expected, query
        told = json.loads(body_of(client.get(f"/login/reports/sessions.json{query}")))["sessions"]
        assert {one["id"] for one in told} == expected, query
        for link in ("sessions.csv", "sessions.json"):
            assert (f"/login/reports/{link}?" in listed.text) == bool(query), "the exports are of what is shown"
    wrong = client.get("/login/reports/sessions?since=yesterday")
    assert wrong.status_code == 200 and "Enter a valid date." in wrong.text and not wrong.context["rows"]
    assert client.get("/login/reports/sessions.csv?since=yesterday").status_code == 400
    assert client.get("/login/reports/sessions.json?state=asleep").status_code == 400


@pytest.mark.req("S2")
def test_what_was_searched_for_is_kept_from_page_to_page(
    browser: Callable[..., Client], rita: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staffetta.site.support.views.PAGE", 2)
    client_id = enrolled("till")
    made = [service.open_session(rita.pk, client_id, "shell").id for _ in range(5)]
    service.open_session(rita.pk, client_id, "files")
    client, address, seen = browser(rita), "/login/reports/sessions?kind=shell&rep=rita", []
    while address:
        page = client.get(address)
        seen += [row.id for row in page.context["rows"]]
        found = re.search(r'rel="next" href="([^"]+)"', page.text)
        address = f"/login/reports/sessions{unescape(found[1])}" if found else ""
    assert seen == list(reversed(made)), "newest first, each once, and none of the other kind"


@pytest.mark.req("S2")
def test_an_empty_list_says_what_to_do(browser: Callable[..., Client], rita: Account) -> None:
    client = browser(rita)
    assert "There has been no session yet." in client.get("/login/reports/sessions").text
    assert "No session matches." in client.get("/login/reports/sessions?rep=nobody").text


def test_a_list_of_many_asks_the_database_as_often_as_one_of_few(
    rita: Account, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    client_id = enrolled("till")
    for _ in range(3):
        service.end_session(service.open_session(rita.pk, client_id, "shell").id, "console")
    with django_assert_num_queries(2):
        stories.list_sessions(limit=50)
    with django_assert_num_queries(3):
        list(stories.list_stories())


PLACE = Place("a", "1", "site-1", "1.0")


@pytest.mark.req("S2")
@pytest.mark.parametrize(
    ("now", "gone", "expected"),
    [
        (PLACE, True, Cause.NETWORK),
        (PLACE, False, Cause.RENEWED),
        (Place("a", "2", "site-1", "1.0"), True, Cause.RESTART),
        (Place("a", "2", "site-2", "1.0"), False, Cause.RESTART),
        (Place("a", "2", "site-2", "1.1"), False, Cause.UPDATE),
        (Place("b", "9", "site-2", "1.1"), True, Cause.OTHER_APPLIANCE),
        (Place("b", "9", "site-1", "1.0"), False, Cause.OTHER_APPLIANCE),
    ],
)
def test_why_an_end_attached_again(now: Place, gone: bool, expected: Cause) -> None:
    assert cause_of(PLACE, now, gone=gone) is expected


@pytest.mark.req("S2")
def test_both_ends_that_move_are_two_resumes_and_one_of_the_console(session: str) -> None:
    """What a console counts of itself (``make demo``) is the site's count for the console."""
    for counter, generation in enumerate(("site-a", "site-b", "site-c"), 1):
        _attach(session, "console", counter, generation)
        _attach(session, "jump-client", counter, generation)
    _attach(session, "jump-client", 4, "site-c")
    story = stories.story(session)
    assert story.resumes_by_end == {"console": 2, "jump-client": 3}
    assert story.resumes == 5


@pytest.mark.req("S2")
def test_an_update_of_the_site_is_told_from_its_restart_by_the_sites_version(
    session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for counter, (site, own) in enumerate((("1.0", "7"), ("1.0", "8"), ("1.1", "8")), 1):
        monkeypatch.setattr(settings, "STAFFETTA_VERSION", site)
        service.note_attached(session, "console", counter, f"site-{counter}", own, utc_now())
    causes = [one.cause for one in stories.story(session).events if one.event == "attached"]
    assert causes == [None, Cause.RESTART, Cause.UPDATE], "the end's own version says nothing of the site"


@pytest.mark.req("S2")
def test_the_list_is_exported_for_spreadsheets(browser: Callable[..., Client], person: Callable[..., Account]) -> None:
    rep = person("rita", Allowed.START_SESSIONS, Allowed.VIEW_REPORTS)
    session = service.open_session(rep.pk, enrolled('=1+1, "x"'), "shell").id
    service.end_session(session, "console")
    answer = browser(rep).get("/login/reports/sessions.csv")
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(body_of(answer).decode())))
    assert len(rows) == 1
    assert (rows[0]["id"], rows[0]["rep_name"], rows[0]["client_name"]) == (session, "rita", '\'=1+1, "x"')
    assert rows[0]["recorded"] == "yes" and rows[0]["longest_pause_ms"] == ""


def _record(folder: Path, session: str, texts: list[tuple[EndName, int, bytes]]) -> None:
    """Record frames with the gateway's recorder and hand the sealed segments over."""
    recorder = Recorder(folder, f"site-{os.urandom(3).hex()}")
    for end, sequence, text in texts:
        message = frames.encode(frames.Data(1, sequence, sequence * 1000, text))
        recorder.write(session, end, message, 10**15 + sequence * 1000, 0.0)
    for segment in recorder.finish(session):
        sealed = recorder.seal(segment)
        service.add_segment(session, sealed.path, sealed.sha256, sealed.size)
        recorder.taken(sealed)


@pytest.mark.req("S2")
def test_the_recording_is_joined_from_its_segments(
    browser: Callable[..., Client], rita: Account, session: str, tmp_path: Path
) -> None:
    """Two generations recorded overlapping parts; one segment is damaged on the disk afterwards."""
    ours, theirs = EndName.JUMP_CLIENT, EndName.CONSOLE
    _record(tmp_path / "a", session, [(ours, 0, b"hel"), (theirs, 0, b"typed"), (ours, 1, b"lo ")])
    _record(tmp_path / "b", session, [(ours, 1, b"lo "), (ours, 2, b"world")])
    client = browser(rita)
    answer = client.get(f"/login/reports/sessions/{session}/recording.cast")
    assert answer["Content-Disposition"] == f'attachment; filename="{session}.cast"'
    header, *events = [json.loads(line) for line in body_of(answer).splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert header["title"] == "rita, till"
    assert "".join(text for _, kind, text in events if kind == "o") == "hello world"
    assert [text for _, kind, text in events if kind == "i"] == ["typed"]
    page = client.get(f"/login/reports/sessions/{session}").text
    assert "Download recording" in page and "The session is going on." in page

    last = stories.SessionReport.objects.get(pk=session).segments.last()
    assert last is not None
    blobs.path_of(last.sha256).write_bytes(b"damaged")
    answer = client.get(f"/login/reports/sessions/{session}/recording.cast")
    header, *events = [json.loads(line) for line in body_of(answer).splitlines()]
    assert header["title"] == "rita, till (1 of 2 segments missing or damaged)"
    assert events
    assert header["remarks"] == ["1 of 2 segments missing or damaged"]
    assert client.get("/login/reports/sessions/unknown/recording.cast").status_code == 404


@pytest.mark.req("S2")
def test_a_page_without_a_recording_says_why(browser: Callable[..., Client], rita: Account, session: str) -> None:
    client = browser(rita)

    def said(session: str) -> str:
        answer = client.get(f"/login/reports/sessions/{session}")
        assert "wasm" not in answer["Content-Security-Policy"]
        assert "Download recording" not in answer.text
        return answer.text

    assert "Nothing of the recording is stored yet." in said(session)
    service.end_session(session, "console")
    assert "Nothing is recorded: nothing was typed or shown" in said(session)
    unrecorded = service.open_session(rita.pk, enrolled("other"), "shell", recorded=False).id
    assert "This session was not recorded." in said(unrecorded)
    files = service.open_session(rita.pk, enrolled("third"), "files").id
    assert "Sessions that move files are never recorded" in said(files)


@pytest.mark.req("S2")
def test_a_long_recording_is_read_one_segment_at_a_time(rita: Account, session: str, tmp_path: Path) -> None:
    """What a recording takes in memory does not grow with its length."""

    def peak(segments: int, first: int) -> int:
        for number in range(segments):
            start = first + number * 60
            text = os.urandom(8000).hex().encode()
            _record(tmp_path / f"{start}", session, [(EndName.JUMP_CLIENT, start + n, text) for n in range(60)])
        tracemalloc.start()
        read = sum(len(line) for line in playback.asciicast_lines(session))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read > segments * 60 * 16000
        return most

    short = peak(2, 0)
    assert peak(18, 120) < 2 * short


@pytest.mark.req("S1", "S2")
def test_moved_files_are_in_the_story_and_on_the_page(
    browser: Callable[..., Client], person: Callable[..., Account]
) -> None:
    rep = person("rita", Allowed.START_SESSIONS, Allowed.VIEW_REPORTS)
    opened = service.open_session(rep.pk, enrolled("till"), "files")
    assert not opened.recorded, "a file's bytes are never recorded"
    sha256 = hashlib.sha256(b"x").digest()
    sent = Transferred(1, Direction.SEND, "<b>prices</b>.csv", "stored", "/srv/prices.csv", 1_500_000, sha256)
    service.note_transfer(opened.id, "jump-client", sent, T0)
    service.note_transfer(opened.id, "jump-client", sent, T0 + timedelta(seconds=1))
    service.note_transfer(opened.id, "console", sent, T0 + timedelta(seconds=2))
    refused = Transferred(2, Direction.FETCH, "log", "no-such-file")
    service.note_transfer(opened.id, "console", refused, T0 + timedelta(seconds=3))
    assert Record.objects.filter(kind="session.transferred").count() == 3
    client = browser(rep)
    page = client.get(f"/login/reports/sessions/{opened.id}").text
    assert "<b>prices" not in page and "&lt;b&gt;prices&lt;/b&gt;.csv" in page
    assert page.count("stored on the remote computer, 1.5 MB") == 1, "told once, though both ends tell it"
    assert "to the remote computer" in page and "1.5 MB" in page and sha256.hex() in page and "/srv/prices.csv" in page
    assert "from the remote computer" in page and "no-such-file" in page
    assert "the ends do not agree" not in page
    told = client.get(f"/login/reports/sessions/{opened.id}.json").json()
    assert told["kind"] == "files" and told["recorded"] is False
    assert [(one["name"], one["outcome"], one["size"]) for one in told["transfers"]] == [
        ("<b>prices</b>.csv", "stored", 1_500_000),
        ("log", "no-such-file", None),
    ]
    assert told["transfers"][0]["told_by"] == ["jump-client", "console"]


def test_nothing_is_noted_of_files_in_a_session_of_another_kind(session: str) -> None:
    service.note_transfer(session, "console", Transferred(1, Direction.SEND, "a", "stored"), T0)
    assert stories.story(session).transfers == ()
    assert not Record.objects.filter(kind="session.transferred").exists()
    with pytest.raises(SessionUnknown):
        service.note_transfer("unknown", "console", Transferred(1, Direction.SEND, "a", "stored"), T0)
