"""The main job of a pair: B is upgraded, takes the traffic, A follows, and nobody notices; and the lab could tell."""

from collections.abc import Iterator

import pytest

from staffetta.lab.asynchronous import MEGABYTES, Asynchronous
from staffetta.lab.judge import bounds, judge
from staffetta.lab.page import page
from staffetta.lab.publisher import NEW
from worlds import a_story

pytestmark = [pytest.mark.live, pytest.mark.measures, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def told() -> Iterator[Asynchronous]:
    """The story, told to its end; its world stays up for what is asked afterwards."""
    with a_story(Asynchronous) as story:
        story.run()
        yield story


@pytest.mark.req("F1", "F3", "F5", "F7", "F8", "F9", "U12", "C4", "S1", "S2")
def test_nobody_notices(told: Asynchronous) -> None:
    report = told.report
    assert report.problems == []
    assert report.good
    assert report.outcome == "upgraded"
    assert report.http["failed"] == 0
    assert report.http["requests"] > 2000
    assert all(user["requests"] for user in report.users)
    assert [session["kind"] for session in report.sessions] == ["shell", "shell", "files"]
    for session in report.sessions:
        assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
        assert session["resumed"] >= 1
        assert len(session["generations"]) >= 2
    assert report.sessions[2]["sha256_ok"] is True
    assert report.sessions[2]["sent"] >= MEGABYTES * 1_000_000
    assert all(one.holds for one in bounds(report, expected="upgraded", kills=False))
    assert report.fleet is not None
    assert report.fleet["clients"] == report.fleet["updated"] == 8
    assert (report.fleet["active"], report.fleet["passive"]) == (5, 3)
    assert report.fleet["check_ins"] >= 2 * 3
    assert any("instead of every 24 hours" in note for note in report.notes)
    assert 1 <= report.fleet["most_at_once"] <= report.fleet["limit"] == 3


def test_traffic_moved_from_a_to_b_once(told: Asynchronous) -> None:
    assert [turn["origin"] for turn in told.turns] == [told.job["a"], told.job["b"]]


def test_the_pair_job_says_how_long_each_step_took_and_what_shows_it(told: Asynchronous) -> None:
    taken = {step.name: step for step in told.report.steps}
    for name in ("update-site-b", "probe-b", "swing", "update-site-a", "probe-a", "release-clients"):
        assert taken[name].evidence, name
    assert (taken["update-site-b"].appliance, taken["update-site-a"].appliance) == ("B", "A")
    assert NEW in taken["update-site-b"].evidence


def test_the_page_shows_both_appliances_and_the_swing(told: Asynchronous) -> None:
    html = page(told.report)
    assert "the traffic moves to B" in html
    assert "A: site" in html and "B: site" in html


@pytest.mark.req("S2")
def test_the_reports_know_that_the_move_was_no_pause(told: Asynchronous) -> None:
    stories = [one["story"] for one in told.admin.sessions()]
    moved = [one for story in stories for one in story if one.get("cause") == "other-appliance"]
    print([(one["end"], one["pause_ms"]) for one in moved])
    assert {one["end"] for one in moved} == {"console", "jump-client"}
    assert {one["pause_ms"] for one in moved} == {0}


@pytest.mark.req("F7")
def test_the_audit_log_has_the_end_of_the_job_once(told: Asynchronous) -> None:
    page = told.admin.browser.open("/login/audit-log?search=upgrade-finished")
    assert page.count("has finished") == 1


# From here on B is stopped.


@pytest.mark.req("F5")
@pytest.mark.parametrize(("kind", "key"), [("lose", "only_a"), ("copy", "doubled")])
def test_one_record_copied_or_deleted_turns_the_report_red(told: Asynchronous, kind: str, key: str) -> None:
    told.pair.stop(told.pair.b)
    before = told.pair.same(told.seen, seconds=0)["records"][key]
    sync = told.spoil_a_record(kind)
    assert sync["records"][key] == before + 1
    told.report.sync = sync
    red = judge(told.report, expected="upgraded", kills=False)
    assert any("records" in problem for problem in red), red
