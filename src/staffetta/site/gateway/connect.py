"""/client/connect: Jump Clients and consoles come online, and consoles ask for the list and for sessions.

A passive Jump Client comes, and goes when it has nothing to do here. A rep who wants it has it woken, and waits.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from staffetta.kernel.clock import format_time, spoken_time
from staffetta.kernel.log import bound, get_logger
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.accounts.sign_ins import SignIn, signed_out
from staffetta.site.data.database import in_database
from staffetta.site.fleet import check_ins, updates
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.check_ins import CheckIns
from staffetta.site.fleet.errors import ClientRevoked, ClientUnknown
from staffetta.site.gateway.connection import Connection, serve
from staffetta.site.gateway.errors import Elsewhere, Turned
from staffetta.site.gateway.neighbours import Neighbours
from staffetta.site.gateway.presence import Presence, PresentClient, PresentConsole
from staffetta.site.gateway.sessions import about_session
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.site.gateway.signing import ELSEWHERE, Signer
from staffetta.site.gateway.waking import Waker
from staffetta.site.support import service as support
from staffetta.site.support.errors import SessionRefused
from staffetta.site.support.models import LiveSession
from staffetta.site.support.service import SessionFacts
from staffetta.wire import frames, messages, tickets
from staffetta.wire.errors import CloseCode, NotProven
from staffetta.wire.listing import pages_of_clients
from staffetta.wire.signed import SIGNED_OUT
from staffetta.wire.tickets import About
from staffetta.wire.vocabulary import ClientMode, EndName, SessionKind

_log = get_logger(__name__)

CAPABILITIES: Final = ("shell", "files", "resume", "recording", "client-status", "passive")
INVITED_AGAIN: Final = timedelta(minutes=5)
"""A client that comes online is invited again to sessions opened this recently that it has not joined."""

PASSIVE: Final = "passive"
WAIT: Final = "wait"

_KINDS: Final = frozenset(SessionKind)
_SIGN_IN_AGAIN: Final = "This console was signed out; sign in again."


@dataclass(frozen=True, slots=True)
class Place:
    """Which gateway this is: told to everyone who connects."""

    generation: str
    version: str


class Connect:
    """The handler of /client/connect."""

    def __init__(
        self, place: Place, signer: Signer, presence: Presence, neighbours: Neighbours, settings: GatewaySettings
    ) -> None:
        self._place = place
        self._signer = signer
        self._presence = presence
        self._neighbours = neighbours
        self._settings = settings
        self._waker = Waker(signer.wake_up)
        self._opening: Counter[str] = Counter()
        self._modes: dict[str, bool] = {}
        self.draining = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection from its challenge to its end."""
        if self.draining:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"}, text="Moved; connect again.\n")
        connection = await Connection.accept(request, self._signer, self._settings.held_bytes)
        await serve(connection, self._admit, self._settings.hello_seconds)
        return connection.socket

    async def _admit(self, connection: Connection, first: bytes) -> None:
        try:
            await self._meet(connection, first)
        except Elsewhere:
            raise
        except Turned as turned:
            connection.say(messages.Refuse(turned.word, turned.message[:1024]))
            raise

    async def _meet(self, connection: Connection, first: bytes) -> None:
        frame = frames.decode(first)
        hello = messages.parse(frame) if isinstance(frame, frames.Control) else None
        match hello:
            case messages.JumpClientHello() if not self._signer.serves:
                await self._point_client(connection, hello)
            case messages.JumpClientHello():
                client, passive = await self._prove_client(connection, hello)
                self._check_here()
                with bound(client=client.id):
                    await self._serve_client(client, passive)
            case messages.ConsoleHello():
                console = await self._prove_console(connection, hello)
                self._check_here()
                with bound(rep=console.rep):
                    await self._serve_console(console)
            case _:
                raise Turned(CloseCode.NOT_PROVEN, "hello-expected", "The first message must be a hello.")

    # Who it is

    def _check_here(self) -> None:
        """Point elsewhere whoever has proven itself to a backup. Nothing is awaited between this and its arrival."""
        if not self._signer.serves:
            raise Elsewhere(self._signer.point())

    async def _point_client(self, connection: Connection, hello: messages.JumpClientHello) -> None:
        """A backup may not know a client that the primary has enrolled: it refuses only who is known to be revoked."""
        try:
            await self._prove_client(connection, hello)
        except Turned as turned:
            if turned.word != "client-unknown":
                raise
        raise Elsewhere(self._signer.point())

    async def _prove_client(
        self, connection: Connection, hello: messages.JumpClientHello
    ) -> tuple[PresentClient, bool]:
        """Return the client, and whether it is to be passive."""
        try:
            identity = await in_database(fleet.authenticate_client, hello.client)
        except ClientUnknown as error:
            # One appliance of a pair may not have heard of it yet: that client is to ask again, not to give up.
            final = self._signer.standing.pair is None
            close = CloseCode.REFUSED if final else CloseCode.NOT_PROVEN
            raise Turned(close, "client-unknown", error.message) from None
        except ClientRevoked as error:
            raise Turned(CloseCode.REFUSED, "client-revoked", error.message) from None
        try:
            tickets.check_jump_client_hello(hello, identity.public_key, connection.nonce, connection.certificate)
        except NotProven as error:
            raise Turned(CloseCode.NOT_PROVEN, "not-proven", error.message) from None
        client = PresentClient(
            identity.id,
            identity.name,
            identity.public_key,
            hello.version,
            dict(hello.status),
            connection,
            frozenset(hello.capabilities),
        )
        return client, identity.passive

    async def _prove_console(self, connection: Connection, hello: messages.ConsoleHello) -> PresentConsole:
        try:
            credential = tickets.check_console_hello(
                hello, connection.nonce, connection.certificate, self._signer.public, self._signer.now()
            )
        except NotProven as error:
            raise Turned(CloseCode.NOT_PROVEN, "not-proven", error.message) from None
        self._check_here()  # whether a rep may is for the primary to say
        if not await in_database(accounts.may, credential.rep, Allowed.START_SESSIONS):
            raise Turned(CloseCode.REFUSED, "may-not-start-sessions", "This account may not start sessions.")
        sign_in = SignIn(credential.rep, credential.web, credential.signed_in_since)
        if await in_database(signed_out, {sign_in}, self._signer.now(), under_way=False):
            raise Turned(CloseCode.REFUSED, SIGNED_OUT, _SIGN_IN_AGAIN)
        return PresentConsole(
            credential.rep,
            credential.name,
            credential.key,
            hello.version,
            connection,
            sign_in,
            frozenset(hello.capabilities),
        )

    def _welcome(self, connection: Connection) -> None:
        connection.say(
            messages.Welcome(
                generation=self._place.generation,
                site_version=self._place.version,
                term=self._signer.term,
                statement=self._signer.statement(),
                ping_seconds=self._settings.ping_seconds,
                capabilities=CAPABILITIES,
            )
        )

    # What they say

    async def _serve_client(self, client: PresentClient, passive: bool) -> None:
        self._presence.client_arrived(client)
        try:
            self._welcome(client.connection)
            self._tell_mode(client, passive)
            for facts in await in_database(_unanswered, client.id, self._signer.now()):
                self._invite(client, facts.id, facts.kind, messages.ShellOptions(), about_session(facts))
            async for message in client.connection.received():
                frame = frames.decode(message)
                answer_ping(client.connection, frame)
                told = messages.parse(frame) if isinstance(frame, frames.Control) else None
                if isinstance(told, messages.ClientStatus):
                    self._presence.client_told(client, told.status)
                elif isinstance(told, messages.Rest) and not self._opening[client.id]:
                    # From here on it is not here: who wants it has it woken. What it was told before this, it hears.
                    self._presence.client_left(client)
                    client.connection.close(CloseCode.MOVED, "rest")
        finally:
            self._presence.client_left(client)
            if self._presence.client(client.id) is None:
                self._modes.pop(client.id, None)

    def _tell_mode(self, client: PresentClient, passive: bool) -> None:
        self._modes[client.id] = passive
        if PASSIVE in client.capabilities:
            client.connection.say(messages.NewMode(ClientMode.PASSIVE if passive else ClientMode.ACTIVE))

    async def _serve_console(self, console: PresentConsole) -> None:
        self._presence.console_arrived(console)
        asked: set[asyncio.Task[None]] = set()
        try:
            self._welcome(console.connection)
            async for message in console.connection.received():
                frame = frames.decode(message)
                answer_ping(console.connection, frame)
                request = messages.parse(frame) if isinstance(frame, frames.Control) else None
                if isinstance(request, messages.ListClients | messages.Open):
                    task = asyncio.get_running_loop().create_task(self._answer(console, request))
                    asked.add(task)
                    task.add_done_callback(asked.discard)
        finally:
            for task in asked:
                task.cancel()
            self._presence.console_left(console)

    async def _answer(self, console: PresentConsole, request: messages.ListClients | messages.Open) -> None:
        try:
            if isinstance(request, messages.Open):
                await self._open(console, request)
            else:
                await self._list(console, request)
        except SessionRefused as error:
            console.connection.say(messages.Refused(request.request, error.reason, error.message[:1024]))
        except Exception:  # noqa: BLE001 - the console is told, whatever it was
            _log.exception("a console's request failed")
            console.connection.say(messages.Refused(request.request, "failed", "The site failed; try again."))

    async def _list(self, console: PresentConsole, request: messages.ListClients) -> None:
        rows = [
            messages.ListedClient(
                id=row.id,
                name=row.name,
                online=row.online,
                version=row.version or "",
                platform=row.platform.get("system", "")[:256],
                last_seen=None if row.last_seen is None else format_time(row.last_seen),
                mode=ClientMode.PASSIVE if row.passive else ClientMode.ACTIVE,
                next_check_in=None if row.next_check_in is None else format_time(row.next_check_in),
            )
            for row in await in_database(fleet.list_clients)
        ]
        for page in pages_of_clients(request.request, rows):
            console.connection.send(page)

    async def _open(self, console: PresentConsole, request: messages.Open) -> None:
        if not self._signer.serves:
            console.connection.say(self._signer.point())
            raise SessionRefused(ELSEWHERE, "The site has just moved to its other appliance; try again.")
        if request.kind not in _KINDS:
            raise SessionRefused("kind-unknown", f"This site has no sessions of kind {request.kind!r}.")
        self._opening[request.client] += 1  # it is not let rest while it is wanted
        try:
            await self._open_with(console, request, await self._wanted(console, request))
        finally:
            self._opening[request.client] -= 1
            self._opening += Counter()  # forgets who is wanted by nobody

    async def _wanted(self, console: PresentConsole, request: messages.Open) -> PresentClient:
        """Return the Jump Client of a request, once it is connected here. Raises SessionRefused if it is not to be had.

        A passive one is woken. Where the console can be told that it waits, it does so until the rep cancels.
        """
        client = self._presence.client(request.client)
        if client is None:
            await self._neighbours.move_client(request.client)
            client = await self._presence.arrival(request.client, await self._patience(request.client))
        waits = WAIT in console.capabilities
        while client is None:
            passive = await in_database(check_ins.of_passive, request.client)
            if passive is None:
                raise SessionRefused("client-offline", "This Jump Client is not connected to the site now.")
            client = await self._woken(console, request, passive, waits)
            if client is None and not waits:
                raise SessionRefused("client-offline", _not_come(passive))
            if client is None and not self._signer.serves:
                console.connection.say(self._signer.point())
                raise SessionRefused(ELSEWHERE, "The site has just moved to its other appliance; try again.")
        return client

    async def _woken(
        self, console: PresentConsole, request: messages.Open, passive: CheckIns, waits: bool
    ) -> PresentClient | None:
        """Wake a passive client and wait for it a while; it may come by itself meanwhile."""
        arriving = asyncio.ensure_future(
            self._presence.arrival(
                request.client, self._settings.wake_again_seconds if waits else self._settings.wake_seconds
            )
        )
        try:
            woken = await self._waker.wake(request.client, passive.wake)
            if waits and not arriving.done():
                expected = None if passive.expected is None else format_time(passive.expected)
                console.connection.say(messages.Waiting(request.request, woken, expected))
                _log.info("a rep waits for a passive client", extra={"client": request.client, "woken": woken})
            return await arriving
        finally:
            arriving.cancel()

    async def _open_with(self, console: PresentConsole, request: messages.Open, client: PresentClient) -> None:
        if request.kind != SessionKind.SHELL and request.kind not in client.capabilities:
            raise SessionRefused(
                "client-lacks-capability",
                f"The Jump Client on {client.name} (version {client.version}) has no sessions of kind {request.kind!r} "
                "yet; it needs an update.",
            )
        opened = await in_database(support.open_session, console.rep, client.id, request.kind, sign_in=console.sign_in)
        about = about_session(await in_database(support.session, opened.id))
        for_console = self._signer.ticket(opened.id, EndName.CONSOLE, console.public_key, about)
        self._invite(client, opened.id, request.kind, request.options, about)
        console.connection.say(messages.Opened(request.request, opened.id, for_console, opened.recorded))
        _log.info("session opened", extra={"session": opened.id, "client": client.id})

    def _invite(
        self, client: PresentClient, session: str, kind: str, options: messages.ShellOptions, about: About | None
    ) -> None:
        ticket = self._signer.ticket(session, EndName.JUMP_CLIENT, client.public_key, about)
        client.connection.say(messages.Invite(session, ticket, kind, options))

    async def close_disallowed(self) -> None:
        """Close who may not be connected any more: revoked or deleted clients, reps who may not start sessions.

        So are consoles that are signed out. A client whose mode was changed is told.
        """
        clients = self._presence.clients
        modes = await in_database(check_ins.modes, {client.id for client in clients})
        for client in clients:
            if client.id not in modes:
                client.connection.say(messages.Refuse("client-revoked", "This Jump Client was revoked."))
                client.connection.close(CloseCode.REFUSED, "client-revoked")
            elif self._modes.get(client.id, modes[client.id]) != modes[client.id]:
                self._tell_mode(client, modes[client.id])
        consoles = self._presence.consoles
        for rep in {console.rep for console in consoles}:
            if not await in_database(accounts.may, rep, Allowed.START_SESSIONS):
                for console in consoles:
                    if console.rep == rep:
                        console.connection.say(messages.Refuse("may-not-start-sessions"))
                        console.connection.close(CloseCode.REFUSED, "may-not-start-sessions")
        signed_in = {console.sign_in for console in consoles}
        out = await in_database(signed_out, signed_in, self._signer.now(), under_way=False)
        for console in consoles:
            if console.sign_in in out:
                console.connection.say(messages.Refuse(SIGNED_OUT, _SIGN_IN_AGAIN))
                console.connection.close(CloseCode.REFUSED, SIGNED_OUT)

    async def _patience(self, client_id: str) -> float:
        """How long to wait for a client: the database says whether somebody holds it, or it restarts just now."""
        summaries = await in_database(fleet.list_clients, client_id)
        online = any(summary.online for summary in summaries if summary.id == client_id)
        expected = online or await in_database(updates.is_upgrading, client_id)
        return self._settings.arrival_seconds if expected else 0.0


def _unanswered(client_id: str, now: datetime) -> tuple[SessionFacts, ...]:
    """Sessions with a client that it has not joined: an invitation may have gone down with its connection. A client
    that has it already takes no notice of a second one."""
    rows = LiveSession.objects.filter(
        client_id=client_id, ended_at=None, probe=False, opened_at__gte=now - INVITED_AGAIN
    ).exclude(ends__end=EndName.JUMP_CLIENT.value)
    return tuple(support.session(session) for session in rows.values_list("id", flat=True))


def _not_come(passive: CheckIns) -> str:
    if passive.expected is None:
        return "This Jump Client is passive and has never checked in."
    at = spoken_time(passive.expected)
    return f"This Jump Client is passive and did not come when it was called; it is expected by {at}. Try again then."


def answer_ping(connection: Connection, frame: frames.Frame) -> None:
    """Answer a PING; anything else is left to the caller."""
    if isinstance(frame, frames.Ping):
        connection.send(frames.encode(frames.Pong(frame.token)))
