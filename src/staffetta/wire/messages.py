"""Every CONTROL message as a frozen value, parsed at the door.

``parse`` gives one of the classes here or ``Unknown`` (a newer side's message: ignored). ``encode`` gives the whole
WebSocket message. Unknown fields are ignored; a missing or wrong field is a FrameError. Adding a field to a class
needs a default, so that an older side's message is still read (versions N and N-1 talk to each other).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final

from staffetta.wire import fields as wire_fields
from staffetta.wire import frames
from staffetta.wire.errors import FrameError, Problem
from staffetta.wire.fields import (
    Addresses,
    Capabilities,
    Counter,
    Details,
    Hash,
    Id,
    Name,
    Nonce,
    Proof,
    Range,
    Sentence,
    Size,
    Token,
)
from staffetta.wire.vocabulary import ClientMode


@dataclass(frozen=True, slots=True)
class ShellOptions:
    """The size of the terminal at the start, in characters."""

    columns: Annotated[int, Range(1, 1000)] = 80
    rows: Annotated[int, Range(1, 1000)] = 24


@dataclass(frozen=True, slots=True)
class Challenge:
    """Gateway, first message on every connection: what to sign, and the site's newest signed statement.

    ``certificate`` is the SHA-256 of the leaf that the gateway shows on this connection, for an end in a browser, which
    cannot see it. An end that can see it signs what it sees.
    """

    TYPE: ClassVar[str] = "challenge"
    nonce: Nonce
    statement: Token
    certificate: Hash | None = None


@dataclass(frozen=True, slots=True)
class JumpClientHello:
    """A Jump Client comes online. The proof's purpose is ``connect``, its subject the client's id."""

    TYPE: ClassVar[str] = "hello"
    client: Id
    version: Name
    proof: Proof
    capabilities: Capabilities = ()
    status: Details = field(default_factory=dict)
    role: str = "jump-client"


@dataclass(frozen=True, slots=True)
class ConsoleHello:
    """A rep's console comes online. The proof's purpose is ``connect``, its subject the credential's text."""

    TYPE: ClassVar[str] = "hello"
    credential: Token
    version: Name
    proof: Proof
    capabilities: Capabilities = ()
    role: str = "console"


@dataclass(frozen=True, slots=True)
class Welcome:
    """Gateway: the hello was proven. The client pings every ``ping_seconds``."""

    TYPE: ClassVar[str] = "welcome"
    generation: Id
    site_version: Name
    term: Counter
    statement: Token
    ping_seconds: Annotated[int, Range(1, 3600)] = 20
    capabilities: Capabilities = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Gateway: not admitted; the connection is closed after it."""

    TYPE: ClassVar[str] = "refuse"
    code: Name
    reason: Sentence = ""


@dataclass(frozen=True, slots=True)
class Invite:
    """Gateway to Jump Client: join this session at /client/session."""

    TYPE: ClassVar[str] = "invite"
    session: Id
    ticket: Token
    kind: Name
    options: ShellOptions = ShellOptions()


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """Jump Client, to a gateway with the capability ``client-status``: its ``status`` is another than in ``hello``."""

    TYPE: ClassVar[str] = "status"
    status: Details


@dataclass(frozen=True, slots=True)
class NewMode:
    """Gateway to a Jump Client with the capability ``passive``, after ``welcome`` and on change: the mode to be in."""

    TYPE: ClassVar[str] = "mode"
    mode: ClientMode


@dataclass(frozen=True, slots=True)
class Rest:
    """Jump Client, to a gateway with the capability ``passive``: it would like to leave until it checks in again.

    The gateway closes with 4412, and what it had to say before that has arrived; or it stays silent, since a session is
    about to be opened.
    """

    TYPE: ClassVar[str] = "rest"


@dataclass(frozen=True, slots=True)
class ListClients:
    """Console: which Jump Clients are there?"""

    TYPE: ClassVar[str] = "list"
    request: Counter


@dataclass(frozen=True, slots=True)
class ListedClient:
    """A row of ``clients``; times are as ``kernel.clock.format_time`` writes them.

    ``mode`` is a ``ClientMode``; ``next_check_in`` is when a passive one is expected at the latest.
    """

    id: Id
    name: Name
    online: bool
    version: Annotated[str, Size(0, 256)] = ""
    platform: Annotated[str, Size(0, 256)] = ""
    last_seen: Annotated[str, Size(0, 64)] | None = None
    mode: Annotated[str, Size(0, 64)] = "active"
    next_check_in: Annotated[str, Size(0, 64)] | None = None


@dataclass(frozen=True, slots=True)
class Clients:
    """Gateway: a page of the answer to ``list``; the last page has ``more`` false."""

    TYPE: ClassVar[str] = "clients"
    request: Counter
    clients: tuple[ListedClient, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """Console: open a session on this Jump Client."""

    TYPE: ClassVar[str] = "open"
    request: Counter
    client: Id
    kind: Name
    options: ShellOptions = ShellOptions()


@dataclass(frozen=True, slots=True)
class Opened:
    """Gateway: the session exists; attach with this ticket."""

    TYPE: ClassVar[str] = "opened"
    request: Counter
    session: Id
    ticket: Token
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Gateway to a console with the capability ``wait``: the session begins when the passive Jump Client checks in.

    ``woken``: it has answered a wake-up and is on its way. ``expected``: when it comes by itself, at the latest. The
    console cancels by closing its connection, and asks again where that is lost.
    """

    TYPE: ClassVar[str] = "waiting"
    request: Counter
    woken: bool
    expected: Annotated[str, Size(0, 64)] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Gateway: the request was understood and is not granted."""

    TYPE: ClassVar[str] = "refused"
    request: Counter
    code: Name
    reason: Sentence = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Gateway: open a new connection first (to ``addresses``, else to any known), then close this one with 4412.

    As the answer to ``hello`` or ``attach`` it is a pointer: this appliance is not the primary, and closes with 4412.
    """

    TYPE: ClassVar[str] = "move"
    term: Counter
    statement: Token
    reason: Sentence = ""
    addresses: Addresses | None = None


@dataclass(frozen=True, slots=True)
class Attach:
    """An end joins its session. The proof's purpose is ``attach``, its subject the ticket's text.

    ``away_ms`` is how long this end has had no connection when it sends this: 0 while it still holds the one before,
    None at its first attach and from an older end.
    """

    TYPE: ClassVar[str] = "attach"
    ticket: Token
    counter: Counter
    proof: Proof
    version: Name
    capabilities: Capabilities = ()
    away_ms: Counter | None = None


@dataclass(frozen=True, slots=True)
class Attached:
    """Gateway: this connection is now the end's; ``peer`` tells whether the other end is there."""

    TYPE: ClassVar[str] = "attached"
    session: Id
    generation: Id
    site_version: Name
    ticket: Token
    term: Counter
    peer: bool
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """Gateway: the other end came (on its connection with this counter) or went."""

    TYPE: ClassVar[str] = "peer"
    present: bool
    counter: Counter = 0


@dataclass(frozen=True, slots=True)
class NewTicket:
    """Gateway: a renewed ticket for this end; it replaces the one held."""

    TYPE: ClassVar[str] = "ticket"
    ticket: Token


@dataclass(frozen=True, slots=True)
class NewStatement:
    """Gateway: what the site says of itself has changed (a certificate, an address, the term); nobody need move."""

    TYPE: ClassVar[str] = "statement"
    statement: Token


_Positions = Annotated[Mapping[str, Counter], Size(0, 256)]


@dataclass(frozen=True, slots=True)
class Sync:
    """End to end: per channel the next sequence not yet received, and the next not yet consumed.

    The keys are channel numbers in decimal; a channel that is missing counts as 0 in both.
    """

    TYPE: ClassVar[str] = "sync"
    expect: _Positions
    consumed: _Positions


@dataclass(frozen=True, slots=True)
class EndSession:
    """Either end: the session is over."""

    TYPE: ClassVar[str] = "end"
    reason: Sentence = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Gateway to both ends: the session is over; 4410 follows."""

    TYPE: ClassVar[str] = "ended"
    reason: Sentence = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a newer version: ignored, or relayed if it is ``to`` the peer."""

    kind: str


Message = (
    Challenge
    | JumpClientHello
    | ConsoleHello
    | Welcome
    | Refuse
    | Invite
    | ClientStatus
    | NewMode
    | Rest
    | ListClients
    | Clients
    | Open
    | Opened
    | Waiting
    | Refused
    | Move
    | Attach
    | Attached
    | Peer
    | NewTicket
    | NewStatement
    | Sync
    | EndSession
    | Ended
)

_PLAIN: Final[Mapping[str, type[Message]]] = {
    kind.TYPE: kind
    for kind in (
        *(Challenge, Welcome, Refuse, Invite, ClientStatus, NewMode, Rest, ListClients, Clients, Open, Opened, Waiting),
        *(Refused, Move, Attach, Attached, Peer, NewTicket, NewStatement, Sync, EndSession, Ended),
    )
}
_HELLO: Final[Mapping[str, type[JumpClientHello] | type[ConsoleHello]]] = {
    "jump-client": JumpClientHello,
    "console": ConsoleHello,
}


def parse(control: frames.Control) -> Message | Unknown:
    """The message in a CONTROL frame. Raises FrameError for a known type whose fields do not fit."""
    if control.kind == "hello":
        role = control.fields.get("role")
        hello = _HELLO.get(role) if isinstance(role, str) else None
        if hello is None:
            raise FrameError(Problem.BAD_MESSAGE, "'role' of hello is not known")
        return wire_fields.read(hello, control.fields)
    kind = _PLAIN.get(control.kind)
    return Unknown(control.kind) if kind is None else wire_fields.read(kind, control.fields)


def encode(message: Message) -> bytes:
    """The WebSocket message that carries it. Raises FrameError if it would be longer than a message may be."""
    return frames.encode(frames.Control(message.TYPE, wire_fields.write(message)))


def goes_to_peer(control: frames.Control) -> bool:
    """Whether the relay passes this CONTROL on to the other end, unchanged."""
    return control.kind == Sync.TYPE or control.fields.get("to") == "peer"
