"""Becoming primary: the last data-sync while the peer holds still, the peer steps down, this appliance is promoted.

In this order nothing is lost and nobody is primary only for the moment between two requests: the bulk is pulled while
the peer serves; then its configuration is frozen for a while that ends by itself; then comes the rest.
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.utils.translation import gettext as _

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import roles, rules
from staffetta.site.failover.errors import FailoverError, PeerRefused, PeerUnreachable, WrongRole
from staffetta.site.failover.link import peer_of
from staffetta.site.failover.models import Relationship
from staffetta.site.failover.peer import HttpsPeer, Peer
from staffetta.site.failover.reaching import Limits
from staffetta.site.failover.rules import Alarm
from staffetta.site.failover.sync.service import pull

_log = get_logger(__name__)

FREEZE: Final = timedelta(seconds=30)
"""How long the peer's configuration is frozen for one last round; a round that takes longer is done again."""

_LAST_ROUNDS: Final = 3
_LIKELY_DEAD: Final = Limits(connect=1.5, silence=3.0, whole=5.0)
"""Without a data-sync nobody waits long for the peer: a machine without power refuses nothing, it is only silent."""


def require_may_become_primary() -> Relationship:
    """Return the relationship in which this appliance may become primary. Raises ``NoRelationship``, ``WrongRole``."""
    relationship = roles.required()
    if instance.role() is Role.PRIMARY and Alarm.TWO_PRIMARIES not in relationship.alarm.split():
        raise WrongRole(_("This appliance is the primary already."))
    return relationship


def become_primary(actor: str, *, with_sync: bool) -> None:
    """Make this appliance the primary; a peer that answers is made the backup.

    ``with_sync`` pulls everything from the peer meanwhile: raises ``PeerUnreachable`` when it does not answer, and
    then nothing has changed. Without it the term alone decides: the peer steps down when it sees the higher one.
    """
    relationship = require_may_become_primary()
    roles.begin_take_over(utc_now())
    try:
        with peer_of(relationship, None if with_sync else _LIKELY_DEAD) as other:
            _take_over(other, relationship, actor, with_sync)
    except BaseException:
        roles.give_up_take_over()
        raise


def _take_over(other: HttpsPeer, relationship: Relationship, actor: str, with_sync: bool) -> None:
    try:
        said = other.get("picture")
    except (PeerUnreachable, PeerRefused) as error:
        if with_sync and isinstance(error, PeerRefused):
            raise
        if with_sync:
            raise PeerUnreachable(
                f"{error.message} Nothing was changed. If it will not come back soon, become primary without a last "
                "data-sync: untick the box, or run `staffetta failover become-primary --no-sync`."
            ) from error
        _log.warning("becoming primary without the peer: %s", error.message)
        term = rules.next_term(instance.role_term(), relationship.peer_term)
        roles.promote(term, actor, {"peer": "not reached", "sync": False})
        return
    peer_term = said.get("term")
    term = rules.next_term(instance.role_term(), peer_term if type(peer_term) is int else 0)
    is_primary = said.get("role") == Role.PRIMARY
    if with_sync and is_primary and instance.role() is Role.BACKUP:
        _last_sync(other)
    try:
        if is_primary:
            _ask(other, "step-down", {"term": term})
    except FailoverError:
        if with_sync:
            _thaw(other)
            raise
        _log.warning("the peer did not step down; it will when it sees the higher term")
    try:
        roles.promote(term, actor, {"peer": relationship.peer_origin, "sync": with_sync})
    except BaseException:
        if is_primary:
            _give_back(other, term)
        raise


def _last_sync(other: Peer) -> None:
    """Pull everything; what comes after that is nothing, since the peer's configuration is frozen."""
    result, before = pull(other), None
    while not result.complete and result.bytes_behind != before:
        # Until nothing is behind, or what is does not come: bytes that are damaged there hinder nobody.
        before, result = result.bytes_behind, pull(other)
    try:
        for _round in range(_LAST_ROUNDS):
            began = time.monotonic()
            _ask(other, "freeze", {"seconds": int(FREEZE.total_seconds())})
            pull(other, final=True)
            if time.monotonic() - began < FREEZE.total_seconds() / 2:
                return
        raise PeerUnreachable(_("The last data-sync takes too long; try again when less is changed on the primary."))
    except StaffettaError:
        _thaw(other)
        raise


def _thaw(other: Peer) -> None:
    try:
        _ask(other, "thaw", {})
    except FailoverError as error:
        _log.info("the peer thaws by itself: %s", error.message)


def _give_back(other: Peer, term: int) -> None:
    """This appliance could not become primary: the peer, which has stepped down for it, is to go on."""
    try:
        _ask(other, "ask-primary", {"term": rules.next_term(term)})
    except FailoverError as error:
        _log.warning("the peer could not be asked to go on: %s", error.message)


def _ask(other: Peer, verb: str, more: Mapping[str, Any]) -> None:
    other.post("role", {"verb": verb, **more})
