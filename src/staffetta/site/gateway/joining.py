"""/client/session: an end proves that a session's ticket is its own and joins; then its frames go through the relay.

On a backup it is pointed to the primary; only a probe's session, by which a generation proves itself, is held here.
"""

from aiohttp import web

from staffetta.kernel.log import bound
from staffetta.site.data.database import in_database
from staffetta.site.gateway.connection import Connection, serve
from staffetta.site.gateway.errors import Elsewhere, NotAllowed, Turned
from staffetta.site.gateway.sessions import Sessions
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.site.gateway.signing import ELSEWHERE, Signer
from staffetta.site.support import service as support
from staffetta.site.support.errors import BadAttach, Fenced, SessionOver, SessionUnknown
from staffetta.wire import frames, messages, tickets
from staffetta.wire.errors import CloseCode, LaterTerm, NotProven
from staffetta.wire.tickets import Ticket


class Joining:
    """The handler of /client/session."""

    def __init__(self, signer: Signer, sessions: Sessions, settings: GatewaySettings) -> None:
        self._signer = signer
        self._sessions = sessions
        self._settings = settings
        self.draining = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection of an end from its challenge to its end."""
        if self.draining:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"}, text="Moved; connect again.\n")
        connection = await Connection.accept(request, self._signer, self._settings.held_bytes)
        await serve(connection, self._join, self._settings.hello_seconds)
        return connection.socket

    async def _join(self, connection: Connection, first: bytes) -> None:
        frame = frames.decode(first)
        attach = messages.parse(frame) if isinstance(frame, frames.Control) else None
        if not isinstance(attach, messages.Attach):
            raise Turned(CloseCode.NOT_PROVEN, "attach-expected", "The first message must be an attach.")
        ticket = self._proven(connection, attach)
        probe = ticket.about is None and await in_database(support.is_probe, ticket.session)
        if not (self._signer.serves or probe):
            raise Elsewhere(self._signer.point())
        with bound(session=ticket.session, end=ticket.end.value, counter=attach.counter):
            number = await self._attach(connection, ticket, attach)
            if number is None:
                return
            if not (self._signer.serves or probe):  # the role has changed while it came in
                self._sessions.move(ELSEWHERE, ticket.session)
            try:
                async for message in connection.received():
                    self._sessions.frame(number, message)
            finally:
                self._sessions.lost(number)

    def _proven(self, connection: Connection, attach: messages.Attach) -> Ticket:
        signer = self._signer
        try:
            return tickets.check_attach(
                attach, connection.nonce, connection.certificate, signer.public, signer.now(), signer.term
            )
        except LaterTerm as later:
            if signer.standing.elsewhere is None:
                raise Turned(CloseCode.NOT_PROVEN, "not-proven", later.message) from None
            raise Elsewhere(signer.point(later.term)) from None
        except NotProven as error:
            raise Turned(CloseCode.NOT_PROVEN, "not-proven", error.message) from None

    async def _attach(self, connection: Connection, ticket: Ticket, attach: messages.Attach) -> int | None:
        try:
            return await self._sessions.attach(connection, ticket, attach)
        except NotAllowed as error:
            raise Turned(CloseCode.REFUSED, error.word, error.message) from None
        except SessionUnknown as error:
            raise Turned(CloseCode.UNKNOWN_SESSION, "session-unknown", error.message) from None
        except SessionOver as error:
            connection.say(messages.Ended("ended"))
            raise Turned(CloseCode.ENDED, "ended", error.message) from None
        except Fenced as error:
            raise Turned(CloseCode.FENCED, "fenced", error.message) from None
        except BadAttach as error:
            raise Turned(CloseCode.BAD_FRAME, "bad-attach", error.message) from None
