"""The relay of one gateway: what happened to its session connections in, what to do about it out. Pure.

- An end is served on one connection only: that with the highest counter seen. An older attach is refused, an older
  connection closed, both with 4409 (fencing); nothing more is read from it.
- What the peer is told comes first: ``peer`` reaches an end before any frame of the new connection does.
- DATA of a recorded session is recorded before it is forwarded, and only if it is forwarded: what nobody received
  is sent again by its end.
- A frame that breaks the protocol closes its own connection (4400) and touches no other.
- Of what the ends say to each other it reads one thing: in channel 0, how a transfer of a file ended.
- Commands are carried out in the order given. The relay holds no DATA: what cannot be forwarded is dropped, since the
  ends replay it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from staffetta.wire import frames, messages, notes
from staffetta.wire.errors import CloseCode, FrameError
from staffetta.wire.vocabulary import Channel, EndName


@dataclass(frozen=True, slots=True)
class Attached:
    """A proven attach. ``connection`` is the caller's own number for it, never used twice in a process.

    ``ticket`` is the renewed ticket to answer with; ``highest`` the highest counter stored for this end before, by
    this gateway or another.
    """

    session: str
    end: EndName
    connection: int
    counter: int
    ticket: str
    recorded: bool = False
    highest: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole message that arrived on a connection."""

    connection: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection has ended, however."""

    connection: int


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing was heard on a connection for two seconds."""

    connection: int


@dataclass(frozen=True, slots=True)
class Slow:
    """A connection's peer does not read: more waits to be written than the windows of its channels allow."""

    connection: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The site ends a session (a rep's wish, a revoked client, an expiry)."""

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """An end may not go on: its connection is refused (4403) and its session ended."""

    session: str
    end: EndName
    reason: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new ticket for an end."""

    session: str
    end: EndName
    ticket: str


@dataclass(frozen=True, slots=True)
class Restated:
    """Every end of this gateway is to be told the site's new statement."""

    statement: messages.NewStatement


@dataclass(frozen=True, slots=True)
class Moved:
    """Every end of this gateway, or of one session, is to go elsewhere."""

    move: messages.Move
    session: str | None = None


Event = Attached | Frame | Lost | Silent | Slow | Ended | Revoked | Renewed | Restated | Moved


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message on this connection."""

    connection: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close this connection with a WebSocket code; nothing more of it is wanted."""

    connection: int
    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """Write this DATA message to the session's recording before doing what follows."""

    session: str
    end: EndName
    message: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """An end of a session came to or left this gateway: to be noted."""

    session: str
    end: EndName
    present: bool
    counter: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session is over at this gateway: seal its recording, note its end."""

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """An end says how a transfer of a file ended: to be noted in the session's story, once per end and channel."""

    session: str
    end: EndName
    note: notes.Transferred


Command = Send | Close | Record | Present | SessionEnded | Told


@dataclass(slots=True)
class _Place:
    connection: int
    counter: int


@dataclass(slots=True)
class _Session:
    recorded: bool = False
    places: dict[EndName, _Place] = field(default_factory=dict)
    highest: dict[EndName, int] = field(default_factory=dict)
    told: set[tuple[EndName, int]] = field(default_factory=set)


class Relay:
    """All sessions of one gateway; ``generation``, ``site_version`` and ``term`` are what ``attached`` tells.

    ``term`` is set anew when the appliance's role changes.
    """

    def __init__(self, generation: str, site_version: str, term: int) -> None:
        self._generation = generation
        self._site_version = site_version
        self.term = term
        self._sessions: dict[str, _Session] = {}
        self._connections: dict[int, tuple[str, EndName]] = {}

    @property
    def sessions(self) -> frozenset[str]:
        """The sessions with at least one end here."""
        return frozenset(name for name, session in self._sessions.items() if session.places)

    @property
    def connections(self) -> frozenset[int]:
        """The connections that are served."""
        return frozenset(self._connections)

    def connection_of(self, session: str, end: EndName) -> int | None:
        """The connection that serves this end here, if any."""
        known = self._sessions.get(session)
        place = known.places.get(end) if known else None
        return place.connection if place else None

    def handle(self, event: Event) -> list[Command]:
        """What to do now, in order."""
        match event:
            case Frame(connection, message):
                return list(self._frame(connection, message))
            case Attached():
                return list(self._attached(event))
            case Lost(connection):
                return list(self._gone(connection))
            case Silent(connection):
                return list(self._drop(connection, CloseCode.SILENT, "nothing heard for two seconds"))
            case Slow(connection):
                return list(self._drop(connection, CloseCode.TOO_MUCH_HELD, "the far side does not read"))
            case Ended(session, reason):
                return list(self._ended(session, reason))
            case Revoked(session, end, reason):
                return list(self._revoked(session, end, reason))
            case Renewed(session, end, ticket):
                renewed = self.connection_of(session, end)
                return [] if renewed is None else [Send(renewed, messages.encode(messages.NewTicket(ticket)))]
            case Restated(statement):
                return list(self._say(statement, None))
            case Moved(move, session):
                return list(self._say(move, session))

    def _attached(self, event: Attached) -> Iterable[Command]:
        session = self._sessions.setdefault(event.session, _Session())
        session.recorded = session.recorded or event.recorded
        highest = max(event.highest, session.highest.get(event.end, 0))
        if event.counter <= highest:
            yield Close(event.connection, CloseCode.FENCED, "a newer connection was seen")
            self._forget_if_empty(event.session)
            return
        older = session.places.get(event.end)
        if older is not None:
            del self._connections[older.connection]
            yield Close(older.connection, CloseCode.FENCED, "a newer connection is attached")
        session.highest[event.end] = event.counter
        session.places[event.end] = _Place(event.connection, event.counter)
        self._connections[event.connection] = (event.session, event.end)
        peer = session.places.get(event.end.peer)
        answer = messages.Attached(
            session=event.session,
            generation=self._generation,
            site_version=self._site_version,
            ticket=event.ticket,
            term=self.term,
            peer=peer is not None,
            recorded=session.recorded,
        )
        yield Present(event.session, event.end, True, event.counter)
        yield Send(event.connection, messages.encode(answer))
        if peer is not None:
            yield Send(peer.connection, messages.encode(messages.Peer(True, event.counter)))

    def _frame(self, connection: int, message: bytes) -> Iterable[Command]:
        where = self._connections.get(connection)
        if where is None:
            return
        name, end = where
        session = self._sessions[name]
        try:
            frame = frames.decode(message)
            parsed = messages.parse(frame) if isinstance(frame, frames.Control) else None
        except FrameError as error:
            yield from self._drop(connection, CloseCode.BAD_FRAME, error.close_reason)
            return
        peer = session.places.get(end.peer)
        match frame:
            case frames.Ping(token):
                yield Send(connection, frames.encode(frames.Pong(token)))
            case frames.Data() if peer is not None:
                if session.recorded:
                    yield Record(name, end, message)
                if frame.channel == Channel.NOTES:
                    yield from self._told(name, end, frame.payload)
                yield Send(peer.connection, message)
            case frames.Ack() if peer is not None:
                yield Send(peer.connection, message)
            case frames.Control() if isinstance(parsed, messages.EndSession):
                yield from self._ended(name, parsed.reason or f"ended by the {end}")
            case frames.Control() if peer is not None and messages.goes_to_peer(frame):
                yield Send(peer.connection, message)
            case _:
                pass

    def _told(self, name: str, end: EndName, payload: bytes) -> Iterable[Command]:
        """What a note tells the site; a replayed one tells nothing new, one that cannot be read tells nothing."""
        try:
            note = notes.parse_note(payload)
        except FrameError:
            return
        told = self._sessions[name].told
        if isinstance(note, notes.Transferred) and (end, note.channel) not in told:
            told.add((end, note.channel))
            yield Told(name, end, note)

    def _gone(self, connection: int) -> Iterable[Command]:
        """Forget a connection that no longer serves; its peer is told."""
        where = self._connections.pop(connection, None)
        if where is None:
            return
        name, end = where
        session = self._sessions[name]
        counter = session.places.pop(end).counter
        yield Present(name, end, False, counter)
        peer = session.places.get(end.peer)
        if peer is not None:
            yield Send(peer.connection, messages.encode(messages.Peer(False, counter)))
        self._forget_if_empty(name)

    def _drop(self, connection: int, code: CloseCode, reason: str) -> Iterable[Command]:
        if connection in self._connections:
            yield Close(connection, code, reason)
            yield from self._gone(connection)

    def _ended(self, name: str, reason: str) -> Iterable[Command]:
        session = self._sessions.pop(name, None)
        if session is None:
            return
        for end, place in session.places.items():
            del self._connections[place.connection]
            yield Send(place.connection, messages.encode(messages.Ended(reason[:1024])))
            yield Close(place.connection, CloseCode.ENDED, reason[:40])
            yield Present(name, end, False, place.counter)
        yield SessionEnded(name, reason)

    def _revoked(self, name: str, end: EndName, reason: str) -> Iterable[Command]:
        session = self._sessions.get(name)
        place = session.places.pop(end, None) if session else None
        if place is not None:
            del self._connections[place.connection]
            yield Close(place.connection, CloseCode.REFUSED, reason[:40])
            yield Present(name, end, False, place.counter)
        yield from self._ended(name, reason)

    def _say(self, said: messages.Message, only: str | None) -> Iterable[Command]:
        """To sessions one after the other, both ends of each together: told to move, they meet again at once."""
        message = messages.encode(said)
        for name, session in self._sessions.items():
            if only is None or name == only:
                for place in session.places.values():
                    yield Send(place.connection, message)

    def _forget_if_empty(self, name: str) -> None:
        """The highest counters are stored by the caller; a session without an end here needs no memory."""
        if not self._sessions[name].places:
            del self._sessions[name]
