"""The report of a story: what was measured, whether every bound holds, as JSON and as text for people."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

PAUSE_BOUND_MS: Final = 1000.0
"""The longest a session may pause while its appliance is upgraded (main job)."""

RIVAL: Final = (
    "A rival cuts every session here for 15 to 60 minutes "
    "(its own upgrade guide: users and sessions are ended while an update installs)."
)


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One step of the story: on which appliance, how long it took in seconds, and what shows that it is done."""

    name: str
    appliance: str
    seconds: float
    evidence: str


@dataclass
class Report:
    """Everything a story found out. ``problems`` are the sentences that make it red."""

    story: str
    outcome: str = "failed"
    http: dict[str, Any] = field(default_factory=lambda: {"requests": 0, "failed": 0, "longest_gap_ms": 0.0})
    users: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    sync: dict[str, Any] | None = None
    fleet: dict[str, Any] | None = None
    steps: list[StepTaken] = field(default_factory=list)
    upgrades: list[dict[str, Any]] = field(default_factory=list)
    kills: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the story ended as it should and nothing was lost."""
        return not self.problems

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps({**asdict(self), "good": self.good}, indent=2) + "\n"

    def to_text(self) -> str:
        """Return the report as lines for a terminal."""
        lines = ["", f"Report of the story `{self.story}`: {self.outcome}", ""]
        lines += [f"  {step.name:<22} {step.seconds:7.1f} s  {step.evidence}" for step in self.steps]
        lines += ["", f"  HTTP requests    {self.http['requests']:>6}   failed {self.http['failed']}"]
        lines += [f"  longest gap      {self.http['longest_gap_ms']:>6} ms"]
        for user in self.users:
            lines.append(f"    {user['name']:<28} {user['requests']:>6} requests, {user['failed']} failed")
        for session in self.sessions:
            lines.append(
                f"  session ({session['kind']})  sent {session['sent']} keystrokes, lost {session['lost']}, "
                f"doubled {session['doubled']}, resumed {session['resumed']} times, "
                f"longest pause {session['longest_pause_ms']:.0f} ms"
            )
            lines.append(f"    server generations: {' -> '.join(session['generations'])}")
        if self.fleet:
            lines.append(
                f"  fleet            {self.fleet['updated']} of {self.fleet['clients']} Jump Clients followed, "
                f"{self.fleet['most_at_once']} at a time at most (limit {self.fleet['limit']})"
            )
        lines += ["", f"  For comparison: {RIVAL}"]
        lines += [f"  Note: {note}" for note in self.notes]
        lines += ["", *(f"  RED: {problem}" for problem in self.problems)]
        lines.append("  Nothing was lost." if self.good else "  The story did NOT end well.")
        return "\n".join(lines) + "\n"


def judge(report: Report, *, expected: str, kills: bool) -> list[str]:
    """Return the sentences about every bound that does not hold; none means that nobody noticed.

    ``expected`` is the outcome the story must have (``upgraded``, or ``unchanged`` with an unhealthy release). When
    processes were killed on purpose, requests may fail and sessions may pause for longer, but nothing may be lost.
    """
    problems = []
    if report.outcome != expected:
        problems.append(f"the outcome is {report.outcome}, not {expected}")
    if report.http["failed"] and not kills:
        problems.append(f"{report.http['failed']} requests failed")
    if not report.http["requests"]:
        problems.append("no request was made")
    problems += [f"{user['name']} made no request" for user in report.users if not user["requests"]]
    if not report.sessions:
        problems.append("no session was held")
    for session in report.sessions:
        name = f"the {session['kind']} session"
        if session["ended"]:
            problems.append(f"{name} ended")
        if session["lost"] or session["doubled"]:
            problems.append(f"{name} lost {session['lost']} and doubled {session['doubled']} keystrokes")
        if not session["sent"]:
            problems.append(f"{name} sent nothing")
        if session["longest_pause_ms"] >= PAUSE_BOUND_MS and not kills:
            problems.append(f"{name} paused for {session['longest_pause_ms']:.0f} ms")
        if expected == "upgraded" and (session["resumed"] < 1 or len(set(session["generations"])) < 2):
            problems.append(f"{name} was never resumed by a newer server generation")
        if session.get("recording") not in (None, "complete"):
            problems.append(f"the recording of {name} is {session['recording']}")
    return problems + judge_fleet(report.fleet, expected)


def judge_fleet(fleet: dict[str, Any] | None, expected: str) -> list[str]:
    """Return what is wrong with how the Jump Clients followed; a story without Jump Clients has no fleet."""
    if fleet is None:
        return []
    problems = []
    should = fleet["clients"] if expected == "upgraded" else 0
    if fleet["updated"] != should:
        problems.append(f"{fleet['updated']} of {fleet['clients']} Jump Clients are on the newer version, not {should}")
    if fleet["most_at_once"] > fleet["limit"]:
        problems.append(f"{fleet['most_at_once']} Jump Clients upgraded at a time, more than {fleet['limit']}")
    if should and not fleet["most_at_once"]:
        problems.append("no Jump Client was seen upgrading")
    return problems
