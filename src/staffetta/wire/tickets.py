"""Tickets: who may attach as which end of which session; and the proofs made and checked at hello and attach.

A ticket is bound to a session, an end and that end's key; without the key it is worth nothing (a stolen or replayed
one is refused). It lives five minutes and is renewed every two on the live connection. It also says what the session
is, so that an appliance that has never heard of the session can take it up from the ends.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from staffetta.wire import fields as wire_fields
from staffetta.wire.errors import LaterTerm, NotProven
from staffetta.wire.fields import Counter, Id, Key, Name, Range, Size
from staffetta.wire.identity import Purpose, SigningKey, check_proof
from staffetta.wire.messages import Attach, ConsoleHello, JumpClientHello
from staffetta.wire.signed import Credential, Typ, claims_of, read_credential, seconds, sign
from staffetta.wire.vocabulary import EndName

TICKET_LIFE: Final = timedelta(minutes=5)
TICKET_RENEWAL: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class About:
    """What a session is: whose, with which Jump Client (ids), and since when (milliseconds since 1970).

    ``web`` and ``since`` are those of the credential of the console that opened it (None by an older release).
    """

    rep: Id
    client: Id
    kind: Name
    recorded: bool
    opened: Annotated[int, Range(0, 253_402_300_799_999)]
    web: Annotated[str, Size(0, 128)] = ""
    since: Annotated[int, Range(0, 253_402_300_799_999)] | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """The claims of a ticket; ``exp`` in seconds since 1970, ``term`` the site's role term when it was made.

    ``about`` is None in a ticket of an older release, and in a probe's.
    """

    session: Id
    end: EndName
    key: Key
    term: Counter
    exp: Annotated[int, Range(0, 253_402_300_799)]
    about: About | None = None

    def sign(self, site: SigningKey) -> str:
        """The token that the end shows."""
        return sign(Typ.TICKET, wire_fields.write(self), site)


def make_ticket(
    session: str,
    end: EndName,
    end_key: bytes,
    term: int,
    now: datetime,
    site: SigningKey,
    about: About | None = None,
) -> str:
    """A ticket good for ``TICKET_LIFE`` from ``now``."""
    return Ticket(session, end, end_key, term, seconds(now + TICKET_LIFE), about).sign(site)


def read_ticket(token: str, site_key: bytes, now: datetime) -> Ticket:
    """A verified ticket that has not expired. Raises NotProven."""
    ticket = claims_of(Ticket, Typ.TICKET, token, site_key)
    if now.timestamp() >= ticket.exp:
        raise NotProven("The ticket has expired.")
    return ticket


def make_attach(
    ticket: str,
    counter: int,
    nonce: bytes,
    certificate: bytes,
    key: SigningKey,
    version: str,
    capabilities: tuple[str, ...] = (),
    away_ms: int | None = None,
) -> Attach:
    """The end's answer to ``challenge`` at /client/session. ``certificate``: SHA-256 of the TLS peer's leaf."""
    proof = key.prove(Purpose.ATTACH, nonce, certificate, ticket.encode("utf-8"), counter)
    return Attach(ticket, counter, proof, version, capabilities, away_ms)


def check_attach(attach: Attach, nonce: bytes, certificate: bytes, site_key: bytes, now: datetime, term: int) -> Ticket:
    """The ticket of an attach whose signature, time and proof of key hold. Raises NotProven; and LaterTerm for one that
    holds but is of a higher term than the appliance's own: then this appliance is not the primary.

    ``certificate`` is the SHA-256 of the leaf that the gateway answered this connection with. The counter is proven
    with it; that it is above the highest seen is for the caller to check (4409).
    """
    ticket = read_ticket(attach.ticket, site_key, now)
    subject = attach.ticket.encode("utf-8")
    check_proof(ticket.key, attach.proof, Purpose.ATTACH, nonce, certificate, subject, attach.counter)
    if ticket.term > term:
        raise LaterTerm(ticket.term)
    return ticket


def make_jump_client_hello(
    client: str,
    nonce: bytes,
    certificate: bytes,
    key: SigningKey,
    version: str,
    capabilities: tuple[str, ...] = (),
    status: dict[str, str] | None = None,
) -> JumpClientHello:
    """A Jump Client's answer to ``challenge`` at /client/connect."""
    proof = key.prove(Purpose.CONNECT, nonce, certificate, client.encode("utf-8"))
    return JumpClientHello(client, version, proof, capabilities, status or {})


def check_jump_client_hello(hello: JumpClientHello, client_key: bytes, nonce: bytes, certificate: bytes) -> None:
    """Return if the hello was made with the key this client enrolled; else raise NotProven."""
    check_proof(client_key, hello.proof, Purpose.CONNECT, nonce, certificate, hello.client.encode("utf-8"))


def make_console_hello(
    credential: str,
    nonce: bytes,
    certificate: bytes,
    key: SigningKey,
    version: str,
    capabilities: tuple[str, ...] = (),
) -> ConsoleHello:
    """A console's answer to ``challenge`` at /client/connect."""
    proof = key.prove(Purpose.CONNECT, nonce, certificate, credential.encode("utf-8"))
    return ConsoleHello(credential, version, proof, capabilities)


def check_console_hello(
    hello: ConsoleHello, nonce: bytes, certificate: bytes, site_key: bytes, now: datetime
) -> Credential:
    """The credential of a hello whose signature, time and proof of key hold. Raises NotProven."""
    credential = read_credential(hello.credential, site_key, now)
    subject = hello.credential.encode("utf-8")
    check_proof(credential.key, hello.proof, Purpose.CONNECT, nonce, certificate, subject)
    return credential
