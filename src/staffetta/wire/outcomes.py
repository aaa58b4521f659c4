"""What comes of what an end of a session hears: outputs for its connections, events for its application."""

from dataclasses import dataclass

from staffetta.wire import messages


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message on the connection with this counter."""

    connection: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this counter."""

    connection: int
    code: int
    reason: str


Output = Send | Close


@dataclass(frozen=True, slots=True)
class SessionJoined:
    """The connection is now this end's; ``resumed`` is true from the second time on."""

    attached: messages.Attached
    connection: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame for the application, in order and once. Tell ``consumed`` when it was taken."""

    channel: int
    sequence: int
    at: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """The other end came or went; sending is held in both cases until ``Resumed``."""

    present: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """The other end has told what it has: sending goes on. ``replayed`` counts frames that are sent again."""

    replayed: int


@dataclass(frozen=True, slots=True)
class TicketChanged:
    """Keep this ticket for the next attach."""

    ticket: str


@dataclass(frozen=True, slots=True)
class MoveAsked:
    """Verify and adopt the statement, then dial a new connection; this one stays in use until that one is attached."""

    move: messages.Move


@dataclass(frozen=True, slots=True)
class PointedElsewhere:
    """The gateway at this connection, which is not attached, serves nobody: dial where its move says."""

    connection: int
    move: messages.Move


@dataclass(frozen=True, slots=True)
class StatementChanged:
    """Verify and adopt this statement of the site."""

    statement: str


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The current connection was silent too long and is being closed: dial the next address."""

    connection: int


@dataclass(frozen=True, slots=True)
class SessionOver:
    """Nothing more is sent or received."""

    reason: str


Event = (
    SessionJoined
    | Arrived
    | PeerChanged
    | Resumed
    | TicketChanged
    | MoveAsked
    | PointedElsewhere
    | StatementChanged
    | ConnectionLost
    | SessionOver
)
