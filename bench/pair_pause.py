"""N2 of a pair: the longest pause of a live shell session while the shared address moves, and after a kill."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.document import Section, Table
from bench.held import HeldConnection
from bench.pair_stage import PairStage
from bench.spread import Spread, Window, outside, pause_after, pause_within, percentile
from bench.typed import Session, TypedSession
from staffetta.lab.appliance import SITE_PORT

DECIDE_SECONDS: Final = 5.0
"""Somebody decides so long after a kill; until then the session's ends look for their site in vain."""
HELD_SECONDS: Final = 60.0
MOVE_REACH_MS, MOVE_AIM_MS = 1000.0, 250.0
KILL_REACH_MS, KILL_AIM_MS = 5000.0, 1000.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event under the session: from the decision on; whether the bare connection was cut, and how long its user
    waited after the decision for a new one; how long the command took.
    """

    window: Window
    cut: bool
    renewed: float | None
    seconds: float

    @property
    def decided(self) -> float:
        """When it was decided, in monotonic seconds."""
        return self.window.start


def measure(stage: PairStage, rounds: int) -> Section:
    """Type in one session; move the shared address and kill the primary ``rounds`` times each, in turn."""
    typed = TypedSession(stage.story.technician, stage.world.folder / "typed.json")
    moves, kills = [], []
    for _ in range(rounds):
        moves.append(_move(stage, typed))
        stage.world.say(f"  N2-pair move {len(moves)}: the command took {moves[-1].seconds:.2f} s")
        kills.append(_kill(stage, typed))
        stage.world.say(f"  N2-pair kill {len(kills)}: the command took {kills[-1].seconds:.2f} s")
    session = typed.finish(stage.story.admin)
    return section(session, moves, kills)


def _hold(stage: PairStage) -> HeldConnection:
    return HeldConnection(stage.story.pair.address, SITE_PORT, stage.story.pair.certificate)


def _move(stage: PairStage, typed: TypedSession) -> Event:
    """The backup becomes the primary with a data-sync, and the shared address follows it."""
    primary, backup = stage.roles()
    before, served = typed.attached(), typed.serving()
    with _hold(stage) as held:
        turn = stage.promote(backup, sync=True)
        end = typed.back(before, served)
        cut = held.cut
        renewed = held.wait(HELD_SECONDS)[1] - turn.decided if cut else None
    stage.settle(backup, primary)
    return Event(Window(turn.decided, end), cut, renewed, turn.seconds)


def _kill(stage: PairStage, typed: TypedSession) -> Event:
    """The primary is killed, and some seconds later the backup is made the primary without it."""
    primary, backup = stage.roles()
    before, served = typed.attached(), typed.serving()
    with _hold(stage) as held:
        stage.kill(primary)
        time.sleep(DECIDE_SECONDS)
        turn = stage.promote(backup, sync=False)
        end = typed.back(before, served)
        renewed = held.wait(HELD_SECONDS)[1] - turn.decided
    stage.bring_back(primary)
    stage.settle(backup, primary)
    return Event(Window(turn.decided, end), True, renewed, turn.seconds)


def section(session: Session, moves: Sequence[Event], kills: Sequence[Event]) -> Section:
    """Return the section of docs/performance.md."""
    moved = Spread.of(pause_within(session.echoes, event.window) * 1000 for event in moves)
    killed = Spread.of(_after(session, event) for event in kills)
    waits = [event.renewed * 1000 for event in kills if event.renewed is not None]
    reference = Spread.of(waits)
    rows = [
        _row("address move", moved, moves),
        _row("killed, then decided", killed, kills),
    ]
    quiet = outside(session.echoes, [_whole(event) for event in (*moves, *kills)])
    verdict = (
        f"A move of the shared address pauses a live session for {moved.text(unit='ms')} (to reach: 1 s, aim: 0.25 s: "
        f"{_met(moved, MOVE_REACH_MS, MOVE_AIM_MS)}); after a kill it goes on {killed.text(unit='ms')} after the "
        f"decision (to reach: 5 s, aim: 1 s: {_met(killed, KILL_REACH_MS, KILL_AIM_MS)}); a bare connection ends with "
        f"the kill, and a new one is accepted {reference.text(unit='ms')} after the decision: ratio "
        f"{killed.median / reference.median:.2g}."
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
    head = (
        "event",
        "events",
        "longest pause of the session",
        "bare connection",
        "until a new one is accepted",
        "command",
    )
    return Section(
        "N2-pair",
        "Longest pause of a live shell session: shared address moved, appliance killed",
        verdict,
        [("", Table(head, rows)), ("", echo)],
        [
            "A technician's console types a token into a program on a remote computer every 50 ms, as in N2.",
            "Address move: `staffetta failover become-primary --sync` on the backup; the pause is the longest time "
            "from typing a token until the terminal shows it again, from the start of the command on.",
            "Killed: keeper and all its children on the primary are killed at once; "
            f"{DECIDE_SECONDS:.0f} s later somebody decides: `staffetta failover become-primary --no-sync` on the "
            "backup. The pause is counted from the start of that command, which takes most of it; what was waited "
            "before the decision is not counted. The killed machine refuses connections at once; one that is switched "
            "off does not answer, and adds the time that connecting to it may take.",
            f"One session lived through all {len(moves) + len(kills)} events: it was resumed {session.resumed} times "
            f"by {session.generations} server generations, and of {len(session.echoes):,} tokens none was lost or "
            f"doubled; its recording is {session.recording}.",
            "The reference is a bare TLS connection to the shared address. On loopback both appliances have every "
            "address, so what was connected when the address moved may stay with the old primary; between two machines "
            "it ends. Ratio is the median pause after the decision by the median wait for a new connection.",
            "Command: how long `become-primary` took, the start of its interpreter included.",
        ],
    )


def _after(session: Session, event: Event) -> float:
    return pause_after(session.echoes, event.decided, event.window) * 1000


def _whole(event: Event) -> Window:
    """The window with what came before the decision."""
    return Window(event.window.start - 2 * DECIDE_SECONDS, event.window.end)


def _met(found: Spread, reach: float, aim: float) -> str:
    return "aim reached" if found.greatest <= aim else "reached" if found.greatest <= reach else "missed"


def _row(name: str, pauses: Spread, events: Sequence[Event]) -> list[str]:
    cut = sum(event.cut for event in events)
    waits = [event.renewed * 1000 for event in events if event.renewed is not None]
    return [
        name,
        str(len(events)),
        pauses.text(unit="ms"),
        f"cut in {cut} of {len(events)}",
        Spread.of(waits).text(unit="ms") if waits else "-",
        Spread.of(event.seconds for event in events).text(1, "s"),
    ]
