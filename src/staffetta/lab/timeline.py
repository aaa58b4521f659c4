"""What happened when, drawn from the accounts of users and jobs. Pure: accounts in, spans out; times in unix seconds.

Kinds of span: ``version`` (a release serves), ``step`` (of a job or of a pair job), ``life`` (a user or a session is
there), ``pause`` (a session waits), ``gap`` (no request succeeds), ``failure`` (a request fails), ``traffic`` (an
appliance holds the shared address), ``swing`` (the moment it changes).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from staffetta.lab.report import Span, unit

TRAFFIC: Final = "traffic"


def of_user(lane: str, account: Mapping[str, Any]) -> Iterator[Span]:
    """Yield a user's presence, the longest times without a success and the requests that failed."""
    if account.get("began") is None:
        return
    began = account["began"]
    text = f"{account['requests']} requests, {account['failed']} failed"
    yield Span(lane, "life", began, account["finished"] - began, text)
    for at, seconds in account.get("gaps", ()):
        yield Span(lane, "gap", at, seconds, f"no answer for {seconds * 1000:.0f} ms")
    for at in account.get("failed_at", ()):
        yield Span(lane, "failure", at, 0.0, "a request failed")


def of_session(session: Mapping[str, Any]) -> Iterator[Span]:
    """Yield a session's life and its pauses."""
    if session.get("began") is None:
        return
    lane = f"{session['kind']} on {session['computer']}"
    text = f"{session['sent']} {unit(session)}, longest pause {session['longest_pause_ms']:.0f} ms"
    yield Span(lane, "life", session["began"], session["finished"] - session["began"], text)
    for at, seconds in session.get("pauses", ()):
        yield Span(lane, "pause", at, seconds, f"paused for {seconds * 1000:.0f} ms")


def of_installs(side: str, jobs: Sequence[Mapping[str, Any]], until: float) -> Iterator[Span]:
    """Yield an appliance's site releases and its install jobs, from what its list of jobs says."""
    ended = sorted(((moment(job["ended"]), job) for job in jobs if job["ended"]), key=lambda pair: pair[0])
    sites = [(at, job["version"]) for at, job in ended if (job["kind"], job["state"]) == ("site", "committed")]
    for (at, version), (later, _) in pairwise([*sites, (until, "")]):
        yield Span(f"{side}: site", "version", at, later - at, f"site {version}")
    for at, job in ended:
        began = moment(job["started"])
        how = "" if job["state"] == "committed" else f" ({job['state']})"
        yield Span(f"{side}: steps", "step", began, at - began, f"install {job['kind']} {job['version']}{how}")


def of_pair_job(job: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the steps of a pair job."""
    for step in job["steps"]:
        text = f"{step['step']}: {step['evidence'] or step['state']}"
        yield Span("pair job", "step", moment(step["started"]), step["seconds"] or 0.0, text)


def of_computer(name: str, upgrades: Sequence[tuple[float, float]]) -> Iterator[Span]:
    """Yield a Jump Client's upgrades, all clients in one lane; what never ended is not drawn."""
    for begin, end in upgrades:
        if end < float("inf"):
            yield Span("Jump Clients", "step", begin, end - begin, f"{name} upgrades")


def of_traffic(turns: Sequence[Mapping[str, Any]], sides: Mapping[str, str], until: float) -> Iterator[Span]:
    """Yield who answered at the shared address, and the moment of each swing. ``sides``: origin to A or B."""
    for number, (turn, later) in enumerate(pairwise([*turns, {"at": until, "origin": ""}])):
        side = sides.get(turn["origin"], "?")
        yield Span(TRAFFIC, "traffic", turn["at"], later["at"] - turn["at"], f"to {side}")
        if number:
            yield Span(TRAFFIC, "swing", turn["at"], 0.0, f"the traffic moves to {side}")


def moment(text: str) -> float:
    """Read a time as programs print it."""
    return datetime.fromisoformat(text).timestamp()
