"""Accounts of jobs and users become spans: which release served when, what each step took, where traffic went."""

from staffetta.lab import timeline
from staffetta.lab.report import Span


def job(kind: str, version: str, begin: int, end: int | None, state: str = "committed") -> dict[str, str | None]:
    ended = None if end is None else f"2027-01-01T10:00:{end:02}+00:00"
    return {
        "kind": kind,
        "version": version,
        "state": state,
        "started": f"2027-01-01T10:00:{begin:02}Z",
        "ended": ended,
    }


ZERO = timeline.moment("2027-01-01T10:00:00Z")


def seen(spans: list[Span], kind: str) -> list[tuple[str, float, float]]:
    return [(one.text, one.began - ZERO, one.seconds) for one in spans if one.kind == kind]


def test_a_release_serves_from_its_job_to_the_next() -> None:
    jobs = [
        job("site", "1.1.0", 40, None, "running"),
        job("site", "1.1.0", 20, 30),
        job("base", "1.1.0", 12, 15),
        job("site", "1.0.9", 7, 9, "undone"),
        job("site", "1.0.0", 1, 5),
    ]
    spans = list(timeline.of_installs("B", jobs, ZERO + 60))
    assert seen(spans, "version") == [("site 1.0.0", 5, 25), ("site 1.1.0", 30, 30)]
    assert seen(spans, "step") == [
        ("install site 1.0.0", 1, 4),
        ("install site 1.0.9 (undone)", 7, 2),
        ("install base 1.1.0", 12, 3),
        ("install site 1.1.0", 20, 10),
    ]
    assert {one.lane for one in spans} == {"B: site", "B: steps"}


def test_each_step_of_a_pair_job_says_what_shows_it() -> None:
    steps = [
        {
            "step": "swing",
            "state": "done",
            "started": "2027-01-01T10:00:07Z",
            "seconds": 1.5,
            "evidence": "B is primary",
        },
        {"step": "hand-over", "state": "running", "started": "2027-01-01T10:00:09Z", "seconds": None, "evidence": ""},
    ]
    spans = list(timeline.of_pair_job({"steps": steps}))
    assert seen(spans, "step") == [("swing: B is primary", 7, 1.5), ("hand-over: running", 9, 0)]


def test_traffic_goes_to_one_and_then_to_the_other() -> None:
    turns = [{"at": ZERO, "origin": "x"}, {"at": ZERO + 4, "origin": "y"}]
    spans = list(timeline.of_traffic(turns, {"x": "A", "y": "B"}, ZERO + 10))
    assert seen(spans, "traffic") == [("to A", 0, 4), ("to B", 4, 6)]
    assert seen(spans, "swing") == [("the traffic moves to B", 4, 0)]


def test_upgrades_that_never_ended_are_not_drawn() -> None:
    spans = list(timeline.of_computer("one", [(ZERO, ZERO + 2), (ZERO + 5, float("inf"))]))
    assert seen(spans, "step") == [("one upgrades", 0, 2)]


def test_a_user_who_told_no_time_is_not_drawn() -> None:
    assert list(timeline.of_user("uploader", {"requests": 1, "failed": 0})) == []
