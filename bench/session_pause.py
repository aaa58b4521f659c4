"""N2: the longest pause of a live shell session through site updates; reference: a bare connection, which ends."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.document import Section, Table
from bench.held import HeldConnection
from bench.spread import Spread, Window, outside, pause_within, percentile
from bench.stage import Stage
from bench.typed import Session, TypedSession
from staffetta.lab.appliance import SITE_PORT

CUT_SECONDS: Final = 90.0
REACH_MS, AIM_MS = 1000.0, 100.0


@dataclass(frozen=True, slots=True)
class Cut:
    """What the bare connection met: seconds from the event's start to its end, and from there to a new one."""

    after: float
    renewed: float


@dataclass(frozen=True, slots=True)
class Event:
    """One event under the session: when, what the bare connection met, and how many seconds it took."""

    window: Window
    cut: Cut
    seconds: float


def measure(stage: Stage, rounds: int) -> Section:
    """Type in one session; update the site and stop and start the appliance ``rounds`` times each, in turn."""
    versions = stage.publish(("site",), rounds)
    typed = TypedSession(stage.story.technician, stage.world.folder / "typed.json")
    updates, stops = [], []
    for version in versions:
        updates.append(_update(stage, typed, version))
        stops.append(_stop(stage, typed))
    session = typed.finish(stage.story.admin)
    for name, events in (("site update", updates), ("stop and start", stops)):
        for event in events:
            pause = pause_within(session.echoes, event.window) * 1000
            stage.world.say(
                f"  N2 {name}: session paused for {pause:.0f} ms; bare connection cut, {event.cut.renewed:.3f} s"
            )
    return section(session, updates, stops)


def _update(stage: Stage, typed: TypedSession, version: str) -> Event:
    before = typed.attached()
    with _hold(stage) as held:
        update = stage.update("site", version)
        end = typed.back(before)
        cut = _cut(held, update.began)
        stage.wait_gone(update)
    return Event(Window(update.began, end), cut, update.seconds)


def _stop(stage: Stage, typed: TypedSession) -> Event:
    before = typed.attached()
    with _hold(stage) as held:
        began = time.monotonic()
        seconds = stage.stop_start()
        end = typed.back(before)
        cut = _cut(held, began)
    return Event(Window(began, end), cut, seconds)


def _hold(stage: Stage) -> HeldConnection:
    appliance = stage.story.appliance
    return HeldConnection(appliance.address, SITE_PORT, appliance.site_certificate)


def _cut(held: HeldConnection, began: float) -> Cut:
    ended, accepted = held.wait(CUT_SECONDS)
    return Cut(ended - began, accepted - ended)


def section(session: Session, updates: Sequence[Event], stops: Sequence[Event]) -> Section:
    """Return the section of docs/performance.md."""
    pauses = Spread.of(pause_within(session.echoes, event.window) * 1000 for event in updates)
    reference = Spread.of(event.cut.renewed * 1000 for event in stops)
    rows = [_row(session, name, events) for name, events in (("site update", updates), ("stop and start", stops))]
    quiet = outside(session.echoes, [event.window for event in (*updates, *stops)])
    met = "aim reached" if pauses.greatest <= AIM_MS else "reached" if pauses.greatest <= REACH_MS else "missed"
    verdict = (
        f"A site update pauses a live session for {pauses.text(unit='ms')} (to reach: {REACH_MS / 1000:.0f} s, aim: "
        f"{AIM_MS / 1000:.1f} s: {met}); a bare connection ends, and after a stop and start its user waits "
        f"{reference.text(unit='ms')} for a new one: ratio {pauses.median / reference.median:.2g}."
    )
    head = (
        "event",
        "events",
        "longest pause of the session",
        "bare connection",
        "until a new one is accepted",
        "duration",
    )
    echo = Table(
        ("echo round trip outside of events", "p50", "p99"),
        [
            [
                f"{len(quiet):,} tokens",
                f"{percentile(quiet, 50) * 1000:.1f} ms",
                f"{percentile(quiet, 99) * 1000:.1f} ms",
            ]
        ],
    )
    return Section(
        "N2",
        "Longest pause of a live shell session: site update",
        verdict,
        [("", Table(head, rows)), ("", echo)],
        [
            "A technician's console types a token into a program on a remote computer every 50 ms. A pause is the time "
            "from typing a token until the terminal shows it again; the longest of an event is in the table. It "
            "includes what the install itself takes from the machine (unpacking, checking, starting).",
            f"One session lived through all {len(updates) + len(stops)} events: it was resumed {session.resumed} times "
            f"by {session.generations} server generations, and of {len(session.echoes):,} tokens none was lost or "
            f"doubled, in the far program and in the terminal; its recording is {session.recording}.",
            "The reference is a bare TLS connection to the site's port, held through the same events: how long after "
            "the event's start it was cut, and how long its user then tried until a new one was accepted (its "
            "handshake done). What it carried is lost each time. Ratio is the median pause of the session through a "
            "site update by the median wait for a new connection after a stop and start.",
            "Duration: of an update, from install to committed, the download over loopback included; of a stop and "
            "start of keeper with all of the appliance, until both faces answer.",
        ],
    )


def _row(session: Session, name: str, events: Sequence[Event]) -> list[str]:
    count = len(events)
    return [
        name,
        str(count),
        Spread.of(pause_within(session.echoes, event.window) * 1000 for event in events).text(unit="ms"),
        f"cut in {count} of {count}, after {Spread.of(event.cut.after for event in events).text(1, 's')}",
        Spread.of(event.cut.renewed * 1000 for event in events).text(unit="ms"),
        Spread.of(event.seconds for event in events).text(1, "s"),
    ]
