"""Pure: what may be established, and what an appliance does about what it sees of its peer (F1, F4, F11).

- A higher role term wins: a primary that sees a primary of a higher term steps down, and one that sees a primary of a
  lower term has it step down, since that may not see anything. Equal terms are for a person.
- A backup takes its term from a primary alone, so that of two backups the one that stepped down last has the higher.
- An appliance on which nobody has looked for a while has started anew: a stored primary asks before it serves.
"""

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from staffetta.site.data.roles import Role
from staffetta.wire.pair import Answer, Begin, Endpoint, Side, milliseconds

CLOCKS: Final = timedelta(seconds=2)
SILENT: Final = timedelta(seconds=30)
"""A peer that was not heard for so long is silent: pages say so, and a starting primary goes on without it."""

UNDO: Final = timedelta(seconds=30)
"""A relationship that only this side holds, so long after it was established, is undone."""

TAKE_BACK: Final = timedelta(seconds=15)
TAKING_OVER: Final = timedelta(seconds=180)
"""A take-over that was begun and not ended within this was killed."""


class CheckName(StrEnum):
    """Each thing that must hold before a relationship does."""

    KEY_SET = "key-set"
    SAME_KEY = "same-key"
    NOT_SHARED_NAME = "not-the-shared-name"
    NOT_ITSELF = "not-itself"
    REACHED = "backup-reached"
    DIRECT = "nobody-between"
    SAME_SITE = "same-site-name"
    SAME_VERSION = "same-version"
    CLOCKS = "clocks"
    CERTIFICATE = "certificate"
    FREE = "no-other-relationship"
    REVERSE = "reverse-connection"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; ``detail`` says what is so, or what to do."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Own:
    """What an appliance knows of itself while establishing. ``engaged``: the peer's origin if it has a relationship.

    ``replaceable``: that relationship never came to hold on both sides, or this side is the backup in it and stays so.
    ``names`` are those of its certificate, ``shared`` the site's shared host name, ``shared_address`` its shared
    address if it has one, ``leaf`` what it shows.
    """

    side: Side
    shared: str
    leaf: bytes
    names: tuple[str, ...]
    engaged: str | None
    replaceable: bool
    shared_address: str | None = None

    @property
    def moving(self) -> frozenset[str]:
        """The hosts that lead to whichever appliance is the primary."""
        return frozenset(one.rstrip(".").lower() for one in (self.shared, self.shared_address) if one)


# Establishing


def check_fields(backup: Endpoint, reverse: Endpoint, moving: Collection[str]) -> tuple[Check, ...]:
    """What can be said of the two fields alone; ``moving`` are hosts that lead to whichever is the primary."""
    named = [str(one) for one in (backup, reverse) if one.host in moving]
    return (
        _check(
            CheckName.NOT_SHARED_NAME,
            not named,
            "Neither is the site's shared host name or shared address.",
            f"{' and '.join(named)} leads to whichever appliance is the primary: give each appliance's own address.",
        ),
        _check(
            CheckName.NOT_ITSELF,
            backup != reverse,
            "The two addresses are different.",
            f"Both fields name {backup}: one is the new backup's, the other this appliance's own.",
        ),
    )


def check_key_set(own_key: bool) -> Check:
    """Whether a pre-shared key is set on this side."""
    return _check(
        CheckName.KEY_SET,
        own_key,
        "A pre-shared key is set.",
        "No inter-appliance pre-shared key is set here: set the same one on both appliances.",
    )


def same_key(ok: bool) -> Check:
    """The result of comparing the proofs of the pre-shared key."""
    return _check(
        CheckName.SAME_KEY,
        ok,
        "Both appliances have the same pre-shared key.",
        "The pre-shared keys of the two appliances differ, or what answers there is no appliance: set the same one.",
    )


def reached(backup: Endpoint, problem: str) -> Check:
    """Whether the new backup answered."""
    detail = f"The new backup is not to be had: {problem}"
    return _check(CheckName.REACHED, not problem, f"An appliance answers at {backup}.", detail)


def reverse_reached(reverse: Endpoint, problem: str) -> Check:
    """Whether the new backup came back to the new primary by the reverse details."""
    return _check(
        CheckName.REVERSE,
        not problem,
        f"The new backup reaches this appliance at {reverse}.",
        f"The new backup does not come back to this appliance: {problem}",
    )


def check_as_backup(own: Own, begin: Begin, at: datetime) -> tuple[Check, ...]:
    """What the backup-to-be checks of a begin whose key is proven, before it connects back. ``at``: when it came."""
    return (
        *check_fields(begin.backup, begin.reverse, own.moving),
        *_check_sides(own.side, begin.side),
        _direct(begin.leaf == own.leaf),
        _clocks(abs(milliseconds(at) - begin.side.at)),
        _check(
            CheckName.CERTIFICATE,
            covers(own.names, own.shared),
            f"The new backup holds a certificate for {own.shared}.",
            f"The new backup's certificate does not cover {own.shared}: install the site's certificate there.",
        ),
        _free(own, begin.side.origin, "The new backup"),
    )


def check_as_primary(own: Own, answer: Answer, seen: bytes, sent: datetime, got: datetime) -> tuple[Check, ...]:
    """What the primary-to-be checks of an answer whose key is proven. ``seen``: the leaf that it came through."""
    early, late = milliseconds(sent), milliseconds(got)
    apart = max(early - answer.side.at, answer.side.at - late, 0)
    return (
        *_check_sides(own.side, answer.side),
        _direct(answer.leaf == own.leaf and bool(seen)),
        _clocks(apart),
        _free(own, answer.side.origin, "The new primary"),
    )


def failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Those that do not hold."""
    return tuple(check for check in checks if not check.ok)


def merged(*groups: Iterable[Check]) -> tuple[Check, ...]:
    """Each named check once, in the order of ``CheckName``; one that failed on either side has failed."""
    found: dict[str, Check] = {}
    for check in (one for group in groups for one in group):
        if check.name not in found or found[check.name].ok:
            found[check.name] = check
    order = [name.value for name in CheckName]
    known = [found[name] for name in order if name in found]
    return (*known, *(check for name, check in found.items() if name not in order))


def covers(names: Sequence[str], host: str) -> bool:
    """Whether a certificate with these names (DNS, with wildcards, or IP addresses) is one for the host (RFC 6125)."""
    wanted = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError:
        first, _, rest = wanted.partition(".")
        return any(
            name == wanted or (name.startswith("*.") and bool(first) and name[2:] == rest and "." in rest)
            for name in (one.rstrip(".").lower() for one in names)
        )
    return any(_is_address(name, address) for name in names)


def _is_address(name: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ipaddress.ip_address(name) == address
    except ValueError:
        return False


def _check_sides(own: Side, other: Side) -> tuple[Check, ...]:
    return (
        _check(
            CheckName.NOT_ITSELF,
            own.origin != other.origin and own.key != other.key,
            "They are two appliances.",
            "The new backup's address leads back to this very appliance, as when the two are exchanged, "
            "or one appliance is a copy of the other.",
        ),
        _check(
            CheckName.SAME_SITE,
            own.site.rstrip(".").lower() == other.site.rstrip(".").lower(),
            f"Both serve {own.site}.",
            f"One appliance serves {own.site}, the other {other.site}: the shared host name must be the same.",
        ),
        _check(
            CheckName.SAME_VERSION,
            own.version == other.version,
            f"Both have site version {own.version}.",
            f"One appliance has site version {own.version}, the other {other.version}: install the same package.",
        ),
    )


def _direct(ok: bool) -> Check:
    return _check(
        CheckName.DIRECT,
        ok,
        "Each sees the certificate that the other shows.",
        "One appliance sees another certificate than the other shows: something stands between them. "
        "Let them reach each other without anything that opens TLS.",
    )


def _clocks(apart: int) -> Check:
    return _check(
        CheckName.CLOCKS,
        apart <= CLOCKS / timedelta(milliseconds=1),
        "The clocks agree.",
        f"The clocks of the two appliances are {apart / 1000:.1f} s apart, more than {CLOCKS.seconds} s: set them.",
    )


def _free(own: Own, other: str, who: str) -> Check:
    """What an interrupted try with the very same appliance has left does not stand in the way."""
    return _check(
        CheckName.FREE,
        own.engaged is None or (own.engaged == other and own.replaceable),
        f"{who} is in no other relationship.",
        f"{who} is in a failover relationship already: break that one first.",
    )


def _check(name: CheckName, ok: bool, good: str, bad: str) -> Check:
    return Check(name.value, ok, good if ok else bad)


# Afterwards


class Verdict(StrEnum):
    """What an appliance does about what it sees."""

    STAY = "stay"
    STEP_DOWN = "step-down"
    OUTRANK = "outrank"
    """Have the peer step down: it serves with a lower term, and may not reach this appliance to see so itself."""
    FOLLOW = "follow"
    TAKE_BACK = "take-back"
    UNDO = "undo"
    ASK_AGAIN = "ask-again"


class Alarm(StrEnum):
    """What a person should know."""

    TWO_PRIMARIES = "two-primaries"
    OLD_PRIMARY = "old-primary"
    NO_PRIMARY = "no-primary"
    SILENT = "peer-silent"
    CLOCKS_APART = "clocks-apart"
    LEFT = "peer-left"
    NOT_PROVEN = "peer-not-proven"


@dataclass(frozen=True, slots=True)
class Held:
    """What this appliance holds: its role and term, since when the relationship, and when the peer was last heard."""

    role: Role
    term: int
    established_at: datetime
    seen_at: datetime | None
    taking_over_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the peer showed; with no role it was silent, or ``refusal`` is the code of its authentic no.

    ``apart`` is by how much the clocks differ; ``without_primary`` since when two backups are seen.
    """

    role: Role | None = None
    term: int = 0
    refusal: str = ""
    apart: timedelta = timedelta(0)
    taking_over: bool = False
    without_primary: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Finding:
    """What to do, and what to tell."""

    verdict: Verdict
    alarms: tuple[Alarm, ...] = ()


def judge(own: Held, seen: Seen, now: datetime) -> Finding:
    """What to do about what was seen of the peer just now."""
    if seen.refusal:
        return _judge_refusal(own, seen.refusal, now)
    if seen.role is None:
        silent = now - (own.seen_at or own.established_at) >= SILENT
        return Finding(Verdict.STAY, (Alarm.SILENT,) if silent else ())
    alarms = (Alarm.CLOCKS_APART,) if seen.apart > CLOCKS else ()
    match own.role, seen.role:
        case Role.PRIMARY, Role.PRIMARY if seen.term > own.term:
            return Finding(Verdict.STEP_DOWN, alarms)
        case Role.PRIMARY, Role.PRIMARY if seen.term == own.term:
            return Finding(Verdict.STAY, (*alarms, Alarm.TWO_PRIMARIES))
        case Role.PRIMARY, Role.PRIMARY:
            return Finding(Verdict.OUTRANK, (*alarms, Alarm.OLD_PRIMARY))
        case Role.BACKUP, Role.PRIMARY if seen.term > own.term:
            return Finding(Verdict.FOLLOW, alarms)
        case Role.BACKUP, Role.BACKUP:
            return _judge_backups(own, seen, now, alarms)
        case _, Role.ALONE:
            return Finding(Verdict.STAY, (*alarms, Alarm.LEFT))
        case _:
            return Finding(Verdict.STAY, alarms)


def _judge_refusal(own: Held, refusal: str, now: datetime) -> Finding:
    if refusal == Alarm.CLOCKS_APART:
        return Finding(Verdict.STAY, (Alarm.CLOCKS_APART,))
    if refusal != "no-relationship":
        return Finding(Verdict.STAY, (Alarm.NOT_PROVEN,))
    if own.seen_at is None:
        # Establishing was interrupted between the two sides: it never held, so this side lets go of it too.
        return Finding(Verdict.UNDO if now - own.established_at >= UNDO else Verdict.STAY)
    return Finding(Verdict.STAY, (Alarm.LEFT,))


def _judge_backups(own: Held, seen: Seen, now: datetime, alarms: tuple[Alarm, ...]) -> Finding:
    """Two backups: a take-over is under way, or was killed; then the one that stepped down for it takes back."""
    if taking_over(own.taking_over_at, now) or seen.taking_over:
        return Finding(Verdict.STAY, alarms)
    if seen.without_primary < TAKE_BACK:
        return Finding(Verdict.STAY, alarms)
    if own.term > seen.term:
        return Finding(Verdict.TAKE_BACK, alarms)
    return Finding(Verdict.STAY, (*alarms, Alarm.NO_PRIMARY))


def taking_over(since: datetime | None, now: datetime) -> bool:
    """Whether a take-over that began then is still under way."""
    return since is not None and now - since < TAKING_OVER


def judge_start(own: Held, looked_at: datetime | None, seen: Seen, waited: timedelta, now: datetime) -> Finding:
    """What a starting gateway does before it serves: only a primary that nobody has watched lately asks its peer."""
    if own.role is not Role.PRIMARY or (looked_at is not None and abs(now - looked_at) < SILENT / 2):
        return Finding(Verdict.STAY)
    if seen.role is None and seen.refusal in ("", Alarm.CLOCKS_APART) and waited < SILENT:
        # A clock that is wrong after a start may be set in a moment; until then the peer cannot tell what it is.
        return Finding(Verdict.ASK_AGAIN)
    if seen.role is None and not seen.refusal:
        return Finding(Verdict.STAY, (Alarm.SILENT,))
    return judge(own, seen, now)


def suspended(finding: Finding) -> Finding:
    """What is left of a finding while a pair job decides about the roles (F7): no taking back, no undoing, no alarm.

    That the higher term wins stays: only a person can have brought it about, and two primaries are worse than a pause.
    """
    if finding.verdict in (Verdict.STEP_DOWN, Verdict.FOLLOW, Verdict.OUTRANK):
        return Finding(finding.verdict)
    return Finding(Verdict.STAY)


def next_term(*terms: int) -> int:
    """The term of the next primary: above every one that was seen."""
    return max(terms) + 1
