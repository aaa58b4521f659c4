"""One appliance with gateways of several generations behind one listening socket, and who connects to them."""

import asyncio
import json
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from staffetta.control.child import KeptSocket
from staffetta.control.paths import AppliancePaths, ProcessEnvironment
from staffetta.front.certificates import CertificateStore, make_self_signed
from staffetta.kernel.ids import new_id
from staffetta.site.accounts.models import Account
from staffetta.site.data.database import in_database
from staffetta.site.fleet import service as fleet
from staffetta.site.gateway.process import Gateway
from staffetta.site.gateway.signing import Signer
from staffetta.site.gateway.standing import alone
from staffetta.wire import frames, messages, tickets
from staffetta.wire.enrolment import make_enrol_request, to_body
from staffetta.wire.identity import SigningKey, certificate_sha256

VERSION = "1.0.0"
PASSWORD = "correct horse battery staple"


def new_key() -> SigningKey:
    return SigningKey(secrets.token_bytes(32))


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that will be so; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def until_true(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A Jump Client that exists."""

    id: str
    key: SigningKey


@dataclass(frozen=True, slots=True)
class Rep:
    """A rep who has signed in to a console."""

    id: str
    username: str
    key: SigningKey
    credential: str


class WebSocketEnd:
    """One raw WebSocket to a gateway, past its challenge."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse, nonce: bytes, statement: str, leaf: bytes) -> None:
        self.websocket = websocket
        self.nonce = nonce
        self.statement = statement
        self.leaf = leaf
        self.close_reason = ""

    async def say(self, message: messages.Message) -> None:
        await self.websocket.send_bytes(messages.encode(message))

    async def hear(self, seconds: float = 30.0) -> messages.Message | messages.Unknown:
        """The next CONTROL message."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self.websocket.receive()
                assert message.type is aiohttp.WSMsgType.BINARY, (message, self.websocket.close_code)
                frame = frames.decode(message.data)
                if isinstance(frame, frames.Control):
                    return messages.parse(frame)

    async def hear_data(self, seconds: float = 30.0) -> frames.Data:
        async with asyncio.timeout(seconds):
            while True:
                frame = frames.decode(await self.websocket.receive_bytes())
                if isinstance(frame, frames.Data):
                    return frame

    async def close_code(self, seconds: float = 30.0) -> int | None:
        """Read to the end; how it was closed."""
        async with asyncio.timeout(seconds):
            while not self.websocket.closed:
                message = await self.websocket.receive()
                if message.type is aiohttp.WSMsgType.CLOSE:
                    self.close_reason = message.extra or ""
                    return int(message.data)
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    break
            return self.websocket.close_code

    async def close(self) -> None:
        await self.websocket.close()


class World:
    """Everything of one test."""

    def __init__(self, folder: Path, listener: socket.socket, site_key: SigningKey) -> None:
        self.paths = AppliancePaths(folder)
        self.listener = listener
        self.port: int = listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.site_url = f"https://localhost:{self.port}"
        self.gateways: list[Gateway] = []
        self.site_key = site_key
        for path in (self.paths.certificates, self.paths.site, folder / "run"):
            path.mkdir()
        self.pem = self.paths.certificates / "site.pem"
        self.pem.write_bytes(make_self_signed(["localhost"], ["127.0.0.1"], 10))
        self.settings()
        self.certificates = CertificateStore(self.pem)
        self.signer = Signer(self.site_key, alone((self.address,)), self.certificates)
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=0, force_close=True))

    def settings(self, **gateway: float) -> None:
        """Set limits of the gateways that are started from now on; raw ends do not ping, so silence is no reason."""
        lines = [f"{name} = {value}" for name, value in {"session_silent_seconds": 600.0, **gateway}.items()]
        self.paths.settings.write_text("[gateway]\n" + "\n".join(lines) + "\n")

    async def gateway(self, active: bool = True, release: Path | None = None) -> Gateway:
        """Start a gateway of a generation of its own; in standby, or active."""
        generation = new_id("site")
        run = self.paths.run(generation)
        run.mkdir()
        environment = ProcessEnvironment(
            generation, "site", "gateway", VERSION, release or self.paths.root, self.paths, run
        )
        bundle = None
        if release is not None:
            from staffetta.site.fleet.bundle import ClientBundle

            bundle = ClientBundle.find(release)
        started = Gateway(
            environment, self.signer, self.certificates, bundle, self.site_url, "https://127.0.0.1:9443/appliance"
        )
        await started.start()
        self.gateways.append(started)
        if active:
            await started.activate([self.kept()])
        return started

    def kept(self) -> KeptSocket:
        return KeptSocket("site", "inet", "127.0.0.1", self.port, self.listener)

    async def leave(self, gateway: Gateway) -> None:
        self.gateways.remove(gateway)
        await gateway.leave()

    async def close(self) -> None:
        await self.http.close()
        for gateway in self.gateways:
            await gateway.leave()

    # Who connects

    async def dial(self, path: str) -> WebSocketEnd:
        websocket = await self.http.ws_connect(
            f"https://{self.address}{path}",
            protocols=(frames.SUBPROTOCOL,),
            max_msg_size=frames.MAX_MESSAGE + 1,
            autoclose=True,
        )
        frame = frames.decode(await websocket.receive_bytes())
        assert isinstance(frame, frames.Control)
        challenge = messages.parse(frame)
        assert isinstance(challenge, messages.Challenge)
        leaf = certificate_sha256(websocket.get_extra_info("ssl_object").getpeercert(binary_form=True))
        return WebSocketEnd(websocket, challenge.nonce, challenge.statement, leaf)

    async def post(self, path: str, body: bytes) -> tuple[int, dict[str, object]]:
        async with self.http.post(f"https://{self.address}{path}", data=body) as answer:
            return answer.status, json.loads(await answer.read())

    async def enrolled(self, name: str = "front desk") -> Enrolled:
        """Enrol a new Jump Client over HTTP."""
        made = await in_database(fleet.make_installer_token, "admin", 1, 1)
        key = new_key()
        request = make_enrol_request(made.text, key, self.signer.certificate(), name, VERSION, {"system": "Linux"})
        status, answer = await self.post("/client/enrol", to_body(request))
        assert status == 200, answer
        return Enrolled(str(answer["client"]), key)

    async def rep(self) -> Rep:
        """A rep with an account, signed in over HTTP."""
        username = f"rep-{new_id()}"
        account = await in_database(_make_rep, username)
        key = new_key()
        body = messages.wire_fields.to_base64url(key.public)
        status, answer = await self.post(
            "/console/sign-in",
            json.dumps({"username": username, "password": PASSWORD, "public_key": body}).encode(),
        )
        assert status == 200, answer
        return Rep(account, username, key, str(answer["credential"]))

    async def online(self, client: Enrolled, *capabilities: str) -> WebSocketEnd:
        """A Jump Client that has been welcomed."""
        end = await self.dial("/client/connect")
        hello = tickets.make_jump_client_hello(client.id, end.nonce, end.leaf, client.key, VERSION, capabilities)
        await end.say(hello)
        assert isinstance(await end.hear(), messages.Welcome)
        return end

    async def console(self, rep: Rep) -> WebSocketEnd:
        """A console that has been welcomed."""
        end = await self.dial("/client/connect")
        await end.say(tickets.make_console_hello(rep.credential, end.nonce, end.leaf, rep.key, VERSION))
        assert isinstance(await end.hear(), messages.Welcome)
        return end

    async def attach(self, ticket: str, counter: int, key: SigningKey) -> WebSocketEnd:
        """An end that has sent its attach; the answer is not read yet."""
        end = await self.dial("/client/session")
        await end.say(tickets.make_attach(ticket, counter, end.nonce, end.leaf, key, VERSION))
        return end

    async def opened(self, kind: str = "shell") -> "Opened":
        """A console, an online client, and an opened session that nobody has joined yet."""
        client, rep = await self.enrolled(), await self.rep()
        at_client, at_console = await self.online(client, kind), await self.console(rep)
        await at_console.say(messages.Open(7, client.id, kind))
        invite = await at_client.hear()
        opened = await at_console.hear()
        assert isinstance(invite, messages.Invite)
        assert isinstance(opened, messages.Opened)
        assert invite.session == opened.session
        return Opened(client, rep, at_client, at_console, opened.session, opened.ticket, invite.ticket)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was just opened."""

    client: Enrolled
    rep: Rep
    at_client: WebSocketEnd
    at_console: WebSocketEnd
    session: str
    console_ticket: str
    client_ticket: str


def _make_rep(username: str) -> str:
    account = Account.objects.create_account(username, PASSWORD, is_superuser=True)
    return account.id
