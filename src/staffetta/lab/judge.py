"""The bounds of the main job and whether a report keeps them. Pure: a report in, a table and sentences out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from staffetta.lab.report import Report, modes_in, unit

PAUSE_BOUND_MS: Final = 1000.0
"""The longest a session may pause while its appliance is upgraded (main job)."""
PAIRS: Final = ("asynchronous", "synchronous")
"""The stories of a pair: in them, both appliances' data and the fleet are compared too."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound: what must hold, what was measured, and the sentences about where it does not hold."""

    what: str
    bound: str
    measured: str
    problems: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems


def bounds(report: Report, *, expected: str, kills: bool) -> tuple[Bound, ...]:
    """Return the bounds of the report's story, in the order of the main job; ``expected`` is the outcome it must have.

    When processes were killed on purpose (``kills``), requests may fail and sessions may pause for longer, but nothing
    may be lost.
    """
    found = [_requests(report, kills), _ended(report), _lost(report), _paused(report, kills)]
    if report.story in PAIRS or report.sync is not None:
        found += [_same(report, name) for name in ("records", "recordings")]
    if report.story in PAIRS or report.fleet is not None:
        found += [_updated(report, expected), _at_once(report, expected)]
    return tuple(found)


def judge(report: Report, *, expected: str, kills: bool) -> list[str]:
    """Return the sentences about everything that does not hold; none means that nobody noticed.

    ``expected`` is the outcome the story must have (``upgraded``, or ``unchanged`` with an unhealthy release).
    """
    problems = []
    if report.outcome != expected:
        problems.append(f"the outcome is {report.outcome}, not {expected}")
    problems += [sentence for bound in bounds(report, expected=expected, kills=kills) for sentence in bound.problems]
    problems += _seen_too_little(report)
    for session in report.sessions:
        name = _called(session)
        # With kills the files are small, and the one swing may fall between two of them.
        met = session["resumed"] >= 1 and len(set(session["generations"])) >= 2
        if expected == "upgraded" and not met and not (kills and session["kind"] == "files"):
            problems.append(f"{name} was never resumed by a newer server generation")
        if session.get("recording") not in (None, "complete"):
            problems.append(f"the recording of {name} is {session['recording']}")
    return problems


def _seen_too_little(report: Report) -> Iterator[str]:
    """Who did nothing proves nothing."""
    if not report.http["requests"]:
        yield "no request was made"
    yield from (f"{user['name']} made no request" for user in report.users if not user["requests"])
    if not report.sessions:
        yield "no session was held"
    yield from (f"{_called(session)} sent nothing" for session in report.sessions if not session["sent"])


def _called(session: dict[str, Any]) -> str:
    where = f" on {session['computer']}" if session.get("computer") else ""
    return f"the {session['kind']} session{where}"


def _requests(report: Report, kills: bool) -> Bound:
    failed, requests = report.http["failed"], report.http["requests"]
    problems = (f"{failed} requests failed",) if failed and not kills else ()
    return Bound("HTTP requests refused, reset or answered with an error", "0", f"{failed} of {requests}", problems)


def _ended(report: Report) -> Bound:
    ended = [session for session in report.sessions if session["ended"]]
    problems = tuple(f"{_called(session)} ended" for session in ended)
    return Bound("sessions ended", "0", f"{len(ended)} of {len(report.sessions)}", problems)


def _lost(report: Report) -> Bound:
    problems = []
    for session in report.sessions:
        if session["lost"] or session["doubled"]:
            lost, doubled = session["lost"], session["doubled"]
            problems.append(f"{_called(session)} lost {lost} and doubled {doubled} {unit(session)}")
        if session.get("sha256_ok") is False:
            problems.append(f"what {_called(session)} moved has another hash than what was sent")
    keys = [session for session in report.sessions if session["kind"] != "files"]
    files = [session for session in report.sessions if session["kind"] == "files"]
    measured = f"{sum(one['lost'] + one['doubled'] for one in keys)} of {sum(one['sent'] for one in keys)} keystrokes"
    if files:
        wrong = sum(one.get("sha256_ok") is False for one in files)
        measured += f", {sum(one.get('files', 1) for one in files)} files moved"
        measured += f", {wrong} of them wrong" if wrong else ", each right"
    return Bound("keystrokes lost or doubled, file bytes wrong", "0", measured, tuple(problems))


def _paused(report: Report, kills: bool) -> Bound:
    slow = [session for session in report.sessions if session["longest_pause_ms"] >= PAUSE_BOUND_MS and not kills]
    longest = max((session["longest_pause_ms"] for session in report.sessions), default=0.0)
    problems = tuple(f"{_called(session)} paused for {session['longest_pause_ms']:.0f} ms" for session in slow)
    bound = "not bounded: processes were killed" if kills else f"under {PAUSE_BOUND_MS:.0f} ms"
    return Bound("longest pause of a session", bound, f"{longest:.0f} ms", problems)


def _same(report: Report, name: str) -> Bound:
    what = f"{name} different between A and B, lost, or doubled"
    if report.sync is None:
        return Bound(what, "0", "not compared", (f"the {name} of A and B were not compared",))
    found = report.sync[name]
    words = {"only_a": "only on A", "only_b": "only on B", "doubled": "doubled", "lost": "lost on the way"}
    problems = tuple(f"{found[key]} {name} {said}" for key, said in words.items() if found.get(key))
    if not found["a"] or not found["b"]:
        problems += (f"A has {found['a']} {name} and B {found['b']}: nothing was compared",)
    wrong = sum(found.get(key, 0) for key in words)
    return Bound(what, "0", f"{wrong} of {max(found['a'], found['b'])}", problems)


def _updated(report: Report, expected: str) -> Bound:
    what = "clients not on the new version at the end"
    if report.fleet is None:
        return Bound(what, "0", "not looked at", ("nobody looked at the versions of the Jump Clients",))
    clients, updated = report.fleet["clients"], report.fleet["updated"]
    if expected != "upgraded":
        problems = (f"{updated} of {clients} Jump Clients are on the newer version, not 0",) if updated else ()
        return Bound("clients on the new version although the site is not", "0", f"{updated} of {clients}", problems)
    problems = (f"{clients - updated} of {clients} Jump Clients are not on the newer version",)
    measured = f"{clients - updated} of {clients}{modes_in(report.fleet)}"
    return Bound(what, "0", measured, () if clients == updated else problems)


def _at_once(report: Report, expected: str) -> Bound:
    what = "clients upgrading at once"
    if report.fleet is None:
        return Bound(what, "never above the limit", "not looked at", ("nobody counted the Jump Clients that upgrade",))
    most, limit = report.fleet["most_at_once"], report.fleet["limit"]
    problems = (f"{most} Jump Clients upgraded at a time, more than {limit}",) if most > limit else ()
    if expected == "upgraded" and not most:
        problems = ("no Jump Client was seen upgrading",)
    return Bound(what, f"at most {limit}", str(most), problems)
