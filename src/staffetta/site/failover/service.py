"""What pages, commands, the pair job and the worker do with the pair: look, establish, sync, change roles, break."""

from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext as _

from staffetta.kernel.clock import utc_now
from staffetta.kernel.log import get_logger
from staffetta.site.data import audit
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import (
    handshake,
    holds,
    identity,
    link,
    pictures,
    roles,
    rules,
    syncing,
    taking_over,
    watching,
)
from staffetta.site.failover.errors import FailoverError, NotEstablished
from staffetta.site.failover.models import Relationship
from staffetta.site.failover.peer import HttpsPeer
from staffetta.site.failover.pictures import AlarmPicture, PairPicture, PeerSeen, Prefill, RelationshipPicture
from staffetta.site.failover.reaching import Limits
from staffetta.site.failover.rules import Alarm
from staffetta.site.support.models import LiveSession
from staffetta.wire.errors import WireError
from staffetta.wire.pair import Endpoint, parse_endpoint, without_usual_port

_log = get_logger(__name__)

PEER_ACTOR: Final = handshake.PEER_ACTOR
MOST_TOLD: Final = 500
"""Characters of a failure that the audit log keeps: the other side's part of them is anybody's."""

preshared_key_set = identity.preshared_key_set
preshared_key = identity.preshared_key
key_fingerprint = identity.key_fingerprint
set_preshared_key = identity.set_preshared_key
settle = watching.settle
look = watching.look
become_primary = taking_over.become_primary
require_may_become_primary = taking_over.require_may_become_primary
sync_now = syncing.sync_now
note_sync_asked = syncing.note_sync_asked
sync_round = syncing.sync_round
wait_for_sync = syncing.wait_for_sync


def picture() -> PairPicture:
    """Return everything about the pair as this appliance knows it; asks nobody."""
    now = utc_now()
    last, held = roles.last(), roles.held()
    role = instance.role()
    peer = None if held is None else _peer_seen(held, now)
    own_sync = syncing.own_sync()
    return PairPicture(
        role=role,
        term=instance.role_term(),
        origin=instance.origin(),
        site_version=identity.installed_version(),
        base_version=identity.base_version(),
        shared_host=str(settings.STAFFETTA_SHARED_HOST),
        key_set=identity.preshared_key_set(),
        relationship=None if held is None else _relationship(held),
        peer=peer,
        sync=peer.sync if role is Role.PRIMARY and peer is not None and peer.sync is not None else own_sync,
        alarms=() if held is None else _alarms(held, now),
        prefill=_prefill(last),
        taking_over=held is not None and rules.taking_over(held.taking_over_at, now),
        suspended=holds.suspended_by() is not None,
        two_certificates=held is not None and identity.shows_another(held.peer_leaf),
    )


def peer(limits: Limits | None = None) -> HttpsPeer:
    """Return the other appliance, to be closed by the caller. Raises ``NoRelationship``."""
    return link.peer_of(roles.required(), limits)


def establish(new_backup: Endpoint, reverse: Endpoint, actor: str) -> None:
    """Become the primary of a new relationship with the appliance at ``new_backup``, which reaches us at ``reverse``.

    Raises ``NotEstablished`` with every check by name; then nothing has changed on either side but the audit log here.
    """
    try:
        handshake.establish(new_backup, reverse, actor)
    except NotEstablished as error:
        audit.note(actor, "failover.not-established", str(new_backup), {"why": error.message[:MOST_TOLD]})
        raise


def primary_for(host: str) -> Endpoint | None:
    """Return the primary's own address for who asks this backup as ``host``, as a request names it.

    None where the primary is not known, and for who came by what the two share: their next request finds the primary.
    """
    held = roles.held()
    if held is None or held.peer_role != Role.PRIMARY:
        return None
    return held.peer if held.own.authority == without_usual_port(host) else None


# Roles


def step_down(term: int, actor: str = PEER_ACTOR) -> None:
    """Become the backup of a primary with this higher term. Raises ``StaleTerm``."""
    roles.step_down(term, actor)


def take_primary(term: int, actor: str = PEER_ACTOR) -> None:
    """Become the primary with this higher term because the peer, which is not, asks for it. Raises ``StaleTerm``."""
    roles.promote(term, actor, {"why": "asked by the peer"})


def break_relationship(actor: str) -> bool:
    """End the relationship here, and there if the peer answers; say whether it did. Nothing else is lost."""
    with peer() as other:
        roles.break_off(actor)
        try:
            other.post("break", {})
        except FailoverError as error:
            _log.warning("the peer was not told of the break: %s", error.message)
            return False
    return True


# Pictures


def own_picture() -> dict[str, Any]:
    """Return what the peer is told of this appliance (``GET picture``), without what other parts add."""
    held = roles.required()
    leaf, names = identity.shown_leaf()
    return {
        "role": instance.role().value,
        "term": instance.role_term(),
        "origin": instance.origin(),
        "site_version": identity.installed_version(),
        "base_version": identity.base_version(),
        "address": str(held.own),
        "certificates": [leaf.hex()],
        "certificate_names": list(names),
        "time": pictures.to_json(utc_now()),
        "sessions_live": _sessions_live(),
        "sync": pictures.to_json(syncing.own_sync()),
        "taking_over": rules.taking_over(held.taking_over_at, utc_now()),
        "suspended": holds.suspended_by() is not None,
    }


def _sessions_live() -> int:
    return LiveSession.objects.filter(ended_at=None, probe=False).count()


def _relationship(row: Relationship) -> RelationshipPicture:
    return RelationshipPicture(row.peer_origin, row.peer, row.own, row.established_at)


def _peer_seen(row: Relationship, now: datetime) -> PeerSeen:
    said = row.peer_picture if isinstance(row.peer_picture, dict) else {}
    sync, sessions, suspended = said.get("sync"), said.get("sessions_live"), said.get("suspended")
    return PeerSeen(
        seen_at=row.seen_at,
        role=Role(row.peer_role) if row.peer_role in list(Role) else None,
        term=row.peer_term,
        site_version=row.peer_version,
        base_version=str(said.get("base_version", "")),
        sessions_live=sessions if isinstance(sessions, int) else None,
        sync=pictures.sync_from_json(sync, now) if isinstance(sync, dict) else None,
        suspended=suspended if isinstance(suspended, bool) else None,
    )


def _prefill(row: Relationship | None) -> Prefill:
    if row is not None:
        return Prefill(row.peer, row.own)
    moving = (str(settings.STAFFETTA_SHARED_HOST).lower(), settings.STAFFETTA_SHARED_ADDRESS)
    for address in settings.STAFFETTA_ADDRESSES:
        try:
            own = parse_endpoint(address)
        except WireError:
            continue
        if own.host not in moving:
            return Prefill(None, own)
    return Prefill(None, None)


def _alarms(row: Relationship, now: datetime) -> tuple[AlarmPicture, ...]:
    codes = [Alarm(code) for code in row.alarm.split() if code in list(Alarm)]
    if now - (row.seen_at or row.established_at) >= rules.SILENT and not codes:
        codes.append(Alarm.SILENT)
    return tuple(AlarmPicture(code.value, _sentence(code)) for code in codes)


def _sentence(alarm: Alarm) -> str:
    return {
        Alarm.TWO_PRIMARIES: _(
            "Both appliances are primary with the same role term. Choose the one that users reach, and make it "
            "primary again: the other steps down. No session data is lost."
        ),
        Alarm.OLD_PRIMARY: _(
            "The other appliance serves too, as the primary of an older role term. It is being told to step down."
        ),
        Alarm.NO_PRIMARY: _("Neither appliance is primary. Make one of them primary."),
        Alarm.SILENT: _("The other appliance does not answer."),
        Alarm.CLOCKS_APART: _("The clocks of the two appliances disagree. Set both by the same time server."),
        Alarm.LEFT: _(
            "The other appliance is no longer in this relationship. Break it here too, or establish it again there."
        ),
        Alarm.NOT_PROVEN: _(
            "The other appliance does not accept this one. Break the relationship, establish it again."
        ),
    }[alarm]
