"""The live stream of a job, over the real server: history, bytes, the end, and moving without losing an event."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from staffetta.control.appliance import EventKind, InstallEvent, JobState

from .control_server import JOB
from .real_pages import RealPages, real_pages, wait_until

EVENTS = f"/appliance/updates/jobs/{JOB}/events"
pytestmark = pytest.mark.live


@dataclass(frozen=True)
class Heard:
    """One server-sent event, as a browser takes it apart."""

    event: str
    data: object
    id: str | None


def heard(response: httpx.Response) -> Iterator[Heard]:
    """Take a stream apart after the rules of the HTML standard, 9.2.6."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if not line:
            if "event" in fields:
                yield Heard(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


@pytest.fixture(scope="module")
def running() -> Iterator[RealPages]:
    with real_pages() as pages:
        yield pages


@pytest.fixture
def pages(running: RealPages) -> RealPages:
    """The pages, and a base that has no job yet."""
    wait_until("streams of the last test are closed", lambda: running.control.watching == 0)
    running.control.forget()
    return running


@pytest.mark.req("U3")
def test_a_stream_tells_steps_bytes_and_the_end(pages: RealPages) -> None:
    control = pages.control
    control.begin_job()
    with pages.signed_in() as browser, browser.stream("GET", EVENTS) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        events = heard(response)
        first = next(events)
        assert (first.event, first.id) == ("fragment", "1")
        control.tell(control.step(2, "download"))
        assert next(events).id == "2"
        control.tell(InstallEvent(None, EventKind.PROGRESS, "download", "", 5_000_000, 20_000_000))
        bytes_told = next(events)
        assert bytes_told.id is None
        assert isinstance(bytes_told.data, dict)
        assert 'value="5000000" max="20000000"' in bytes_told.data["html"]
        control.end(3, JobState.COMMITTED, "site 1.1 is installed.")
        last = next(events)
        assert isinstance(last.data, dict)
        assert "Site 1.1 is installed." in last.data["html"]
        assert [one.event for one in events] == ["ended"]


@pytest.mark.req("U3", "U9")
def test_a_page_that_reopens_after_a_move_hears_every_event_once(pages: RealPages) -> None:
    control = pages.control
    control.begin_job()
    seen: list[str] = []
    with pages.signed_in() as browser:
        last = "0"
        with browser.stream("GET", EVENTS) as response:
            events = heard(response)
            seen.append(next(events).id or "")
            control.tell(control.step(2, "reserve"))
            last = next(events).id or ""
            seen.append(last)
            control.move()
            assert [one.event for one in events] == ["moved"]
        control.tell(control.step(3, "download"))
        # As EventSource does by itself, and as the page's script does: from the last id seen.
        for address, headers in ((EVENTS, {"Last-Event-ID": last}), (f"{EVENTS}?after={last}", {})):
            with browser.stream("GET", address, headers=headers) as response:
                again = next(heard(response))
                assert again.id == "3"
                assert isinstance(again.data, dict)
                assert 'data-step="verify"' in again.data["html"], "the picture is whole, not only what is new"
        seen.append("3")
        wait_until("closed streams are closed at base too", lambda: control.watching == 0)
        control.end(4, JobState.UNDONE, "site 1.1 was not installed: its probe fails")
        with browser.stream("GET", f"{EVENTS}?after=9") as response:
            ended = list(heard(response))
            assert [one.event for one in ended] == ["fragment", "ended"]
    assert seen == ["1", "2", "3"]


def test_a_draining_process_moves_its_streams_and_goes_on_serving() -> None:
    with real_pages() as pages, pages.signed_in() as browser:
        pages.control.begin_job()
        with browser.stream("GET", EVENTS) as response:
            events = heard(response)
            assert next(events).id == "1"
            pages.drain()
            assert [one.event for one in events] == ["moved"]
        assert browser.get("/appliance/").status_code == 200
        wait_until("base is no longer watched", lambda: pages.control.watching == 0)


def test_a_base_that_goes_away_under_a_stream_moves_it_and_one_that_is_gone_is_503() -> None:
    with RealPages() as pages, pages.signed_in() as browser:
        with pages.control.serving():
            pages.control.begin_job()
            response = browser.send(browser.build_request("GET", EVENTS), stream=True)
            events = heard(response)
            assert next(events).id == "1"
        assert [one.event for one in events] == ["moved"]
        response.close()
        gone = browser.get(EVENTS)
        assert gone.status_code == 503
        assert "Base does not answer" in gone.text
        with pages.control.serving():
            assert browser.get("/appliance/").status_code == 200


def test_many_streams_leave_nothing_behind(pages: RealPages) -> None:
    pages.control.begin_job()
    with pages.signed_in() as browser:
        for _ in range(20):
            with browser.stream("GET", EVENTS) as response:
                assert next(heard(response)).id == "1"
        wait_until("base is no longer watched", lambda: pages.control.watching == 0)
    assert "exception" not in pages.log().lower()
    assert "Traceback" not in pages.log()


@pytest.mark.req("U4")
def test_large_bodies_are_taken_only_from_those_who_signed_in(pages: RealPages) -> None:
    body = os.urandom(2_000_000)
    with pages.browser() as stranger:
        refused = stranger.post("/appliance/updates/install-file", content=body)
        assert refused.status_code == 413
        endless = stranger.post("/appliance/sign-in", content=(body for _ in range(3)))
        assert endless.status_code == 413
    with pages.signed_in() as browser:
        page = browser.get("/appliance/updates").text
        token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        started = browser.post(
            "/appliance/updates/install-file",
            data={"csrfmiddlewaretoken": token},
            files={"bundle": ("site.bundle", body)},
            headers={"Referer": "https://127.0.0.1:9443/appliance/updates"},
        )
        assert started.headers["Location"].endswith(JOB)
        assert pages.control.upload == body
        other = browser.post("/appliance/updates/check", content=body)
        assert other.status_code == 413
    assert list((pages.folder / "base" / "spool").iterdir()) == []
