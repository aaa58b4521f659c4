"""Pure: how long an end was away before it attached again, as far as the site can tell, and why.

What is counted here is an end's connection. How long what a person types is held is the console's to tell (its
``pause_ms``): from the last sign of life until the far end has caught up, also when an end attaches at the new place
before it lets go of the old one, which is no pause here.

- The connection's end was seen: from then on.
- The same process still holds the older connection, or another generation does that lives (the end moved: it attaches
  first and lets go afterwards): no pause.
- The other appliance of a pair held it: whether that lives is not known here. What the end itself says counts then
  (``away_ms`` of its attach): 0 if it still held that connection, else the time since its last sign of life. An end of
  an older release says nothing; then the pause is not known.
- It was seen to go longer ago than any end dials: it was at the other appliance, and what it says counts too.
- Another process of the same generation held it: that process died without a word, at the earliest at its last beat.
  The pause told is the longest it can have been.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

ENDS_GIVE_UP_AFTER: Final = timedelta(minutes=6)
"""The ends dial for five minutes; a session in which neither has come back by then is over."""
MOST_BELIEVED_MS: Final = 24 * 60 * 60 * 1000
"""What an end says beyond a day is not believed: it gives up after minutes."""


class Cause(StrEnum):
    """Why an end attached again."""

    OTHER_APPLIANCE = "other-appliance"
    UPDATE = "update"
    RESTART = "restart"
    NETWORK = "network"
    RENEWED = "renewed"
    """At the same place, which had not seen the older connection go."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an end was attached: at which appliance, in which process, of which generation and version of the site."""

    origin: str
    incarnation: str
    generation: str
    version: str


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of the end's attach before this one. ``last_beat`` is its process's last sign of life, if known."""

    present: bool
    changed_at: datetime
    holder: str
    generation: str
    last_beat: datetime | None


def pause_before(
    before: Before | None, holder: str, generation: str, at: datetime, told: int | None = None
) -> int | None:
    """Return the pause in milliseconds, or None at a first attach and when nothing is known.

    ``told`` is what the end says of it, which counts where the site has seen nothing, or saw it go so long ago that it
    was at the other appliance meanwhile; a first attach says None.
    """
    seen = _seen(before, holder, generation, at)
    if told is None or not 0 <= told <= MOST_BELIEVED_MS:
        return seen
    return told if seen is None or seen > _milliseconds(ENDS_GIVE_UP_AFTER) else seen


def _seen(before: Before | None, holder: str, generation: str, at: datetime) -> int | None:
    if before is None:
        return None
    if not before.present:
        return _milliseconds(at - before.changed_at)
    if before.holder == holder:
        return 0
    if before.generation != generation:
        return None if before.last_beat is None else 0
    return None if before.last_beat is None else _milliseconds(at - before.last_beat)


def cause_of(before: Place, now: Place, *, gone: bool) -> Cause:
    """Return why an end came from one place to another; ``gone``: its older connection had been seen to end."""
    if before.origin != now.origin:
        return Cause.OTHER_APPLIANCE
    if before.version != now.version:
        return Cause.UPDATE
    if (before.generation, before.incarnation) != (now.generation, now.incarnation):
        return Cause.RESTART
    return Cause.NETWORK if gone else Cause.RENEWED


def _milliseconds(length: timedelta) -> int:
    return max(0, round(length / timedelta(milliseconds=1)))
