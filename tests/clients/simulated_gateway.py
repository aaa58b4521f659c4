"""A site that speaks the protocol over real TLS, for the clients' tests: with the real relay and real signatures, and
with faults on demand (drop, restart, move, another certificate, deafness). It runs in a thread of its own.
"""

import asyncio
import contextlib
import datetime
import ipaddress
import itertools
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from staffetta.kernel.clock import format_time, utc_now
from staffetta.kernel.ids import new_id
from staffetta.site.support import relay as relays
from staffetta.wire import enrolment, frames, messages, notes, signed, tickets
from staffetta.wire.errors import CloseCode, FrameError, NotProven
from staffetta.wire.fields import from_base64url
from staffetta.wire.identity import SigningKey, certificate_sha256
from staffetta.wire.listing import pages_of_clients
from staffetta.wire.vocabulary import EndName

HOST = "127.0.0.1"
T = TypeVar("T")


def make_certificate(folder: Path) -> tuple[Path, bytes]:
    """Write a self-signed key and certificate; return the file and the leaf's SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated site")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{new_id('certificate')}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path, certificate_sha256(certificate.public_bytes(serialization.Encoding.DER))


@dataclass
class KnownClient:
    """A Jump Client that the site knows."""

    id: str
    name: str
    public_key: bytes
    revoked: bool = False


@dataclass
class KnownSession:
    """A session that the site knows."""

    id: str
    client: str
    highest: dict[EndName, int] = field(default_factory=dict)
    over: bool = False
    recorded: bool = True
    ended: str = ""
    told: list[tuple[EndName, notes.Transferred]] = field(default_factory=list)


class Socket:
    """An accepted WebSocket: messages go out in order, whoever sends them."""

    _numbers = itertools.count(1)

    def __init__(self, websocket: web.WebSocketResponse, request: web.Request, among: set["Socket"]) -> None:
        among.add(self)
        self._among = among
        self.number = next(Socket._numbers)
        self.websocket = websocket
        self.transport = request.transport
        self.nonce = secrets.token_bytes(32)
        self._queue: asyncio.Queue[bytes | tuple[int, str]] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())

    def send(self, message: bytes) -> None:
        self._queue.put_nowait(message)

    def say(self, message: messages.Message) -> None:
        self.send(messages.encode(message))

    def close(self, code: int, reason: str) -> None:
        self._queue.put_nowait((code, reason))

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def done(self) -> None:
        self._among.discard(self)
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                item = await self._queue.get()
                if isinstance(item, tuple):
                    await self.websocket.close(code=item[0], message=item[1].encode())
                    return
                await self.websocket.send_bytes(item)


class Site:
    """What all gateways of a site know. ``received`` is everything a client ever told it, before any judgement."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = SigningKey(secrets.token_bytes(32))
        self.named: list[bytes] = []
        self.addresses: list[str] = []
        self.clients: dict[str, KnownClient] = {}
        self.sessions: dict[str, KnownSession] = {}
        self.tokens: dict[bytes, str] = {}
        self.passwords = {"rita": "correct horse"}
        self.refuse_sign_in: tuple[str, str] | None = None
        self.credential_age = datetime.timedelta(0)
        self.received: list[str] = []
        self.updates_asked: list[enrolment.UpdateQuestion] = []
        self.answer_update: Callable[[enrolment.UpdateQuestion], enrolment.UpdateAnswer] | None = None
        self.break_download_after: list[int] = []
        self.ranges_asked: list[str] = []
        self.statuses: list[tuple[str, str, dict[str, str]]] = []
        self.events: list[dict[str, Any]] = []
        self.recorded: list[tuple[EndName, frames.Data]] = []
        self.attaches: list[tuple[str, EndName, int | None]] = []
        """At which generation an end has attached, and how long it says that it was away."""
        self._sequence = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.gateways: list[Gateway] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in list(self.gateways):
            self.run(gateway.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the site's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def gateway(
        self, generation: str = "site-one", version: str = "1.0.0", port: int = 0, named: bool = True
    ) -> "Gateway":
        """Start a gateway; ``named`` false: its certificate is not in the site's statements."""
        certificate, leaf = make_certificate(self.folder)
        if named:
            self.named.append(leaf)
        gateway = Gateway(self, generation, version, certificate, leaf)
        self.run(gateway.start(port))
        self.gateways.append(gateway)
        if gateway.address not in self.addresses:
            self.addresses.append(gateway.address)
        return gateway

    def forget(self, gateway: "Gateway") -> None:
        self.gateways.remove(gateway)

    def statement(self) -> str:
        return signed.Statement(
            site="simulated",
            certificates=tuple(self.named) or (bytes(32),),
            addresses=tuple(self.addresses),
            term=1,
            sequence=next(self._sequence),
            issued=signed.seconds(utc_now()),
        ).sign(self.key)

    def installer_token(self, state: str = "good") -> str:
        secret = secrets.token_bytes(32)
        self.tokens[secret] = state
        return enrolment.InstallerToken(secret, self.key.public, tuple(self.addresses)).text()

    def ticket(self, session: str, end: EndName, key: bytes) -> str:
        return tickets.make_ticket(session, end, key, 1, utc_now(), self.key)


class Gateway:
    """One generation: a listening port, its own relay, the connected."""

    def __init__(self, site: Site, generation: str, version: str, certificate: Path, leaf: bytes) -> None:
        self.site = site
        self.generation = generation
        self.version = version
        self.leaf = leaf
        self.capabilities = ("shell", "files", "resume", "client-status", "passive")
        self.ports: list[int] = []
        self._move: messages.Move | None = None
        self._deaf: set[int] = set()
        self.points_until = 0.0
        """Until then (monotonic) it is no primary, and points those who prove themselves at itself: nobody is."""
        self.updates_refused = 0
        """So many update questions more get no answer."""
        self.connections = 0
        self._certificate = certificate
        self._relay = relays.Relay(generation, version, 1)
        self._present: dict[str, Socket] = {}
        self._consoles: set[Socket] = set()
        self._ends: dict[int, Socket] = {}
        self._sockets: set[Socket] = set()
        self._stopped = False
        self._runner: web.AppRunner | None = None
        self._listening: list[web.TCPSite] = []

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    async def start(self, port: int) -> None:
        app = web.Application()
        app.router.add_get("/client/statement", self._statement)
        app.router.add_get("/client/bundle", self._bundle)
        app.router.add_post("/client/enrol", self._enrol)
        app.router.add_post("/client/update", self._update)
        app.router.add_post("/console/sign-in", self._sign_in)
        app.router.add_get("/client/connect", self._connect)
        app.router.add_get("/client/session", self._session)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self._certificate)
        await self.listen(port)

    async def listen(self, port: int) -> None:
        """Answer on one more port."""
        assert self._runner is not None
        site = web.TCPSite(self._runner, HOST, port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self._listening.append(site)
        self.ports.append(self._runner.addresses[-1][1])

    async def stop(self) -> None:
        """Go as a killed process goes: every connection breaks.

        Also one that is only being opened (aiohttp knows nothing yet of a connection in its TLS handshake): nobody may
        find a place here any more, where no peer will ever come.
        """
        assert self._runner is not None
        self._stopped = True
        for socket in self._sockets:
            socket.abort()
        await self._runner.cleanup()
        self.site.forget(self)

    async def drop(self, everything: bool = False, end: EndName | None = None) -> None:
        """Break connections: those of sessions (of one end), or all."""
        for number, socket in list(self._ends.items()):
            where = self._relay._connections.get(number)
            if end is None or (where is not None and where[1] is end):
                socket.abort()
        if everything:
            for socket in (*self._present.values(), *self._consoles):
                socket.abort()

    async def deafen(self) -> None:
        """From now on nothing is answered on the connections that are open."""
        self._deaf = {socket.number for socket in (*self._ends.values(), *self._present.values())}

    async def move(self, to: "Gateway") -> None:
        """Let another gateway accept, also on our ports, and ask everybody to go there, sessions first."""
        for listening, port in zip(self._listening, self.ports, strict=True):
            await listening.stop()
            await to.listen(port)
        move = messages.Move(1, self.site.statement(), "drain", (to.address,))
        self._move = move
        self._do(self._relay.handle(relays.Moved(move)))
        for socket in self._present.values():
            socket.say(move)

    async def drain(self, to: "Gateway") -> None:
        """Be one that leaves already: whoever gets a place here from now on is told at once to go to another."""
        self._move = messages.Move(1, self.site.statement(), "drain", (to.address,))

    async def online(self) -> set[str]:
        return set(self._present)

    async def ends(self) -> int:
        return len(self._relay.connections)

    async def revoke(self, client: str) -> None:
        self.site.clients[client].revoked = True
        socket = self._present.get(client)
        if socket is not None:
            socket.say(messages.Refuse("client-revoked", "This client was revoked."))
            socket.close(CloseCode.REFUSED, "client-revoked")

    async def sign_out_consoles(self) -> None:
        """End what consoles have under way."""
        for name in self._relay.sessions:
            self._do(self._relay.handle(relays.Ended(name, signed.SIGNED_OUT)))

    # -- HTTP ----------------------------------------------------------------------------------------------------

    async def _statement(self, request: web.Request) -> web.Response:
        return web.json_response({"statement": self.site.statement()})

    async def _bundle(self, request: web.Request) -> web.StreamResponse:
        self.site.ranges_asked.append(request.headers.get("Range", ""))
        if not self.site.break_download_after:
            return web.FileResponse(self.site.folder / "clients.bundle")
        content = (self.site.folder / "clients.bundle").read_bytes()
        begin = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        end = begin + self.site.break_download_after.pop(0)
        headers = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        response = web.StreamResponse(status=206, headers=headers)
        response.content_length = len(content) - begin
        await response.prepare(request)
        await response.write(content[begin:end])
        assert request.transport is not None
        request.transport.close()
        return response

    async def _enrol(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.site.received.append(f"enrol {body.decode()}")
        question = enrolment.from_body(enrolment.EnrolRequest, body)
        question.check(self.leaf)
        token = enrolment.parse_installer_token(question.token)
        if self.site.tokens.get(token.secret) != "good":
            return web.json_response(
                {"code": "token-expired", "message": "This installer token has expired."}, status=403
            )
        client = KnownClient(new_id(), question.name, question.public_key)
        self.site.clients[client.id] = client
        answer = enrolment.EnrolAnswer(client.id, client.name, self.site.statement())
        return web.Response(body=enrolment.to_body(answer), content_type="application/json")

    async def _update(self, request: web.Request) -> web.Response:
        question = enrolment.from_body(enrolment.UpdateQuestion, await request.read())
        self.site.updates_asked.append(question)
        if self.updates_refused > 0:
            self.updates_refused -= 1
            raise web.HTTPServiceUnavailable
        answer = (
            enrolment.UpdateAnswer(self.version, enrolment.UpdateAction.UPDATE, reason="newer")
            if self.site.answer_update is None
            else self.site.answer_update(question)
        )
        return web.Response(body=enrolment.to_body(answer), content_type="application/json")

    async def _sign_in(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.site.received.append(f"sign-in {json.dumps(body)}")
        if self.site.refuse_sign_in is not None:
            code, message = self.site.refuse_sign_in
            return web.json_response({"code": code, "message": message}, status=403)
        if self.site.passwords.get(body["username"]) != body["password"]:
            return web.json_response({"code": "wrong-password", "message": "Wrong."}, status=403)
        credential = signed.make_credential(
            "rep-1",
            body["username"],
            from_base64url(body["public_key"]),
            utc_now() - self.site.credential_age,
            self.site.key,
        )
        return web.json_response({"credential": credential, "rep": {"id": "rep-1", "name": body["username"]}})

    # -- WebSockets ----------------------------------------------------------------------------------------------

    async def _accept(self, request: web.Request) -> Socket:
        self.connections += 1
        websocket = web.WebSocketResponse(
            protocols=(frames.SUBPROTOCOL,), max_msg_size=frames.MAX_MESSAGE + 1, timeout=0.5
        )
        await websocket.prepare(request)
        socket = Socket(websocket, request, self._sockets)
        if self._stopped:
            socket.abort()
        socket.say(messages.Challenge(socket.nonce, self.site.statement()))
        return socket

    async def _first(self, socket: Socket) -> messages.Message | messages.Unknown | None:
        message = await socket.websocket.receive()
        if message.type is not WSMsgType.BINARY:
            return None
        self.site.received.append(message.data[1:60].decode(errors="replace"))
        frame = frames.decode(message.data)
        return messages.parse(frame) if isinstance(frame, frames.Control) else None

    async def _connect(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self._accept(request)
        try:
            hello = await self._first(socket)
            try:
                if isinstance(hello, messages.JumpClientHello):
                    await self._serve_client(socket, hello)
                elif isinstance(hello, messages.ConsoleHello):
                    await self._serve_console(socket, hello)
            except NotProven as error:
                socket.say(messages.Refuse("not-proven", error.message))
                socket.close(CloseCode.NOT_PROVEN, "not-proven")
                await _until_closed(socket)
        finally:
            await socket.done()
        return socket.websocket

    def _welcome(self) -> messages.Welcome:
        return messages.Welcome(
            self.generation, self.version, 1, self.site.statement(), ping_seconds=2, capabilities=self.capabilities
        )

    async def _serve_client(self, socket: Socket, hello: messages.JumpClientHello) -> None:
        client = self.site.clients.get(hello.client)
        if client is None or client.revoked:
            socket.say(messages.Refuse("client-revoked", "This client was revoked."))
            socket.close(CloseCode.REFUSED, "client-revoked")
            await _until_closed(socket)
            return
        tickets.check_jump_client_hello(hello, client.public_key, socket.nonce, self.leaf)
        older = self._present.get(client.id)
        if older is not None:
            older.close(CloseCode.FENCED, "a newer connection came")
        self._present[client.id] = socket
        self.site.statuses.append((client.id, hello.version, dict(hello.status)))
        socket.say(self._welcome())
        if self._move is not None:
            socket.say(self._move)
        try:
            async for frame in self._frames(socket):
                told = messages.parse(frame) if isinstance(frame, frames.Control) else None
                if isinstance(told, messages.ClientStatus):
                    self.site.statuses.append((client.id, hello.version, dict(told.status)))
                elif isinstance(told, messages.Rest):
                    socket.close(CloseCode.MOVED, "rest")
        finally:
            if self._present.get(client.id) is socket:
                del self._present[client.id]

    async def _serve_console(self, socket: Socket, hello: messages.ConsoleHello) -> None:
        credential = tickets.check_console_hello(hello, socket.nonce, self.leaf, self.site.key.public, utc_now())
        if time.monotonic() < self.points_until:
            socket.say(messages.Move(1, self.site.statement(), "elsewhere", (self.address,)))
            socket.close(CloseCode.MOVED, "elsewhere")
            await _until_closed(socket)
            return
        socket.say(self._welcome())
        self._consoles.add(socket)
        try:
            async for frame in self._frames(socket):
                match messages.parse(frame) if isinstance(frame, frames.Control) else None:
                    case messages.ListClients(number):
                        self._list(socket, number)
                    case messages.Open() as wish:
                        self._open(socket, wish, credential)
                    case _:
                        pass
        finally:
            self._consoles.discard(socket)

    def _list(self, socket: Socket, number: int) -> None:
        online = {name for gateway in self.site.gateways for name in gateway._present}
        rows = [
            messages.ListedClient(one.id, one.name, one.id in online, "1.0.0", "Linux", format_time(utc_now()))
            for one in self.site.clients.values()
        ]
        for page in pages_of_clients(number, rows):
            socket.send(page)

    def _open(self, socket: Socket, wish: messages.Open, credential: signed.Credential) -> None:
        there = self._present.get(wish.client)
        if there is None:
            socket.say(messages.Refused(wish.request, "client-offline", "This computer is not online."))
            return
        session = KnownSession(new_id(), wish.client, recorded=wish.kind != "files")
        self.site.sessions[session.id] = session
        key = self.site.clients[wish.client].public_key
        for_client = self.site.ticket(session.id, EndName.JUMP_CLIENT, key)
        there.say(messages.Invite(session.id, for_client, wish.kind, wish.options))
        for_console = self.site.ticket(session.id, EndName.CONSOLE, credential.key)
        socket.say(messages.Opened(wish.request, session.id, for_console, session.recorded))

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        socket = await self._accept(request)
        try:
            attach = await self._first(socket)
            if isinstance(attach, messages.Attach):
                await self._serve_end(socket, attach)
        finally:
            await socket.done()
        return socket.websocket

    async def _serve_end(self, socket: Socket, attach: messages.Attach) -> None:
        try:
            ticket = tickets.check_attach(attach, socket.nonce, self.leaf, self.site.key.public, utc_now(), 1)
        except NotProven:
            socket.close(CloseCode.NOT_PROVEN, "not-proven")
            return await _until_closed(socket)
        session = self.site.sessions[ticket.session]
        if session.over:
            socket.say(messages.Ended("ended"))
            socket.close(CloseCode.ENDED, "ended")
            return await _until_closed(socket)
        if self.site.clients[session.client].revoked and ticket.end is EndName.JUMP_CLIENT:
            socket.close(CloseCode.REFUSED, "client-revoked")
            return await _until_closed(socket)
        self._ends[socket.number] = socket
        renewed = self.site.ticket(ticket.session, ticket.end, ticket.key)
        highest = session.highest.get(ticket.end, 0)
        event = relays.Attached(
            ticket.session, ticket.end, socket.number, attach.counter, renewed, session.recorded, highest
        )
        session.highest[ticket.end] = max(highest, attach.counter)
        self.site.attaches.append((self.generation, ticket.end, attach.away_ms))
        self._do(self._relay.handle(event))
        if self._move is not None:  # it came in by a door that was just being closed
            socket.say(self._move)
        try:
            async for message in socket.websocket:
                if message.type is not WSMsgType.BINARY:
                    break
                if socket.number not in self._deaf:
                    self._do(self._relay.handle(relays.Frame(socket.number, message.data)))
        finally:
            self._do(self._relay.handle(relays.Lost(socket.number)))
            self._ends.pop(socket.number, None)
        return None

    def _do(self, commands: list[relays.Command]) -> None:
        for command in commands:
            match command:
                case relays.Send(number, message):
                    self._ends[number].send(message)
                case relays.Close(number, code, reason):
                    self._ends[number].close(code, reason)
                case relays.Record(_, end, message):
                    frame = frames.decode(message)
                    assert isinstance(frame, frames.Data)
                    self.site.recorded.append((end, frame))
                case relays.Told(name, end, note):
                    self.site.sessions[name].told.append((end, note))
                case relays.SessionEnded(name, reason):
                    self.site.sessions[name].over, self.site.sessions[name].ended = True, reason
                case _:
                    pass

    async def _frames(self, socket: Socket):  # type: ignore[no-untyped-def]
        async for message in socket.websocket:
            if message.type is not WSMsgType.BINARY:
                return
            try:
                frame = frames.decode(message.data)
            except FrameError as error:
                socket.close(CloseCode.BAD_FRAME, error.close_reason)
                return
            if isinstance(frame, frames.Ping) and socket.number not in self._deaf:
                socket.send(frames.encode(frames.Pong(frame.token)))
            yield frame


async def _until_closed(socket: Socket) -> None:
    async for _ in socket.websocket:
        pass


def wait_for(what: str, ask: Any, seconds: float = 60.0) -> Any:
    """Ask until the answer is true; fails naming ``what`` when it stays false."""
    deadline = threading.Event()
    timer = threading.Timer(seconds, deadline.set)
    timer.start()
    try:
        while True:
            answer = ask()
            if answer:
                return answer
            if deadline.wait(0.02):
                raise AssertionError(f"not in {seconds} s: {what}")
    finally:
        timer.cancel()
