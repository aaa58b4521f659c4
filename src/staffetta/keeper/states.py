"""The state table of a generation. Nothing else may decide a transition."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a generation is."""

    STARTING = "starting"  # some process has not said ready
    STANDBY = "standby"  # ready, proves itself on its private socket, holds no public one
    ACTIVE = "active"  # has, or is being given, the sockets
    RESERVE = "reserve"  # was active, still whole, waits until the new one is confirmed
    DRAINING = "draining"  # finishes what it has, then leaves
    GONE = "gone"  # left as meant
    FAILED = "failed"  # left, or is leaving, for the reason it carries


class Event(StrEnum):
    """What moves a generation from state to state."""

    READY = "ready"  # its last process said ready
    TAKE = "take"  # its turn to have the sockets
    GIVE = "give"  # gives them to a new generation
    LEAVE = "leave"  # a newer one was confirmed, or nobody wants this one
    FAIL = "fail"  # crashed, hung, refused, not confirmed in time, or taken back
    EXITED = "exited"  # its last process is gone


TABLE: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.STARTING, Event.READY): State.STANDBY,
        (State.STARTING, Event.FAIL): State.FAILED,
        (State.STARTING, Event.LEAVE): State.DRAINING,
        (State.STANDBY, Event.TAKE): State.ACTIVE,
        (State.STANDBY, Event.FAIL): State.FAILED,
        (State.STANDBY, Event.LEAVE): State.DRAINING,
        (State.ACTIVE, Event.GIVE): State.RESERVE,
        (State.ACTIVE, Event.FAIL): State.FAILED,
        (State.RESERVE, Event.TAKE): State.ACTIVE,
        (State.RESERVE, Event.LEAVE): State.DRAINING,
        (State.DRAINING, Event.EXITED): State.GONE,
    }
)
FINALS = frozenset({State.GONE, State.FAILED})
