"""What the doctor saw of an appliance, as values; whatever could not be seen says why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from staffetta.control.appliance import ApplianceStatus, Certificate, Job, Updates
from staffetta.control.measures import PairMeasures
from staffetta.control.pairing import SharedAddress


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nothing is known about it, and why: a sentence that says what would show it."""

    why: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Owner, group and permission bits of something on the disk; of a link its own, not those of where it leads."""

    uid: int
    gid: int
    mode: int
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class PlaceSeen:
    """A folder or file. ``wanted_owner`` is None where the owner is not known; ``found`` is None when it is missing."""

    path: str
    wanted_owner: tuple[int, int] | None
    wanted_mode: int
    found: Entry | Unseen | None


@dataclass(frozen=True, slots=True)
class StrangersSeen:
    """Files in a program's folder that belong to another user than the program's (``uid``); ``odd``: sentences on what
    lies there in place of a file."""

    folder: str
    uid: int
    names: tuple[str, ...]
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseSeen:
    """The release that a program's ``current`` leads to; ``trouble`` is what its check said, None when it is whole.
    ``asked``: whether its Python was run to see what it is."""

    program: str
    version: str | None
    trouble: str | None = None
    files: int = 0
    asked: bool = True


@dataclass(frozen=True, slots=True)
class RoomSeen:
    """Room on the appliance's file system in bytes; ``needed`` is what the largest package on offer would take."""

    folder: str
    free: int
    total: int
    files_free: int | None
    needed: int | None


@dataclass(frozen=True, slots=True)
class ClockSeen:
    """``synchronised``: whether the kernel says that something disciplines its clock. ``floor``: the latest moment that
    somebody trusted has signed."""

    synchronised: bool | None
    floor: datetime | Unseen | None


@dataclass(frozen=True, slots=True)
class PortSeen:
    """A port that keeper is to hold: whether somebody listens there, and the programs that do as far as known.
    ``by_keeper``: whether keeper has the socket open; None when that could not be seen."""

    name: str
    address: str
    port: int
    held: bool
    holders: tuple[str, ...] = ()
    by_keeper: bool | None = None


class DatabaseState(StrEnum):
    """What the quick check of a database came to."""

    ABSENT = "absent"
    WHOLE = "whole"
    DAMAGED = "damaged"
    TOO_LARGE = "too-large"  # not done within the time that a reader may hold a snapshot
    LEFT_ALONE = "left-alone"  # reading it now could leave files behind that belong to the wrong user


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """One program's database; sizes in bytes, ``log`` is the write-ahead log beside it."""

    program: str
    path: str
    state: DatabaseState
    said: str = ""
    size: int = 0
    log: int = 0


@dataclass(frozen=True, slots=True)
class CertificateTrouble:
    """A certificate that cannot be read."""

    name: str
    said: str


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """The update server as it was tried: what it said when it did not answer well, and until when its list is good."""

    url: str
    said: str | None
    good_until: datetime | None


@dataclass(frozen=True, slots=True)
class JobSeen:
    """The install job that is under way, and the last that ended."""

    under_way: Job | None
    last: Job | None


@dataclass(frozen=True, slots=True)
class BaseSeen:
    """What base answered on the control socket; ``pair`` is None where there is no pair, ``shared`` where it does not
    say."""

    status: ApplianceStatus
    updates: Updates
    jobs: tuple[Job, ...]
    certificates: tuple[Certificate | CertificateTrouble, ...]
    pair: PairMeasures | Unseen | None
    shared: SharedAddress | None = None


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that base cannot read either, and how it is damaged, as a sentence."""

    how: str


@dataclass(frozen=True, slots=True)
class InterfaceSeen:
    """A network interface of this machine; addresses with their prefix, as 192.0.2.12/24. ``up`` is what it is set to,
    ``carrier`` whether anything is at its other end."""

    name: str
    up: bool
    addresses: tuple[str, ...]
    carrier: bool = True


@dataclass(frozen=True, slots=True)
class RoleSeen:
    """The stored role of the site: alone, primary or backup; None where there is no site yet."""

    role: str | None


@dataclass(frozen=True, slots=True)
class SharedSeen:
    """The shared address of an appliance that has one. ``interface`` is the one that base puts it on, None where others
    bring it; ``role`` is None where there is no site yet; ``held`` whether base listens there, None when it does not
    say."""

    address: str
    interface: str | None
    enabled: bool | Damaged | Unseen
    role: str | Unseen | None
    held: bool | None
    interfaces: tuple[InterfaceSeen, ...] | Unseen


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was seen of an appliance at ``now``, by this machine's clock."""

    now: datetime
    root: str
    as_root: bool
    places: tuple[PlaceSeen, ...]
    strangers: tuple[StrangersSeen | Unseen, ...]
    releases: tuple[ReleaseSeen | Unseen, ...]
    room: RoomSeen | Unseen
    clock: ClockSeen
    keeper_runs: bool | None
    ports: tuple[PortSeen, ...]
    certificates: tuple[Certificate | CertificateTrouble, ...] | Unseen
    databases: tuple[DatabaseSeen | Unseen, ...]
    server: ServerSeen | Unseen
    jobs: JobSeen | Unseen
    base: BaseSeen | Unseen
    shared: SharedSeen | None = None
