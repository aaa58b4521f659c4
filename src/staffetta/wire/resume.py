"""One end of a session: numbers what it sends, keeps what the far application has not consumed, replays after a loss.

Bytes and facts in; events, messages and closes out. No socket, clock or random in it. Rules:

- A connection is named by its attach counter. Only the newest attached one is current; a newer one replaces it at the
  moment its ``attached`` arrives (make before break), and the older is then closed with 4412.
- Frames are numbered and cut once; a replay sends the same frames with the same times, so that any two copies agree.
- DATA is sent only between a ``sync`` of the peer and the next ``peer``, loss or new connection.
- A receiver takes DATA only with the expected sequence; everything else is dropped, and a sync follows.
- Per channel at most ``window`` bytes are sent and not consumed; in all at most ``hold`` bytes are kept. Both count
  whole frames, header included.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from staffetta.wire import frames, messages, notes
from staffetta.wire.channels import MAX_CHANNELS, Incoming, Limits, Outgoing
from staffetta.wire.errors import CloseCode, FrameError, HoldExceeded, Problem
from staffetta.wire.liveness import Liveness
from staffetta.wire.outcomes import (
    Arrived,
    Close,
    ConnectionLost,
    Event,
    MoveAsked,
    Output,
    PeerChanged,
    PointedElsewhere,
    Resumed,
    Send,
    SessionJoined,
    SessionOver,
    StatementChanged,
    TicketChanged,
)
from staffetta.wire.vocabulary import Channel, EndName


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept now, for status lines and logs: frames and bytes, header included."""

    frames: int
    bytes: int


class SessionEnd:
    """One end of a session, over any number of connections one after the other.

    For each attempt: ``counter = end.dial()``; dial, answer the challenge with that counter; hand every further
    message to ``receive(counter, message, now)`` and the end of the connection to ``lost(counter)``. Call ``tick``
    every ``PING_SECONDS`` or at ``next_look``. After any call, carry out ``take()``.
    """

    def __init__(self, name: EndName, limits: Limits | None = None, counter: int = 0) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.counter = counter
        self.current: int | None = None
        self.peer_present = False
        self.over: str | None = None
        self.joined = 0
        self._flowing = False
        self._liveness: Liveness | None = None
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, Incoming] = {}
        self._outputs: deque[Output] = deque()
        self._kept_bytes = 0
        self._turn = 0

    # -- connections ---------------------------------------------------------------------------------------------

    def dial(self) -> int:
        """The counter for the next attempt; it rises with every attempt, used or not."""
        self.counter += 1
        return self.counter

    def lost(self, connection: int) -> None:
        """This connection has ended, however. Nothing if it is no longer the current one."""
        if connection == self.current:
            self.current = None
            self._liveness = None
            self.peer_present = self._flowing = False

    def receive(self, connection: int, message: bytes, now: float) -> list[Event]:
        """What a message means. Raises FrameError: then close that connection with 4400 and tell ``lost``.

        A well-formed frame by which the *peer* breaks the protocol (a window exceeded, an impossible position) ends
        the session instead: a new connection would only bring the same again.
        """
        frame = frames.decode(message)
        parsed = messages.parse(frame) if isinstance(frame, frames.Control) else None
        if self.over is not None:
            return []
        if connection == self.current and self._liveness is not None:
            self._liveness.heard(now)
        try:
            return self._events(connection, frame, parsed, now)
        except FrameError as error:
            self.end(error.message)
            return [SessionOver(error.message)]

    def _events(
        self, connection: int, frame: frames.Frame, parsed: messages.Message | messages.Unknown | None, now: float
    ) -> list[Event]:
        match frame:
            case frames.Ping(token):
                self._outputs.append(Send(connection, frames.encode(frames.Pong(token))))
            case frames.Data() if connection == self.current:
                return self._data(frame)
            case frames.Ack(channel, next_) if connection == self.current:
                self._consumed_by_peer(channel, next_)
            case frames.Control() if parsed is not None:
                return self._control(connection, parsed, now)
            case _:
                pass
        return []

    def tick(self, now: float) -> list[Event]:
        """Ping when due, acknowledge what is not yet, and drop a silent connection."""
        connection, liveness = self.current, self._liveness
        if connection is None or liveness is None or self.over is not None:
            return []
        if liveness.dead(now):
            self._outputs.append(Close(connection, CloseCode.SILENT, "nothing heard"))
            self.lost(connection)
            return [ConnectionLost(connection)]
        if liveness.ping_due(now):
            self._outputs.append(Send(connection, frames.encode(frames.Ping(int(now * 1000) & frames.MAX_U64))))
            for channel, incoming in self._incoming.items():
                self._acknowledge(channel, incoming)
        return []

    def next_look(self) -> float | None:
        """When ``tick`` has something to do next, in the caller's monotonic seconds; None without a connection."""
        return None if self._liveness is None else self._liveness.next_look()

    # -- the application's side ----------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether a whole frame may be given to any channel; while false the application holds its input."""
        return self.over is None and self.room(Channel.SHELL) >= self.limits.payload

    def room(self, channel: int) -> int:
        """How many bytes ``send`` takes for this channel now; a part of the hold is reserved for channel 0."""
        free = self.limits.hold - self._kept_bytes
        if channel != Channel.NOTES:
            free -= self.limits.reserve
        whole, rest = divmod(max(free, 0), self.limits.payload + frames.DATA_HEADER)
        return whole * self.limits.payload + max(rest - frames.DATA_HEADER, 0)

    @property
    def held(self) -> Held:
        """What is kept for the peer now."""
        return Held(sum(len(outgoing.kept) for outgoing in self._outgoing.values()), self._kept_bytes)

    def send(self, channel: int, payload: bytes, at: int) -> None:
        """Take bytes for the peer; ``at`` is microseconds since this end joined the session, never falling.

        They are cut into frames; a payload that fits one frame stays one, which channel 0 relies on. Raises
        HoldExceeded if ``room`` is smaller, and nothing is taken. After the session's end nothing is taken either.
        """
        if self.over is not None or not payload:
            return
        if not 0 <= channel < MAX_CHANNELS:
            raise FrameError(Problem.BAD_MESSAGE, f"channel {channel}, at most {MAX_CHANNELS - 1}")
        if len(payload) > self.room(channel):
            raise HoldExceeded(f"{len(payload)} bytes for channel {channel}, room for {self.room(channel)}")
        outgoing = self._outgoing.setdefault(channel, Outgoing())
        for start in range(0, len(payload), self.limits.payload):
            part = payload[start : start + self.limits.payload]
            message = frames.encode(frames.Data(channel, outgoing.next, at, part))
            outgoing.add(message)
            self._kept_bytes += len(message)

    def send_note(self, note: notes.Note, at: int) -> None:
        """Send a message of channel 0 (a resize, the shell's exit). Raises HoldExceeded."""
        self.send(Channel.NOTES, notes.encode_note(note), at)

    def consumed(self, arrived: Arrived) -> None:
        """The application has taken this frame and all before it on its channel."""
        incoming = self._incoming[arrived.channel]
        while incoming.taken <= arrived.sequence and incoming.waiting:
            size = incoming.waiting.popleft()
            incoming.unconsumed -= size
            incoming.since_ack += size
            incoming.taken += 1
        if incoming.since_ack >= self.limits.window // 4:
            self._acknowledge(arrived.channel, incoming)

    def end(self, reason: str) -> None:
        """End the session for both ends, if there is a connection to say it on; this end is over either way."""
        if self.over is None and self.current is not None:
            self._outputs.append(Send(self.current, messages.encode(messages.EndSession(reason[:1024]))))
        self.over = self.over or reason

    def take(self) -> list[Output]:
        """What to do now, in order: replies first, then as much DATA as windows and the peer allow."""
        outputs = list(self._outputs)
        self._outputs.clear()
        if self.current is not None and self._flowing and self.over is None:
            outputs.extend(Send(self.current, message) for message in self._due())
        return outputs

    def _due(self) -> Iterable[bytes]:
        """Channel 0 first, the others in turn, a frame each, so that none starves another."""
        channels = sorted(self._outgoing)
        first = [channel for channel in channels if channel == Channel.NOTES]
        others = [channel for channel in channels if channel != Channel.NOTES]
        for channel in first:
            while (message := self._outgoing[channel].sendable(self.limits.window)) is not None:
                yield message
        blocked = 0
        while others and blocked < len(others):
            self._turn = (self._turn + 1) % len(others)
            message = self._outgoing[others[self._turn]].sendable(self.limits.window)
            blocked = blocked + 1 if message is None else 0
            if message is not None:
                yield message

    # -- the peer's side -----------------------------------------------------------------------------------------

    def _control(self, connection: int, message: messages.Message | messages.Unknown, now: float) -> list[Event]:
        match message:
            case messages.Attached():
                return self._attached(connection, message, now)
            case messages.Ended(reason):
                self.over = reason or "ended"
                return [SessionOver(self.over)]
            case messages.Move() if self.current is None or connection > self.current:
                return [PointedElsewhere(connection, message)]
            case _ if connection != self.current:
                return []
            case messages.Peer(present):
                self._peer(present)
                return [PeerChanged(present)]
            case messages.Sync(expect, consumed):
                return self._synchronised(_positions(expect), _positions(consumed))
            case messages.NewTicket(ticket):
                return [TicketChanged(ticket)]
            case messages.NewStatement(statement):
                return [StatementChanged(statement)]
            case messages.Move():
                return [MoveAsked(message)]
            case _:
                return []

    def _attached(self, connection: int, attached: messages.Attached, now: float) -> list[Event]:
        if self.current is not None and connection < self.current:
            self._outputs.append(Close(connection, CloseCode.FENCED, "a newer connection is attached"))
            return []
        if self.current is not None and connection != self.current:
            self._outputs.append(Close(self.current, CloseCode.MOVED, "moved"))
        self.current = connection
        self._liveness = Liveness(now)
        self.joined += 1
        self._peer(attached.peer)
        return [
            SessionJoined(attached, connection, resumed=self.joined > 1),
            TicketChanged(attached.ticket),
            PeerChanged(attached.peer),
        ]

    def _peer(self, present: bool) -> None:
        """Hold what is to be sent; to a peer that is there, tell what has arrived."""
        self.peer_present = present
        self._flowing = False
        if present and self.current is not None:
            expect = {str(channel): incoming.expect for channel, incoming in self._incoming.items()}
            consumed = {str(channel): incoming.taken for channel, incoming in self._incoming.items()}
            self._outputs.append(Send(self.current, messages.encode(messages.Sync(expect, consumed))))
            for incoming in self._incoming.values():
                incoming.acked, incoming.since_ack = incoming.taken, 0

    def _synchronised(self, expect: Mapping[int, int], consumed: Mapping[int, int]) -> list[Event]:
        """The peer's sync. If the two ends cannot both be right, one has lost its state: the session is over."""
        nothing = Outgoing()
        for channel in {*self._outgoing, *expect, *consumed}:
            outgoing = self._outgoing.get(channel, nothing)
            if not outgoing.base <= expect.get(channel, 0) <= outgoing.reached:
                self.end("positions-lost")
                return [SessionOver("positions-lost")]
            if consumed.get(channel, 0) > expect.get(channel, 0):
                raise FrameError(Problem.BAD_ACK, "more is consumed than received")
        replayed = 0
        for channel, outgoing in self._outgoing.items():
            self._consumed_by_peer(channel, consumed.get(channel, 0))
            replayed += outgoing.rewind(expect.get(channel, 0))
        self._flowing = True
        return [Resumed(replayed)]

    def _consumed_by_peer(self, channel: int, next_: int) -> None:
        outgoing = self._outgoing.get(channel)
        if outgoing is None:
            if next_:
                raise FrameError(Problem.BAD_ACK, "ACK of a channel on which nothing was sent")
            return
        before = outgoing.kept_bytes
        outgoing.consumed(next_)
        self._kept_bytes -= before - outgoing.kept_bytes

    def _data(self, frame: frames.Data) -> list[Event]:
        if frame.channel >= MAX_CHANNELS:
            raise FrameError(Problem.BAD_MESSAGE, f"channel {frame.channel}, at most {MAX_CHANNELS - 1}")
        incoming = self._incoming.setdefault(frame.channel, Incoming())
        if frame.sequence != incoming.expect:
            return []
        size = len(frame.payload) + frames.DATA_HEADER
        if incoming.unconsumed + size > self.limits.window:
            raise FrameError(Problem.WINDOW, f"channel {frame.channel}")
        incoming.expect += 1
        incoming.unconsumed += size
        incoming.waiting.append(size)
        return [Arrived(frame.channel, frame.sequence, frame.at, frame.payload)]

    def _acknowledge(self, channel: int, incoming: Incoming) -> None:
        if self.current is None or not self.peer_present or incoming.taken == incoming.acked:
            return
        self._outputs.append(Send(self.current, frames.encode(frames.Ack(channel, incoming.taken))))
        incoming.acked, incoming.since_ack = incoming.taken, 0


def _positions(values: Mapping[str, int]) -> dict[int, int]:
    """The positions of a sync by channel number. Raises FrameError for a key that is no channel."""
    positions: dict[int, int] = {}
    for text, position in values.items():
        if not (len(text) <= 5 and text.isascii() and text.isdecimal() and str(int(text)) == text):
            raise FrameError(Problem.BAD_MESSAGE, f"'{text[:20]}' is no channel")
        positions[int(text)] = position
    return positions
