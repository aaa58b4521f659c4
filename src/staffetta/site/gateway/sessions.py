"""The live sessions of one gateway: the pure relay, its commands carried out, attaches noted, recordings kept.

- An attach is let in by the database first (the fence of its counter is stored), then by the relay.
- What the relay tells to record is on disk's way before the frame is sent on.
- Writes to the database never hold up a frame: they go through one ordered task per gateway.
- A session that this appliance has never heard of (the other one died before it told) is taken up from the ticket.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Final

from staffetta.kernel.clock import utc_now
from staffetta.kernel.log import get_logger
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.accounts.sign_ins import SignIn, signed_out
from staffetta.site.data.database import in_database
from staffetta.site.fleet import service as fleet
from staffetta.site.gateway.connection import Connection
from staffetta.site.gateway.errors import NotAllowed
from staffetta.site.gateway.measuring import Pauses
from staffetta.site.gateway.recordings import Recordings
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.site.gateway.signing import Signer
from staffetta.site.support import relay
from staffetta.site.support import service as support
from staffetta.site.support.errors import SessionUnknown
from staffetta.site.support.segments import RecordingFull
from staffetta.site.support.service import Attached, SessionFacts
from staffetta.wire import messages
from staffetta.wire.errors import CloseCode
from staffetta.wire.signed import SIGNED_OUT, from_milliseconds, milliseconds
from staffetta.wire.tickets import About, Ticket
from staffetta.wire.vocabulary import EndName

_log = get_logger(__name__)

CLIENT_REVOKED: Final = "client-revoked"


@dataclass(slots=True)
class _End:
    """One served connection of an end."""

    session: str
    name: EndName
    key: bytes
    about: About | None
    connection: Connection
    renewed: float


class Sessions:
    """All sessions with an end at this gateway. ``elsewhere`` is asked for the missing peer of an end that attached."""

    def __init__(
        self,
        generation: str,
        version: str,
        signer: Signer,
        recordings: Recordings,
        settings: GatewaySettings,
        elsewhere: Callable[[str], Awaitable[Any]],
    ) -> None:
        self._generation = generation
        self._version = version
        self._signer = signer
        self._recordings = recordings
        self._settings = settings
        self._elsewhere = elsewhere
        self.pauses = Pauses()
        self._relay = relay.Relay(generation, version, signer.term)
        self._numbers = count(1)
        self._ends: dict[int, _End] = {}
        self._writes: asyncio.Queue[Callable[[], Awaitable[Any]]] = asyncio.Queue()
        self._asking: set[asyncio.Task[Any]] = set()

    @property
    def live(self) -> frozenset[str]:
        """The sessions with at least one end here."""
        return self._relay.sessions

    @property
    def ends(self) -> int:
        """How many ends are connected here."""
        return len(self._relay.connections)

    async def attach(self, connection: Connection, ticket: Ticket, attach: messages.Attach) -> int | None:
        """Let a proven end into its session; returns the number to tell its frames by, None if it is closed again.

        Raises ``NotAllowed``, ``SessionUnknown``, ``SessionOver``, ``Fenced``, ``BadAttach``.
        """
        facts, attached = await self._let_in(ticket, attach)
        if attached.again and not facts.probe:
            self.pauses.note(attached.pause_ms)
        about = about_session(facts)
        number = next(self._numbers)
        clock = asyncio.get_running_loop().time()
        self._ends[number] = _End(ticket.session, ticket.end, ticket.key, about, connection, clock)
        renewed = self._signer.ticket(ticket.session, ticket.end, ticket.key, about)
        self._relay.term = self._signer.term
        self._do(relay.Attached(ticket.session, ticket.end, number, attach.counter, renewed, facts.recorded))
        if number not in self._relay.connections:
            self._ends.pop(number, None)
            return None
        if self._relay.connection_of(ticket.session, ticket.end.peer) is None:
            task = asyncio.ensure_future(self._elsewhere(ticket.session))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return number

    def frame(self, number: int, message: bytes) -> None:
        """A message came from an end."""
        self._do(relay.Frame(number, message))

    def lost(self, number: int) -> None:
        """An end's connection has ended. On its way to another appliance, what is recorded must be there soon too."""
        self._do(relay.Lost(number))
        end = self._ends.pop(number, None)
        if end is not None and not self._signer.serves:
            self._recordings.seal(end.session, self.later)

    def move(self, reason: str, session: str | None = None) -> bool:
        """Tell the ends of one session, or of all, to connect anew; say whether any is here."""
        here = self._relay.sessions
        if session is not None and session not in here:
            return False
        self._do(relay.Moved(self._signer.move(reason), session))
        return bool(here)

    def tell(self, statement: messages.NewStatement) -> None:
        """Tell all ends what the site says of itself now."""
        self._do(relay.Restated(statement))

    def close_all(self, code: CloseCode, reason: str) -> int:
        """Close every connection of an end; returns how many there were. The ends dial again and replay."""
        served = [end for number, end in self._ends.items() if number in self._relay.connections]
        for end in served:
            end.connection.close(code, reason)
        return len(served)

    async def end_what_is_over(self) -> None:
        """End the sessions here that ended in the database, or whose client, rep or console may not go on."""
        for session, reason in (await in_database(_over, self.live)).items():
            if reason == CLIENT_REVOKED:
                self._do(relay.Revoked(session, EndName.JUMP_CLIENT, reason))
            else:
                self._do(relay.Ended(session, reason))

    def look_after(self, now: float) -> None:
        """Close silent ends, renew tickets and seal what is due; called about every second with the loop's time."""
        for number in tuple(self._relay.connections):
            end = self._ends[number]
            if now - end.connection.heard > self._settings.session_silent_seconds:
                self._do(relay.Silent(number))
            elif now - end.renewed >= self._settings.ticket_renewal_seconds:
                end.renewed = now
                ticket = self._signer.ticket(end.session, end.name, end.key, end.about)
                self._do(relay.Renewed(end.session, end.name, ticket))
        self._recordings.seal_due(self.later)

    async def write(self) -> None:
        """Carry out the writes to the database, in order, for as long as the gateway runs."""
        while True:
            work = await self._writes.get()
            try:
                await work()
            except Exception:  # noqa: BLE001 - what follows must still be written
                _log.exception("what happened in a session could not be written")
            finally:
                self._writes.task_done()

    async def written(self) -> None:
        """Wait until everything that has happened is written."""
        await self._writes.join()

    async def _let_in(self, ticket: Ticket, attach: messages.Attach) -> tuple[SessionFacts, Attached]:
        """Raise the stored fence; a connection that goes away meanwhile is noted as gone afterwards."""
        letting_in = asyncio.ensure_future(in_database(_let_in, ticket, attach, self._generation, utc_now()))
        try:
            return await asyncio.shield(letting_in)
        except asyncio.CancelledError:
            await asyncio.wait({letting_in})
            self.later(support.note_detached, ticket.session, ticket.end.value, attach.counter, utc_now())
            raise

    def _do(self, event: relay.Event) -> None:
        for command in self._relay.handle(event):
            match command:
                case relay.Send(number, message):
                    connection = self._ends[number].connection
                    connection.send(message)
                    if connection.too_slow:
                        # At once, not when it is cut: its peer must stop, and nothing more be recorded as passed on.
                        self._do(relay.Slow(number))
                case relay.Record(session, end, message):
                    try:
                        self._recordings.write(session, end, message)
                    except RecordingFull as error:
                        # What cannot be recorded is not passed on: the session ends, and says why.
                        _log.error("a recording stopped: %s", error.message, extra={"session": session})
                        self._do(relay.Ended(session, "recording-stopped"))
                        return
                case relay.Close(number, code, reason):
                    self._ends[number].connection.close(code, reason)
                case relay.Present(session, end, False, counter):
                    self.later(support.note_detached, session, end.value, counter, utc_now())
                case relay.Present():
                    pass
                case relay.Told(session, end, note):
                    self.later(support.note_transfer, session, end.value, note, utc_now())
                case relay.SessionEnded(session, reason):
                    _log.info("session ended: %s", reason, extra={"session": session})
                    self._recordings.seal(session, self.later)
                    self.later(support.end_session, session, reason, utc_now())

    def later(self, function: Callable[..., object], *arguments: object) -> None:
        """Let a service function run after what happened before is written."""
        self._writes.put_nowait(partial(in_database, function, *arguments))


def about_session(facts: SessionFacts) -> About | None:
    """Return what a ticket says of a session, None for a probe's."""
    if facts.probe:
        return None
    opened = round(facts.opened_at.timestamp() * 1000)
    sign_in = facts.sign_in
    return About(
        facts.rep_id, facts.client_id, facts.kind, facts.recorded, opened, sign_in.web, milliseconds(sign_in.since)
    )


def _known(ticket: Ticket, at: datetime) -> SessionFacts:
    try:
        return support.session(ticket.session)
    except SessionUnknown:
        about = ticket.about
        if about is None:
            raise
        opened = datetime.fromtimestamp(about.opened / 1000, UTC)
        since = None if about.since is None else from_milliseconds(about.since)
        sign_in = None if since is None else SignIn(about.rep, about.web, since)
        return support.take_up(
            ticket.session, about.kind, about.rep, about.client, about.recorded, opened, at, sign_in=sign_in
        )


def _let_in(ticket: Ticket, attach: messages.Attach, generation: str, at: datetime) -> tuple[SessionFacts, Attached]:
    """Let an end in if it still may, and return what the session is and how its attach stands to the one before.

    A ticket lives five minutes, a revocation counts at once.
    """
    facts = _known(ticket, at)
    if not facts.probe:
        if ticket.end is EndName.JUMP_CLIENT and fleet.revoked_among({facts.client_id}):
            raise NotAllowed("client-revoked", "This Jump Client was revoked by an administrator.")
        if ticket.end is EndName.CONSOLE and not accounts.may(facts.rep_id, Allowed.START_SESSIONS):
            raise NotAllowed("may-not-start-sessions", "This account may not start sessions.")
        if ticket.end is EndName.CONSOLE and signed_out({facts.sign_in}, at, under_way=True):
            raise NotAllowed(SIGNED_OUT, "The console that opened this session was signed out.")
    attached = support.note_attached(
        *(facts.id, ticket.end.value, attach.counter, generation, attach.version, at), away_ms=attach.away_ms
    )
    return facts, attached


def _over(sessions: frozenset[str]) -> dict[str, str]:
    """Which of these sessions are over, and why."""
    going_on = {facts.id: facts for facts in support.live_sessions() if facts.id in sessions}
    real = [facts for facts in going_on.values() if not facts.probe]
    revoked = fleet.revoked_among({facts.client_id for facts in real})
    disabled = {rep for rep in {facts.rep_id for facts in real} if not accounts.may(rep, Allowed.START_SESSIONS)}
    over = {session: _end_reason(session) for session in sessions - going_on.keys()}
    over |= support.ended_elsewhere(going_on.keys())
    out = signed_out({facts.sign_in for facts in real}, utc_now(), under_way=True)
    over |= {facts.id: SIGNED_OUT for facts in real if facts.sign_in in out}
    over |= {facts.id: "rep-not-allowed" for facts in real if facts.rep_id in disabled}
    over |= {facts.id: CLIENT_REVOKED for facts in real if facts.client_id in revoked}
    return over


def _end_reason(session: str) -> str:
    try:
        return support.session(session).end_reason or "ended"
    except SessionUnknown:
        return "session-unknown"
