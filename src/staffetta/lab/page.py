"""The report as one page that needs nothing else: verdict, bounds, timeline, sessions, steps, what a rival does."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.template import Context, Engine
from django.utils.safestring import mark_safe

from staffetta.lab.judge import bounds
from staffetta.lab.picture import picture
from staffetta.lab.report import RIVAL, Report, Span, unit

TEMPLATE: Final = Path(__file__).with_name("page.html")
AROUND_SWING: Final = 4.0
"""Seconds before and after a swing that are shown larger."""
LAST: Final = 2.0
WORDS: Final = {
    "version": "release",
    "step": "step",
    "life": "there",
    "pause": "pause",
    "gap": "gap",
    "failure": "failure",
    "traffic": "traffic",
    "swing": "swing",
}


def page(report: Report) -> str:
    """Return the page's HTML."""
    lanes = _lanes(report.timeline)
    begin, end = _shown(report)
    template = Engine(autoescape=True).from_string(TEMPLATE.read_text())
    # Everything is given as text: the template engine would ask Django's settings how to write a number.
    given = {
        "story": report.story,
        "outcome": report.outcome,
        "good": report.good,
        "when": datetime.fromtimestamp(report.began, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": f"{report.ended - report.began:.0f}",
        "problems": report.problems,
        "bounds": [
            {"what": one.what, "bound": one.bound, "measured": one.measured, "holds": one.holds}
            for one in bounds(
                report, expected="unchanged" if report.outcome == "unchanged" else "upgraded", kills=bool(report.kills)
            )
        ],
        "rival": RIVAL,
        "pictures": _pictures(report.timeline, lanes, begin, end),
        "spans": [_as_text(span, begin) for span in report.timeline],
        "sessions": [_session(one) for one in report.sessions],
        "versions": [
            {"version": version, "count": str(count)}
            for version, count in sorted((report.fleet or {}).get("versions", {}).items())
        ],
        "users": [_texts(one, ("name", "requests", "failed", "longest_gap_ms", "median_ms")) for one in report.users],
        "steps": [{**_texts(asdict(one)), "seconds": f"{one.seconds:.1f}"} for one in report.steps],
        "notes": report.notes,
    }
    return str(template.render(Context(given)))


def _lanes(spans: Sequence[Span]) -> list[str]:
    """In the order in which they were told."""
    return list(dict.fromkeys(span.lane for span in spans))


def _shown(report: Report) -> tuple[float, float]:
    """From the first user to the last; the whole story if there was none."""
    lives = [span for span in report.timeline if span.kind == "life"]
    if not lives:
        return report.began, max(report.ended, report.began + 1)
    return min(span.began for span in lives), max(span.began + span.seconds for span in lives) + LAST


def _pictures(spans: Sequence[Span], lanes: Sequence[str], begin: float, end: float) -> list[dict[str, str]]:
    if not lanes:
        return []
    found = [("whole", "While users were at work", begin, end)]
    swings = [span.began for span in spans if span.kind == "swing"]
    found += [
        (f"swing-{number}", "The swing, larger", moment - AROUND_SWING, moment + AROUND_SWING)
        for number, moment in enumerate(swings, 1)
    ]
    return [
        # The picture escapes what it shows.
        {"heading": heading, "svg": mark_safe(picture(spans, lanes, one, other, name))}
        for name, heading, one, other in found
    ]


def _as_text(span: Span, begin: float) -> dict[str, str]:
    return {
        "lane": span.lane,
        "kind": WORDS[span.kind],
        "at": f"{span.began - begin:.2f}",
        "seconds": f"{span.seconds:.2f}",
        "text": span.text,
    }


def _session(session: Mapping[str, Any]) -> dict[str, str]:
    right = {True: "SHA-256 right", False: "SHA-256 WRONG", None: ""}[session.get("sha256_ok")]
    difference = f"{session['lost']} lost, {session['doubled']} doubled"
    return {
        "what": f"{session['kind']} on {session.get('computer', '')}",
        "sent": f"{session['sent']:,} {unit(session)}",
        "verdict": "; ".join(filter(None, (difference, right))),
        "pause": f"{session['longest_pause_ms']:.0f} ms",
        "resumed": str(session["resumed"]),
        "generations": " → ".join(session["generations"]),
        "recording": str(session.get("recording") or "none"),
    }


def _texts(fields: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, str]:
    return {name: "" if fields.get(name) is None else str(fields[name]) for name in names or fields}
