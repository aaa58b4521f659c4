"""The only writer of role, role term and relationship: each change is one transaction with its audit record.

The gateways are told after the transaction, so that what they read is what holds.
"""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from staffetta.kernel.clock import utc_now
from staffetta.kernel.states import advance
from staffetta.site.data import audit, identity
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.failover import rules
from staffetta.site.failover.errors import NoRelationship, StaleTerm, WrongRole
from staffetta.site.failover.models import Relationship, SyncState
from staffetta.site.failover.states import ROLES, RoleEvent
from staffetta.site.failover.sync.service import begin_role
from staffetta.site.failover.telling import tell_gateways
from staffetta.wire.pair import Endpoint, Side


def held() -> Relationship | None:
    """Return the relationship that holds, or None."""
    return Relationship.objects.filter(only=True, broken_at=None).first()


def last() -> Relationship | None:
    """Return the last relationship, whether or not it holds."""
    return Relationship.objects.filter(only=True).first()


def required() -> Relationship:
    """Return the relationship that holds. Raises ``NoRelationship``."""
    found = held()
    if found is None:
        raise NoRelationship("This appliance is in no failover relationship.")
    return found


def establish(role: Role, peer: Side, leaf: bytes, at: Endpoint, own: Endpoint, term: int, actor: str) -> None:
    """Hold a relationship with this peer, as its primary or its backup, in place of one with the same peer.

    ``leaf`` is what the peer shows, ``at`` where it is, ``own`` where it reaches this appliance.
    """
    now = utc_now()
    event = RoleEvent.ESTABLISHED_AS_PRIMARY if role is Role.PRIMARY else RoleEvent.ESTABLISHED_AS_BACKUP
    other = Role.BACKUP if role is Role.PRIMARY else Role.PRIMARY
    with transaction.atomic():
        _refuse_third(peer.origin)
        if identity.role() is not Role.ALONE:
            # What an interrupted try, or a peer that was broken off without our knowing, has left.
            _advance(RoleEvent.BROKEN, identity.role_term())
        _advance(event, term)
        Relationship.objects.update_or_create(
            only=True,
            defaults={
                "peer_origin": peer.origin,
                "peer_key": peer.key,
                "peer_host": at.host,
                "peer_port": at.port,
                "own_host": own.host,
                "own_port": own.port,
                "peer_leaf": leaf.hex(),
                "peer_role": other.value,
                "peer_term": term,
                "peer_version": peer.version,
                "peer_picture": None,
                "established_at": now,
                "broken_at": None,
                "seen_at": None,
                "looked_at": now,
                "taking_over_at": None,
                "without_primary_since": None,
                "alarm": "",
            },
        )
        SyncState.objects.update_or_create(
            only=True, defaults={"asked_at": now, "started_at": None, "finished_at": None, "error": ""}
        )
        begin_role()
        detail: dict[str, str | int | bool] = {"peer": peer.origin, "at": str(at), "own": str(own), "term": term}
        audit.note(actor, f"failover.established-as-{role}", str(at), detail)
        _tell_after()


def promote(term: int, actor: str, detail: Mapping[str, str | int | bool]) -> None:
    """Become the primary with this term, or stay it with a higher one. Raises ``StaleTerm`` when it is not higher."""
    with transaction.atomic():
        required()
        _refuse_stale(term)
        if identity.role() is Role.PRIMARY:
            SiteInstance.objects.filter(only=True).update(role_term=term)
        else:
            _advance(RoleEvent.PROMOTED, term)
            begin_role()
        _forget_take_over()
        audit.note(actor, "failover.became-primary", "", {**detail, "term": term})
        _tell_after()


def step_down(term: int, actor: str) -> None:
    """Become the backup, since another is, or is about to be, primary with this higher term. Raises ``StaleTerm``."""
    with transaction.atomic():
        required()
        _refuse_stale(term)
        _advance(RoleEvent.STEPPED_DOWN, term)
        begin_role()
        _forget_take_over()
        audit.note(actor, "failover.stepped-down", "", {"term": term})
        _tell_after()


def follow(term: int) -> None:
    """Note that the peer is primary with this higher term; this appliance stays its backup."""
    with transaction.atomic():
        if identity.role() is Role.BACKUP and term > identity.role_term():
            SiteInstance.objects.filter(only=True).update(role_term=term)
            _tell_after()


def break_off(actor: str, why: str = "") -> None:
    """End the relationship on this side; its details are kept to be offered again. Raises ``NoRelationship``."""
    with transaction.atomic():
        relationship = required()
        if identity.role() is not Role.ALONE:
            _advance(RoleEvent.BROKEN, identity.role_term())
        Relationship.objects.filter(only=True).update(
            broken_at=utc_now(), alarm="", taking_over_at=None, without_primary_since=None
        )
        where = str(relationship.peer)
        audit.note(actor, "failover.broken", where, {"peer": relationship.peer_origin, "why": why})
        _tell_after()


def begin_take_over(now: datetime) -> None:
    """Note that this backup is becoming the primary, so that the peer does not take back meanwhile.

    Raises ``WrongRole`` when somebody else has just asked for the same.
    """
    with transaction.atomic():
        relationship = required()
        if rules.taking_over(relationship.taking_over_at, now):
            raise WrongRole("This appliance is becoming the primary already; look at its role in a moment.")
        Relationship.objects.filter(only=True).update(taking_over_at=now)


def give_up_take_over() -> None:
    """Note that becoming the primary has ended without success."""
    _forget_take_over()


def _advance(event: RoleEvent, term: int) -> None:
    after = advance(ROLES, identity.role(), event)
    SiteInstance.objects.filter(only=True).update(role=after, role_term=term, frozen_until=None)


def _forget_take_over() -> None:
    Relationship.objects.filter(only=True).update(taking_over_at=None, without_primary_since=None)


def _refuse_stale(term: int) -> None:
    own = identity.role_term()
    if term <= own:
        raise StaleTerm(f"Role term {term} is not above this appliance's own, {own}.")


def _refuse_third(origin: str) -> None:
    found = held()
    if found is not None and found.peer_origin != origin:
        raise WrongRole("This appliance is in a relationship with another one; break that first.")


def _tell_after() -> None:
    transaction.on_commit(_tell)


def _tell() -> None:
    tell_gateways()
