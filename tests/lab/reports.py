"""Reports as a story makes them, for the tests of what reads them."""

from staffetta.lab import timeline
from staffetta.lab.report import Report, Span, StepTaken

BEGAN = 1_800_000_000.0


def single() -> Report:
    """The story `single`, in which nothing was lost."""
    return Report(
        "single",
        outcome="upgraded",
        http={"requests": 100, "failed": 0, "longest_gap_ms": 20.0},
        users=[{"name": "requests on new connections", "requests": 60, "failed": 0},
               {"name": "the uploader", "requests": 40, "failed": 0}],
        sessions=[
            {
                "kind": "shell", "ended": False, "longest_pause_ms": 80.0, "sent": 700, "lost": 0, "doubled": 0,
                "resumed": 1, "generations": ["site-a", "site-b"], "recording": "complete",
            }
        ],
        fleet={"clients": 3, "updated": 3, "limit": 1, "most_at_once": 1},
        steps=[StepTaken("publish", "A", 1.0, "signed")],
    )  # fmt: skip


def pair() -> Report:
    """The story `asynchronous`, in which nothing was lost."""
    report = Report("asynchronous", outcome="upgraded", began=BEGAN - 60, ended=BEGAN + 120)
    report.http = {"requests": 5100, "failed": 0, "longest_gap_ms": 140.0}
    report.users = [
        {
            "name": "shared address, new connections", "requests": 5000, "failed": 0, "began": BEGAN,
            "finished": BEGAN + 100, "gaps": [[BEGAN + 52.3, 0.14]], "failed_at": [], "longest_gap_ms": 140.0,
            "median_ms": 6.0,
        },
        {"name": "shared address, kept alive", "requests": 100, "failed": 0, "began": BEGAN, "finished": BEGAN + 100},
    ]  # fmt: skip
    session = {
        "ended": False, "longest_pause_ms": 210.0, "lost": 0, "doubled": 0, "resumed": 2, "began": BEGAN + 4,
        "finished": BEGAN + 98, "generations": ["site-a", "site-b", "site-c"], "recording": "complete",
        "pauses": [[BEGAN + 52.5, 0.21], [BEGAN + 81, 0.12]],
    }  # fmt: skip
    report.sessions = [
        {**session, "kind": "shell", "computer": "computer-1", "sent": 14000, "sha256_ok": None},
        {**session, "kind": "files", "computer": "computer-2", "sent": 200_000_000, "sha256_ok": True,
         "recording": None},
        {**session, "kind": "shell", "computer": "computer-3", "sent": 13000, "sha256_ok": None},
    ]  # fmt: skip
    same = {"a": 400, "b": 400, "only_a": 0, "only_b": 0, "doubled": 0}
    report.sync = {"records": {**same, "lost": 0}, "recordings": {**same, "a": 30, "b": 30}}
    report.fleet = {"clients": 8, "updated": 8, "limit": 3, "most_at_once": 3, "versions": {"1.1.0": 8}}
    report.steps = [StepTaken("publish", "A+B", 21.4, "signed", BEGAN - 60), StepTaken("swing", "B", 0.3, "moved")]
    for side, swapped in (("A", 80.0), ("B", 40.0)):
        report.timeline += [
            Span(f"{side}: site", "version", BEGAN - 50, swapped + 50, "site 1.0.0"),
            Span(f"{side}: site", "version", BEGAN + swapped, 120 - swapped, "site 1.1.0"),
            Span(f"{side}: steps", "step", BEGAN + swapped - 25, 12, "install base 1.1.0"),
            Span(f"{side}: steps", "step", BEGAN + swapped - 12, 12.5, "install site 1.1.0"),
        ]
    turns = [{"at": BEGAN, "origin": "a"}, {"at": BEGAN + 52.4, "origin": "b"}]
    report.timeline += timeline.of_traffic(turns, {"a": "A", "b": "B"}, BEGAN + 100)
    for one in report.sessions:
        report.timeline += timeline.of_session(one)
    for user in report.users:
        report.timeline += timeline.of_user(str(user["name"]), user)
    return report
