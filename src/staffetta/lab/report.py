"""The report of a story: what was measured, whether every bound holds, as JSON and as text for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

RIVAL: Final = (
    "A rival cuts every session here for 15 to 60 minutes "
    "(its own upgrade guide: users and sessions are ended while an update installs)."
)


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One step: on which appliance, how long it took in seconds, what shows that it is done, when it began (unix)."""

    name: str
    appliance: str
    seconds: float
    evidence: str
    began: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted, for the timeline: in which lane, of which kind (see ``timeline``), from when (unix)."""

    lane: str
    kind: str
    began: float
    seconds: float
    text: str


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
    began: float = 0.0
    ended: float = 0.0
    world: str = ""
    """The folder in which it took place; nothing is left of it afterwards."""
    timeline: list[Span] = field(default_factory=list)
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
        lines += [
            f"  {step.appliance:<5} {step.name:<22} {step.seconds:7.1f} s  {step.evidence}" for step in self.steps
        ]
        lines += ["", f"  HTTP requests    {self.http['requests']:>6}   failed {self.http['failed']}"]
        lines += [f"  longest gap      {self.http['longest_gap_ms']:>6} ms"]
        for user in self.users:
            lines.append(f"    {user['name']:<28} {user['requests']:>6} requests, {user['failed']} failed")
        for session in self.sessions:
            lines += session_lines(session)
        if self.sync:
            for name, found in self.sync.items():
                lines.append(
                    f"  {name:<14} {found['a']} on A, {found['b']} on B; only on A {found['only_a']}, "
                    f"only on B {found['only_b']}, doubled {found['doubled']}, lost {found.get('lost', 0)}"
                )
        if self.fleet:
            lines.append(
                f"  Jump Clients     {self.fleet['updated']} of {self.fleet['clients']} on the new version"
                f"{modes_in(self.fleet)}; at most {self.fleet['most_at_once']} upgraded at once, "
                f"{self.fleet['limit']} allowed"
            )
        lines += ["", f"  For comparison: {RIVAL}"]
        lines += [f"  Note: {note}" for note in self.notes]
        lines += ["", *(f"  RED: {problem}" for problem in self.problems)]
        lines.append("  Nothing was lost." if self.good else "  The story did NOT end well.")
        return "\n".join(lines) + "\n"


def modes_in(fleet: Mapping[str, Any]) -> str:
    """Return how many Jump Clients are active and how many passive, for people; nothing if all are active."""
    return f" ({fleet['active']} active, {fleet['passive']} passive)" if fleet.get("passive") else ""


def session_lines(session: dict[str, Any]) -> list[str]:
    """Return what is said of one session, for people."""
    return [
        f"  session ({session['kind']})  sent {session['sent']} {unit(session)}, lost {session['lost']}, "
        f"doubled {session['doubled']}, resumed {session['resumed']} times, "
        f"longest pause {session['longest_pause_ms']:.0f} ms",
        f"    server generations: {' -> '.join(session['generations'])}",
    ]


def unit(session: Mapping[str, Any]) -> str:
    """Return what is counted in a session."""
    return "bytes" if session["kind"] == "files" else "keystrokes"
