"""What pages, commands, the pair job and the worker do with the pair: look, establish, sync, change roles, break."""

import importlib
import time
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from staffetta.kernel.clock import parse_time, utc_now
from staffetta.kernel.log import get_logger
from staffetta.site.data import audit
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import handshake, identity, pictures, roles, rules, watching
from staffetta.site.failover.errors import FailoverError, PeerRefused, PeerUnreachable, WrongRole
from staffetta.site.failover.models import Relationship, SyncState
from staffetta.site.failover.peer import HttpsPeer, Peer
from staffetta.site.failover.pictures import AlarmPicture, PairPicture, PeerSeen, Prefill, RelationshipPicture
from staffetta.site.failover.reaching import Limits
from staffetta.site.failover.rules import Alarm
from staffetta.site.support.models import LiveSession
from staffetta.wire.errors import WireError
from staffetta.wire.pair import Endpoint, parse_endpoint

_log = get_logger(__name__)

PEER_ACTOR: Final = handshake.PEER_ACTOR
_POLL_SECONDS: Final = 0.25

preshared_key_set = identity.preshared_key_set
preshared_key = identity.preshared_key
set_preshared_key = identity.set_preshared_key
settle = watching.settle
look = watching.look


def picture() -> PairPicture:
    """Return everything about the pair as this appliance knows it; asks nobody."""
    now = utc_now()
    last, held = roles.last(), roles.held()
    role = instance.role()
    peer = None if held is None else _peer_seen(held, now)
    own_sync = pictures.sync_from_json(pictures.to_json(_own_sync()), now)
    return PairPicture(
        role=role,
        term=instance.role_term(),
        origin=instance.origin(),
        site_version=identity.installed_version(),
        shared_host=str(settings.STAFFETTA_SHARED_HOST),
        key_set=identity.preshared_key_set(),
        relationship=None if held is None else _relationship(held),
        peer=peer,
        sync=peer.sync if role is Role.PRIMARY and peer is not None and peer.sync is not None else own_sync,
        alarms=() if held is None else _alarms(held, now),
        prefill=_prefill(last),
        taking_over=held is not None and rules.taking_over(held.taking_over_at, now),
    )


def peer(limits: Limits | None = None) -> HttpsPeer:
    """Return the other appliance, to be closed by the caller. Raises ``NoRelationship``."""
    return watching.peer_of(roles.required(), limits)


def establish(new_backup: Endpoint, reverse: Endpoint, actor: str) -> None:
    """Become the primary of a new relationship with the appliance at ``new_backup``, which reaches us at ``reverse``.

    Raises ``NotEstablished`` with every check by name; then nothing has changed on either side.
    """
    handshake.establish(new_backup, reverse, actor)


# Data-sync


def sync_now(actor: str) -> datetime:
    """Have the backup begin a round at once; return when it was asked, by the backup's clock."""
    roles.required()
    if instance.role() is Role.BACKUP:
        return note_sync_asked(actor)
    with peer() as other:
        asked = other.post("sync", {}).get("asked_at")
        audit.note(actor, "failover.sync-asked")
        return parse_time(asked) if isinstance(asked, str) else utc_now()


def note_sync_asked(actor: str) -> datetime:
    """On the backup: ask the own worker for a round; return when."""
    now = utc_now()
    with transaction.atomic():
        SyncState.objects.update_or_create(only=True, defaults={"asked_at": now})
        audit.note(actor, "failover.sync-asked")
    return now


def wait_for_sync(after: datetime, seconds: float) -> bool:
    """Wait for a whole round of data-sync that began after a time; say whether there was one within the seconds."""
    deadline = time.monotonic() + seconds
    while not _synced_since(after):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _synced_since(after: datetime) -> bool:
    if instance.role() is Role.BACKUP:
        state = _own_sync()
    else:
        with peer() as other:
            state = pictures.sync_from_json(other.get("picture").get("sync") or {}, utc_now())
    started, finished = state.started_at, state.finished_at
    return started is not None and finished is not None and finished >= started >= after


# Roles


def become_primary(actor: str, *, with_sync: bool) -> None:
    """Make this appliance the primary; a peer that answers is made the backup.

    ``with_sync`` pulls what the peer has first, then once more when it has stepped down: raises ``PeerUnreachable``
    when it does not answer. Without it the term alone decides: the peer steps down when it sees the higher one.
    """
    relationship = roles.required()
    if instance.role() is Role.PRIMARY and Alarm.TWO_PRIMARIES not in relationship.alarm.split():
        raise WrongRole(_("This appliance is the primary already."))
    roles.begin_take_over(utc_now())
    try:
        with peer() as other:
            _take_over(other, relationship, actor, with_sync)
    except BaseException:
        roles.give_up_take_over()
        raise


def _take_over(other: HttpsPeer, relationship: Relationship, actor: str, with_sync: bool) -> None:
    try:
        said = other.get("picture")
    except (PeerUnreachable, PeerRefused) as error:
        if with_sync:
            raise
        _log.warning("becoming primary without the peer: %s", error.message)
        term = rules.next_term(instance.role_term(), relationship.peer_term)
        roles.promote(term, actor, {"peer": "not reached", "sync": False})
        return
    term = rules.next_term(instance.role_term(), int(said.get("term", 0)))
    if with_sync:
        # The bulk while the peer still serves; what is written meanwhile comes when it has stepped down.
        _pull(other, final=False)
    try:
        if said.get("role") == Role.PRIMARY:
            other.post("role", {"verb": "step-down", "term": term})
        if with_sync:
            _pull(other, final=True)
    except FailoverError:
        if with_sync:
            _give_back(other, term)
            raise
        _log.warning("the peer did not step down; it will when it sees the higher term")
    roles.promote(term, actor, {"peer": relationship.peer_origin, "sync": with_sync})


def _give_back(other: Peer, term: int) -> None:
    """The last sync failed: the peer, which has stepped down for it, is to go on as the primary."""
    try:
        other.post("role", {"verb": "ask-primary", "term": rules.next_term(term)})
    except FailoverError as error:
        _log.warning("the peer could not be asked to go on: %s", error.message)


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


def _pull(other: Peer, *, final: bool) -> None:
    # By name until data-sync is part of this branch.
    importlib.import_module("staffetta.site.failover.sync.service").pull(other, final=final)


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
        "address": str(Endpoint(held.own_host, held.own_port)),
        "certificates": [leaf.hex()],
        "certificate_names": list(names),
        "time": pictures.to_json(utc_now()),
        "sessions_live": _sessions_live(),
        "sync": pictures.to_json(_own_sync()),
        "taking_over": rules.taking_over(held.taking_over_at, utc_now()),
    }


def _sessions_live() -> int:
    return LiveSession.objects.filter(ended_at=None, probe=False).count()


def _own_sync() -> pictures.SyncPicture:
    row = SyncState.objects.filter(only=True).first() or SyncState()
    finished = row.finished_at
    return pictures.SyncPicture(
        asked_at=row.asked_at,
        started_at=row.started_at,
        finished_at=finished,
        lag=None if finished is None else utc_now() - finished,
        records_behind=row.records_behind,
        blobs_behind=row.blobs_behind,
        bytes_behind=row.bytes_behind,
        error=row.error,
    )


def _relationship(row: Relationship) -> RelationshipPicture:
    return RelationshipPicture(
        row.peer_origin,
        Endpoint(row.peer_host, row.peer_port),
        Endpoint(row.own_host, row.own_port),
        row.established_at,
    )


def _peer_seen(row: Relationship, now: datetime) -> PeerSeen:
    said = row.peer_picture if isinstance(row.peer_picture, dict) else {}
    sync, sessions = said.get("sync"), said.get("sessions_live")
    return PeerSeen(
        seen_at=row.seen_at,
        role=Role(row.peer_role) if row.peer_role in list(Role) else None,
        term=row.peer_term,
        site_version=row.peer_version,
        base_version=str(said.get("base_version", "")),
        sessions_live=sessions if isinstance(sessions, int) else None,
        sync=pictures.sync_from_json(sync, now) if isinstance(sync, dict) else None,
    )


def _prefill(row: Relationship | None) -> Prefill:
    if row is not None:
        return Prefill(Endpoint(row.peer_host, row.peer_port), Endpoint(row.own_host, row.own_port))
    shared = str(settings.STAFFETTA_SHARED_HOST).lower()
    for address in settings.STAFFETTA_ADDRESSES:
        try:
            own = parse_endpoint(address)
        except WireError:
            continue
        if own.host != shared:
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
