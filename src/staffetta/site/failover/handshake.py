"""Establishing a relationship, on both sides: nothing holds until every check has held on both.

The backup-to-be commits first, on the primary-to-be's proven word that all holds; the primary commits on the backup's
proven word. Killed in between, the backup learns from its peer that there is no relationship and undoes its own
(``rules.judge``); a next try with the same peer completes it.
"""

import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings

from staffetta.kernel.clock import utc_now
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import identity, roles, rules
from staffetta.site.failover.answers import Asked
from staffetta.site.failover.errors import NoAttempt, NotEstablished, PeerUnreachable
from staffetta.site.failover.peer import say_hello
from staffetta.site.failover.reaching import Answered, Limits, Reached
from staffetta.site.failover.rules import Check, Own, failed, merged
from staffetta.wire import fields as wire_fields
from staffetta.wire import pair
from staffetta.wire.errors import FrameError, NotProven
from staffetta.wire.identity import NONCE_BYTES
from staffetta.wire.pair import Answer, Begin, Endpoint, Finish, Held, Side

PEER_ACTOR: Final = "the other appliance"
ATTEMPT_LIFE: Final = timedelta(seconds=60)
_CHECKS_LIMIT: Final = 32

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What the backup-to-be remembers between its answer and the finish."""

    begin: Begin
    answer: Answer
    key: bytes
    made_at: datetime


class _Attempts:
    """The one attempt that is open; a newer one takes its place, and it can be finished once."""

    def __init__(self) -> None:
        self._open: _Attempt | None = None
        self._lock = threading.Lock()

    def put(self, attempt: _Attempt) -> None:
        with self._lock:
            self._open = attempt

    def take(self, nonce: bytes, now: datetime) -> _Attempt:
        with self._lock:
            attempt = self._open
            if attempt is None or attempt.answer.nonce != nonce or now - attempt.made_at > ATTEMPT_LIFE:
                raise NoAttempt("This appliance knows no such attempt, or no longer: establish again.")
            self._open = None
            return attempt


_ATTEMPTS: Final = _Attempts()


def establish(backup: Endpoint, reverse: Endpoint, actor: str, clock: Clock = utc_now) -> None:
    """As the primary-to-be, establish a relationship with the appliance at ``backup``, which reaches us at ``reverse``.

    Raises ``NotEstablished`` with every check that was made, on either side.
    """
    own = _own(clock, Role.PRIMARY)
    moving = own.moving | {one.host for one in (backup, reverse) if _leads_to(one.host, own.shared_address)}
    checks = [*rules.check_fields(backup, reverse, moving), rules.check_key_set(identity.preshared_key_set())]
    _refuse(checks)
    key = _key()
    try:
        # The backup goes back by the reverse details before it answers, which may take it a while.
        reached = Reached(backup, Limits(silence=25.0))
    except PeerUnreachable as error:
        raise NotEstablished(merged(checks, [rules.reached(backup, error.message)])) from None
    try:
        _exchange(reached, key, own, backup, reverse, actor, clock, checks)
    except PeerUnreachable as error:
        raise NotEstablished(merged(checks, [rules.reached(backup, error.message)])) from None
    finally:
        reached.close()


def _exchange(
    reached: Reached,
    key: bytes,
    own: Own,
    backup: Endpoint,
    reverse: Endpoint,
    actor: str,
    clock: Clock,
    checks: list[Check],
) -> None:
    sent = clock()
    nonce = secrets.token_bytes(NONCE_BYTES)
    begin = pair.make_begin(key, nonce, _at(own.side, sent), reached.leaf, backup, reverse)
    raw = reached.ask("POST", "establish/begin", wire_fields.write(begin))
    got = clock()
    if not raw.ok:
        _refused(raw, checks, backup)
    checks.append(rules.reached(backup, ""))
    answer = _read(Answer, raw, checks, backup)
    try:
        pair.check_answer(key, begin, answer)
    except NotProven:
        raise NotEstablished(merged(checks, [rules.same_key(False)])) from None
    checks += [rules.same_key(True), rules.reverse_reached(reverse, "")]
    checks += rules.check_as_primary(own, answer, reached.leaf, sent, got)
    _refuse(checks)
    raw = reached.ask("POST", "establish/finish", wire_fields.write(pair.make_finish(key, begin, answer)))
    if not raw.ok:
        _refused(raw, checks, backup)
    try:
        pair.check_held(key, begin, answer, _read(Held, raw, checks, backup))
    except NotProven:
        raise NotEstablished(merged(checks, [rules.same_key(False)])) from None
    term = pair.established_term(begin, answer)
    roles.establish(Role.PRIMARY, answer.side, reached.leaf, backup, reverse, term, actor)


def answer_begin(asked: Asked) -> dict[str, Any]:
    """As the backup-to-be, answer a begin: check everything, go back by the reverse details, answer with a proof.

    Raises ``NotEstablished`` with what was looked at. To whoever has not proven the key nothing else is told.
    """
    begin = wire_fields.read(Begin, asked.body)
    checks = [rules.check_key_set(identity.preshared_key_set())]
    _refuse(checks)
    key = _key()
    try:
        pair.check_begin(key, begin)
    except NotProven:
        raise NotEstablished(merged(checks, [rules.same_key(False)])) from None
    own = _own(utc_now, Role.BACKUP, asked.leaf)
    checks += [rules.same_key(True), *rules.check_as_backup(own, begin, asked.at)]
    leaf, problem = _reverse(begin)
    checks.append(rules.reverse_reached(begin.reverse, problem))
    _refuse(checks)
    nonce = secrets.token_bytes(NONCE_BYTES)
    answer = pair.make_answer(key, begin, nonce, _at(own.side, asked.at), leaf)
    _ATTEMPTS.put(_Attempt(begin, answer, key, utc_now()))
    return wire_fields.write(answer)


def answer_finish(asked: Asked) -> dict[str, Any]:
    """As the backup-to-be, hold the relationship on the primary-to-be's proven word, and say so."""
    finish = wire_fields.read(Finish, asked.body)
    attempt = _ATTEMPTS.take(finish.nonce, utc_now())
    begin, answer = attempt.begin, attempt.answer
    pair.check_finish(attempt.key, begin, answer, finish)
    term = pair.established_term(begin, answer)
    roles.establish(Role.BACKUP, begin.side, answer.leaf, begin.reverse, begin.backup, term, PEER_ACTOR)
    return wire_fields.write(pair.make_held(attempt.key, begin, answer))


def _reverse(begin: Begin) -> tuple[bytes, str]:
    """Connect back; return the leaf that is seen there, and what is wrong."""
    reached: Reached | None = None
    try:
        reached = Reached(begin.reverse, Limits(whole=8.0, silence=5.0))
        say_hello(reached, begin.side.key, begin.side.origin)
    except PeerUnreachable as error:
        return b"", error.message
    finally:
        if reached is not None:
            reached.close()
    return reached.leaf, ""


def _own(clock: Clock, becoming: Role, leaf: bytes | None = None) -> Own:
    shown, names = identity.shown_leaf()
    shared = str(settings.STAFFETTA_SHARED_HOST)
    relationship = roles.held()
    side = Side(
        instance.origin(),
        identity.pair_key().public,
        shared,
        identity.installed_version(),
        instance.role_term(),
        pair.milliseconds(clock()),
    )
    engaged, replaceable = None, True
    if relationship is not None:
        engaged = relationship.peer_origin
        replaceable = relationship.seen_at is None or (becoming, instance.role()) == (Role.BACKUP, Role.BACKUP)
    return Own(side, shared, leaf or shown, names, engaged, replaceable, settings.STAFFETTA_SHARED_ADDRESS)


def _leads_to(host: str, address: str | None) -> bool:
    """Whether a name leads to an IP address now; one that is not known leads nowhere."""
    if address is None:
        return False
    try:
        return any(found[4][0] == address for found in socket.getaddrinfo(host, None))
    except OSError:
        return False


def _at(side: Side, moment: datetime) -> Side:
    return Side(side.origin, side.key, side.site, side.version, side.term, pair.milliseconds(moment))


def _key() -> bytes:
    text = identity.preshared_key()
    if text is None:
        raise NotEstablished((rules.check_key_set(False),))
    return pair.establish_key(text)


def _refuse(checks: list[Check]) -> None:
    if failed(checks):
        raise NotEstablished(merged(checks))


def _read(cls: type[Any], raw: Answered, checks: list[Check], backup: Endpoint) -> Any:
    try:
        return wire_fields.read(cls, raw.body)
    except FrameError:
        problem = f"what answers at {backup} is no appliance of this kind, or of a much older version."
        raise NotEstablished(merged(checks, [rules.reached(backup, problem)])) from None


def _refused(raw: Answered, checks: list[Check], backup: Endpoint) -> None:
    """Raise what the other side refused with: its own checks if it gives any."""
    theirs = raw.body.get("checks")
    found = [_check(one) for one in theirs[:_CHECKS_LIMIT]] if isinstance(theirs, list) else []
    if found:
        raise NotEstablished(merged(checks, [rules.reached(backup, "")], found))
    message = raw.body.get("message")
    problem = message[:500] if isinstance(message, str) else f"{backup} answers with status {raw.status}."
    raise NotEstablished(merged(checks, [rules.reached(backup, problem)]))


def _check(raw: object) -> Check:
    one = raw if isinstance(raw, dict) else {}
    return Check(str(one.get("name", ""))[:64], one.get("ok") is True, str(one.get("detail", ""))[:500])
