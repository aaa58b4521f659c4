"""The link's entries in the table of what the peer may ask: hello, establish, picture, role, break, sync."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from staffetta.kernel.clock import utc_now
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import handshake, identity, pictures, roles, service
from staffetta.site.failover.answers import ANSWERS, PICTURE_PARTS, Asked
from staffetta.site.failover.errors import BadQuestion, NoRelationship, PeerNotProven, StaleTerm
from staffetta.wire import fields as wire_fields
from staffetta.wire import pair
from staffetta.wire.errors import NotProven
from staffetta.wire.identity import NONCE_BYTES

MOST_FREEZE: Final = 120
"""So many seconds the peer may have configuration held still with one question."""


def register() -> None:
    """Put the link's answers into the table."""
    ANSWERS.update(
        {
            ("GET", "hello"): hello,
            ("POST", "establish/begin"): handshake.answer_begin,
            ("POST", "establish/finish"): handshake.answer_finish,
            ("GET", "picture"): picture,
            ("POST", "role"): role,
            ("POST", "break"): break_off,
            ("POST", "sync"): sync,
        }
    )


def prove(token: str, asked: Asked) -> str:
    """Return the peer's origin when the token is its own, for us, through the leaf we show, now.

    Raises ``NoRelationship``, ``PeerNotProven``, ``ClocksApart``.
    """
    relationship = roles.held()
    if relationship is None:
        raise NoRelationship("This appliance is in no failover relationship.")
    origin = relationship.peer_origin
    try:
        pair.check_pair_token(token, bytes(relationship.peer_key), origin, instance.origin(), asked.leaf, asked.at)
    except pair.ClocksApart:
        raise
    except NotProven as error:
        raise PeerNotProven(error.message) from None
    return origin


def hello(asked: Asked) -> dict[str, Any]:
    """Prove for the asker's nonce who is behind this connection."""
    try:
        nonce = wire_fields.from_base64url(asked.parameters.get("nonce", ""))
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        raise BadQuestion(f"Give nonce: {NONCE_BYTES} bytes in base64url.")
    return wire_fields.write(pair.make_hello(identity.pair_key(), instance.origin(), nonce, asked.leaf))


def picture(asked: Asked) -> dict[str, Any]:
    """Tell the peer how this appliance is."""
    more = {name: part() for name, part in PICTURE_PARTS.items()}
    return service.own_picture() | {name: pictures.to_json(value) for name, value in more.items()}


def role(asked: Asked) -> dict[str, Any]:
    """Step down for the peer, become primary for it, or hold configuration still; asked twice, it is done once."""
    match asked.body.get("verb"):
        case "step-down":
            _step_down(_number(asked.body, "term", 2**63 - 1))
        case "ask-primary":
            _become_primary(_number(asked.body, "term", 2**63 - 1))
        case "freeze":
            instance.freeze(utc_now() + timedelta(seconds=_number(asked.body, "seconds", MOST_FREEZE)))
        case "thaw":
            instance.freeze(None)
        case _:
            raise BadQuestion("`verb` is step-down, ask-primary, freeze or thaw.")
    return {"role": instance.role().value, "term": instance.role_term()}


def _step_down(term: int) -> None:
    own = instance.role_term()
    if instance.role() is Role.PRIMARY:
        service.step_down(term)
    elif term < own:
        raise StaleTerm(f"Role term {term} is below this appliance's own, {own}.")


def _become_primary(term: int) -> None:
    if instance.role() is not Role.PRIMARY or term > instance.role_term():
        service.take_primary(term)


def _number(body: Mapping[str, Any], name: str, most: int) -> int:
    value = body.get(name)
    if type(value) is not int or not 0 < value <= most:
        raise BadQuestion(f"`{name}` is a number from 1 to {most}.")
    return value


def break_off(asked: Asked) -> dict[str, Any]:
    """End the relationship on this side too."""
    roles.break_off(service.PEER_ACTOR)
    return {"role": instance.role().value}


def sync(asked: Asked) -> dict[str, Any]:
    """Have the own worker begin a round at once; says when it was asked."""
    return {"asked_at": pictures.to_json(service.note_sync_asked(service.PEER_ACTOR))}
