"""Looking at the peer: every second while there is a relationship, and once before a starting primary serves."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from staffetta.kernel.clock import parse_time, utc_now
from staffetta.kernel.errors import InvalidInput
from staffetta.kernel.log import get_logger
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import holds, roles, rules
from staffetta.site.failover.errors import FailoverError, PeerRefused, PeerUnreachable
from staffetta.site.failover.link import KeptPeer
from staffetta.site.failover.models import Relationship
from staffetta.site.failover.reaching import Limits
from staffetta.site.failover.rules import Alarm, Finding, Held, Seen, Verdict

_log = get_logger(__name__)

ACTOR: Final = "the pair's watch"
_LIMITS: Final = Limits(connect=2.0, silence=3.0, whole=5.0)
_LEAF: Final = re.compile(r"[0-9a-f]{64}")
_NOTED: Final = timedelta(seconds=5)
"""What has not changed is written down this often, so that watching does not keep the disk busy."""


class Watch:
    """Keeps the connection between two looks."""

    def __init__(self) -> None:
        self._kept = KeptPeer(_LIMITS)

    def look(self, now: datetime) -> None:
        """Ask the peer how it is, write that down, and do what follows from it."""
        relationship = roles.held()
        if relationship is None:
            self._kept.close()
            return
        said, seen = self._ask(relationship)
        held = _held(relationship)
        finding = rules.judge(held, _with_time(seen, relationship, now), now)
        if holds.suspended_by() is not None:
            finding = rules.suspended(finding)
        self._note(relationship, said, seen, finding, now)
        if finding.verdict is Verdict.OUTRANK:
            self._outrank(relationship, held.term)
        _follow(finding, seen)

    def close(self) -> None:
        """Let go of the connection."""
        self._kept.close()

    def _ask(self, relationship: Relationship) -> tuple[dict[str, Any] | None, Seen]:
        sent = utc_now()
        try:
            said = self._kept.of(relationship).get("picture")
            return said, _seen(said, sent, utc_now())
        except PeerRefused as error:
            return None, Seen(refusal=error.reason or "refused")
        except PeerUnreachable as error:
            _log.debug("the peer was not reached: %s", error.message)
            return None, Seen()

    def _outrank(self, relationship: Relationship, term: int) -> None:
        if (instance.role(), instance.role_term()) != (Role.PRIMARY, term):
            return  # it has changed since
        _log.warning("the peer serves with a lower term: it is told to step down", extra={"term": term})
        try:
            self._kept.of(relationship).post("role", {"verb": "step-down", "term": term})
        except FailoverError as error:
            _log.warning("the peer did not step down: %s", error.message)

    def _note(
        self, relationship: Relationship, said: dict[str, Any] | None, seen: Seen, finding: Finding, now: datetime
    ) -> None:
        both_backups = seen.role is Role.BACKUP and instance.role() is Role.BACKUP
        values: dict[str, Any] = {
            "alarm": " ".join(finding.alarms),
            "without_primary_since": (relationship.without_primary_since or now) if both_backups else None,
        }
        if said is not None and seen.role is not None:
            values |= {
                "peer_role": seen.role.value,
                "peer_term": seen.term,
                "peer_version": str(said.get("site_version", ""))[:64],
            }
            # In the peer's own words: the kept connection still shows a certificate that was replaced meanwhile.
            if leaf := _leaf(said):
                values["peer_leaf"] = leaf
        changed = {name: value for name, value in values.items() if getattr(relationship, name) != value}
        due = relationship.looked_at is None or now - relationship.looked_at >= _NOTED
        first = said is not None and relationship.seen_at is None
        if not (changed or due or first):
            return
        changed["looked_at"] = now
        if said is not None:
            changed |= {"seen_at": now, "peer_picture": said}
        for code in {alarm.value for alarm in finding.alarms} - set(relationship.alarm.split()):
            _log.warning("the pair: %s", code)
        # By its beginning: a relationship that was broken or made anew meanwhile is another one.
        Relationship.objects.filter(established_at=relationship.established_at, broken_at=None).update(**changed)


WATCH: Final = Watch()
"""The worker's."""


def look(now: datetime) -> None:
    """The worker's job of every second."""
    WATCH.look(now)


def settle(sleep: Callable[[float], None] = time.sleep) -> tuple[Alarm, ...]:
    """Before a gateway serves: a stored primary that nobody has watched lately asks its peer, at most 30 seconds long.

    Steps down when the peer is primary with a higher term; returns what a person should know.
    """
    began = utc_now()
    watch = Watch()
    try:
        while True:
            relationship = roles.held()
            if relationship is None or instance.role() is not Role.PRIMARY:
                return ()
            looked_at, now = relationship.looked_at, utc_now()
            finding = rules.judge_start(_held(relationship), looked_at, Seen(), now - began, now)
            if finding.verdict is not Verdict.ASK_AGAIN:
                return finding.alarms
            _, seen = watch._ask(relationship)
            now = utc_now()
            finding = rules.judge_start(_held(relationship), looked_at, seen, now - began, now)
            if finding.verdict is not Verdict.ASK_AGAIN:
                _follow(finding, seen)
                return finding.alarms
            sleep(1.0)
    finally:
        watch.close()


def _follow(finding: Finding, seen: Seen) -> None:
    try:
        match finding.verdict:
            case Verdict.STEP_DOWN:
                _log.warning("the peer is primary with a higher term: stepping down", extra={"term": seen.term})
                roles.step_down(seen.term, ACTOR)
            case Verdict.FOLLOW:
                roles.follow(seen.term)
            case Verdict.TAKE_BACK:
                _log.warning("the peer did not become primary after all: taking back")
                roles.promote(rules.next_term(instance.role_term(), seen.term), ACTOR, {"why": "take-back"})
            case Verdict.UNDO:
                _log.warning("the relationship never held on both sides: undone")
                roles.break_off(ACTOR, "it never held on both sides")
            case Verdict.STAY | Verdict.ASK_AGAIN | Verdict.OUTRANK:
                pass
    except FailoverError as error:
        # Somebody else changed the role between the look and this; the next look sees what holds now.
        _log.info("nothing was done about the peer: %s", error.message)


def _held(relationship: Relationship) -> Held:
    return Held(
        instance.role(),
        instance.role_term(),
        relationship.established_at,
        relationship.seen_at,
        relationship.taking_over_at,
    )


def _seen(said: dict[str, Any], sent: datetime, got: datetime) -> Seen:
    try:
        role, term, at = Role(said["role"]), said["term"], parse_time(said["time"])
    except (KeyError, ValueError, TypeError, InvalidInput):
        return Seen(refusal="not-understood")
    if type(term) is not int:
        return Seen(refusal="not-understood")
    apart = max(sent - at, at - got, timedelta(0))
    return Seen(role, term, apart=apart, taking_over=said.get("taking_over") is True)


def _leaf(said: dict[str, Any]) -> str:
    certificates = said.get("certificates")
    first = certificates[0] if isinstance(certificates, list) and certificates else ""
    return first if isinstance(first, str) and _LEAF.fullmatch(first) else ""


def _with_time(seen: Seen, relationship: Relationship, now: datetime) -> Seen:
    since = relationship.without_primary_since
    waited = timedelta(0) if since is None else now - since
    return Seen(seen.role, seen.term, seen.refusal, seen.apart, seen.taking_over, waited)
