"""What base knows of the pair, as values: the shared address and its phases, and the grant of a pair upgrade.

Base's own pages and command line meet them on the control socket, the site's pair job on the site door.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

LEAST_HOURS = 1
MOST_HOURS = 168
DEFAULT_HOURS = 24
"""How long a pair upgrade may be permitted for, and how long it is by default."""


class SharedState(StrEnum):
    """What this appliance does with the shared address now."""

    ABSENT = "absent"  # it was made without one
    DISABLED = "disabled"  # an administrator has unticked *Enabled*
    RELEASED = "released"  # it does not listen there: it is the backup, or gave the address away
    HELD = "held"  # it listens there


class SharedPhase(StrEnum):
    """One idempotent phase of moving the shared address, as one appliance does it (see docs/networking.md)."""

    HOLD = "hold"  # giver: new connections stay here while the other joins
    JOIN = "join"  # taker: listen beside the giver
    TURN = "turn"  # taker: the address is claimed, and new connections come here
    LEAVE = "leave"  # giver: take what is queued, stop listening, let go of the address
    SETTLE = "settle"  # taker: tell the neighbours once more, ready to be a giver the next time
    CLAIM = "claim"  # join, turn and settle at once: nobody gives
    RELEASE = "release"  # leave at once


@dataclass(frozen=True, slots=True)
class SharedAddress:
    """The shared address as base sees it. `term` is the highest role term for which it was moved."""

    state: SharedState
    address: str | None = None
    port: int | None = None
    interface: str | None = None
    enabled: bool = False
    term: int = 0
    present: bool = False  # the address is on an interface of this machine


@dataclass(frozen=True, slots=True)
class Grant:
    """What an administrator of this appliance has permitted: one pair upgrade, until a time.

    `job` is the pair job that uses it; another one needs a grant of its own.
    """

    granted_by: str
    granted_at: datetime
    until: datetime
    job: str | None = None
