"""A probe session: both ends in this process, over real WebSockets, echoing, broken once and resumed, nothing lost."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from typing import Final

import aiohttp
from django.db import transaction

from staffetta.site.data.database import in_database
from staffetta.site.gateway.errors import GatewayError
from staffetta.site.gateway.signing import Signer
from staffetta.site.support import service as support
from staffetta.site.support.models import LiveSession
from staffetta.wire import frames, messages, outcomes, resume, tickets
from staffetta.wire.errors import CloseCode
from staffetta.wire.identity import KEY_BYTES, SigningKey, certificate_sha256
from staffetta.wire.vocabulary import Channel, EndName

ECHOES: Final = 100
_BREAK_AT: Final = 50
_VERSION: Final = "probe"


class ProbeBroken(GatewayError):
    """The probe session did not do what a session must."""

    code = "probe-broken"


class ProbeSession:
    """Opens, uses and removes one probe session. ``client`` makes an HTTP client that reaches this door alone."""

    def __init__(self, site_url: str, client: Callable[[], aiohttp.ClientSession], signer: Signer) -> None:
        self._url = f"{site_url}/client/session"
        self._client = client
        self._signer = signer

    async def run(self) -> str:
        """Return a sentence of what was seen. Raises ``ProbeBroken``."""
        opened = await in_database(support.open_session, "probe", "probe", "shell", recorded=False, probe=True)
        try:
            async with self._client() as http:
                return await self._use(http, opened.id)
        finally:
            await asyncio.shield(in_database(_remove, opened.id))

    async def _use(self, http: aiohttp.ClientSession, session: str) -> str:
        loop = asyncio.get_running_loop()
        console, client = (_ProbeEnd(name, session, self._url, http, self._signer) for name in EndName)
        ends = {console, client}
        running = [loop.create_task(end.run()) for end in ends]
        echoing = loop.create_task(_echo(client))
        typing = loop.create_task(_type(console))
        try:
            await asyncio.wait({typing, echoing, *running}, return_when=asyncio.FIRST_COMPLETED)
            if not typing.done():
                for task in (*running, echoing):
                    if task.done():
                        await task
                raise ProbeBroken("An end of the probe session left before the end.")
            pause = await typing
        finally:
            for work in (typing, echoing, *running):
                work.cancel()
            await asyncio.gather(typing, echoing, *running, return_exceptions=True)
        return f"{ECHOES} frames echoed, one connection broken and resumed in {pause * 1000:.0f} ms, nothing lost"


class _ProbeEnd:
    """One end: wire's own rules, over one WebSocket after another."""

    def __init__(self, name: EndName, session: str, url: str, http: aiohttp.ClientSession, signer: Signer) -> None:
        self.end = resume.SessionEnd(name)
        self.arrived: asyncio.Queue[outcomes.Arrived] = asyncio.Queue()
        self._key = SigningKey(secrets.token_bytes(KEY_BYTES))
        self._ticket = signer.ticket(session, name, self._key.public, None)
        self._url = url
        self._http = http
        self._websocket: aiohttp.ClientWebSocketResponse | None = None
        self._wake = asyncio.Event()

    def send(self, payload: bytes) -> None:
        """Send bytes to the peer."""
        self.end.send(Channel.SHELL, payload, 0)
        self._wake.set()

    def consume(self, arrived: outcomes.Arrived) -> None:
        """Take a frame."""
        self.end.consumed(arrived)
        self._wake.set()

    def break_connection(self) -> None:
        """Lose the connection, as a network does."""
        if self._websocket is not None:
            descriptor = os.dup(self._websocket.get_extra_info("socket").fileno())
            with socket.socket(fileno=descriptor) as raw:
                raw.shutdown(socket.SHUT_RDWR)

    async def run(self) -> None:
        """Hold a connection, and dial again whenever it is lost."""
        while True:
            counter = self.end.dial()
            async with self._http.ws_connect(
                self._url, protocols=(frames.SUBPROTOCOL,), max_msg_size=frames.MAX_MESSAGE + 1, compress=0
            ) as websocket:
                await self._prove(websocket, counter)
                self._websocket = websocket
                await self._pump(websocket, counter)
            self.end.lost(counter)

    async def _prove(self, websocket: aiohttp.ClientWebSocketResponse, counter: int) -> None:
        frame = frames.decode(await websocket.receive_bytes())
        challenge = messages.parse(frame) if isinstance(frame, frames.Control) else None
        if not isinstance(challenge, messages.Challenge):
            raise ProbeBroken("The gateway did not begin with a challenge.")
        leaf = certificate_sha256(websocket.get_extra_info("ssl_object").getpeercert(binary_form=True))
        attach = tickets.make_attach(self._ticket, counter, challenge.nonce, leaf, self._key, _VERSION)
        await websocket.send_bytes(messages.encode(attach))

    async def _pump(self, websocket: aiohttp.ClientWebSocketResponse, counter: int) -> None:
        sending = asyncio.ensure_future(self._send_due(websocket))
        try:
            async for message in websocket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                for event in self.end.receive(counter, message.data, asyncio.get_running_loop().time()):
                    if isinstance(event, outcomes.Arrived):
                        self.arrived.put_nowait(event)
                    elif isinstance(event, outcomes.TicketChanged):
                        self._ticket = event.ticket
                self._wake.set()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if websocket.close_code in {CloseCode.NOT_PROVEN, CloseCode.REFUSED, CloseCode.UNKNOWN_SESSION}:
            raise ProbeBroken(f"The gateway closed the {self.end.name} with {websocket.close_code}.")

    async def _send_due(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            for output in self.end.take():
                if isinstance(output, outcomes.Send):
                    await websocket.send_bytes(output.message)
            self._wake.clear()
            await self._wake.wait()


async def _type(console: _ProbeEnd) -> float:
    """Send numbers and check each echo; return the seconds that the broken connection cost."""
    loop = asyncio.get_running_loop()
    pause = 0.0
    for number in range(ECHOES):
        sent = loop.time()
        console.send(str(number).encode())
        if number == _BREAK_AT:
            console.break_connection()
        echoed = await console.arrived.get()
        console.consume(echoed)
        if echoed.payload != str(number).encode():
            raise ProbeBroken(f"Frame {number} came back as {echoed.payload[:20]!r}.")
        if number == _BREAK_AT:
            pause = loop.time() - sent
    if console.end.joined < 2:
        raise ProbeBroken("The broken connection was not resumed.")
    return pause


async def _echo(client: _ProbeEnd) -> None:
    while True:
        arrived = await client.arrived.get()
        client.consume(arrived)
        client.send(arrived.payload)


def _remove(session: str) -> None:
    """A probe leaves nothing behind."""
    with transaction.atomic():
        LiveSession.objects.filter(pk=session, probe=True).delete()
