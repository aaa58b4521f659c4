"""Reaching the site over TLS with no certificate authority: whom to believe is in the site's signed statement.

- Nothing secret is sent to a peer whose leaf certificate is not named by a statement of the site's identity key: a
  WebSocket gives its statement in the first message, a request is sent only over a connection whose certificate was
  checked by hash right after the handshake.
- Several addresses are tried in order, the next one already while a slow one has not answered.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import aiohttp

from staffetta.clients.errors import ClientError, Elsewhere, SiteUnreachable, UnreadableAnswer, WrongSite
from staffetta.clients.runtime.answers import refusal_in, text_in
from staffetta.clients.runtime.link import CLOSE_SECONDS, Link, LinkClosed, next_message
from staffetta.kernel.log import get_logger
from staffetta.wire import frames, messages
from staffetta.wire.addresses import AddressBook
from staffetta.wire.errors import CloseCode, FrameError, NotProven
from staffetta.wire.identity import HASH_BYTES, certificate_sha256
from staffetta.wire.signed import read_statement

MAX_ANSWER: Final = 65_536
REQUEST_SECONDS: Final = 20.0
STAGGER_SECONDS: Final = 0.3
NAMED_SECONDS: Final = 1.0
"""How long an address that a move has named is waited for before others are tried: they would only point to it."""
STATEMENT_PATH: Final = "/client/statement"

_log = get_logger(__name__)


class Network:
    """This client's way to its site. ``remember`` stores a newer statement for the next start."""

    def __init__(self, book: AddressBook, remember: Callable[[str], None], dial_seconds: float = 4.0) -> None:
        self.book = book
        self.place: str | None = None
        """The address where this client is online: an appliance that serves, while others of the site may not."""
        self._remember = remember
        self._discarded: set[asyncio.Task[Link]] = set()
        self._dial_seconds = dial_seconds
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE  # pinned by hash: see the module's rules
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, use_dns_cache=False, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=dial_seconds, sock_read=REQUEST_SECONDS),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    def adopt(self, token: str) -> None:
        """Take a statement if it is newer than the one known, and store it. Raises WrongSite if it is not ours.

        One that cannot be stored counts all the same: a full disk must not keep a rep from coming.
        """
        try:
            newer = self.book.adopt(token)
        except NotProven as error:
            raise WrongSite(f"The other end is not this site: {error.message}") from None
        if newer:
            try:
                self._remember(token)
            except OSError as error:
                _log.error("the site's newest statement cannot be stored", extra={"why": str(error)})

    # -- WebSockets ----------------------------------------------------------------------------------------------

    def route(self) -> AddressBook:
        """Return an address book of one's own: each place that is held goes its own way through the addresses."""
        return AddressBook(self.book.site_key, self.book.addresses, self.book.token)

    def follow(self, route: AddressBook, move: messages.Move, pointed_by: str | None = None) -> bool:
        """Let a route go where a ``move`` says; False, with nothing changed, for one of an older term than known.

        Raises WrongSite if its statement is not the site's.
        """
        self.adopt(move.statement)
        if self.book.token is not None:
            route.adopt(self.book.token)
        return route.follow(move.addresses, move.term, pointed_by)

    async def open(self, path: str, route: AddressBook, stagger: float = STAGGER_SECONDS) -> Link:
        """Return a link to the first address that proves itself, the next one being tried after ``stagger`` seconds.

        Raises WrongSite if something answered and none proved itself, else SiteUnreachable.
        """
        if self.book.token is not None:
            route.adopt(self.book.token)
        order = list(route.addresses)
        first = route.next()
        patience = max(stagger, NAMED_SECONDS) if route.named else stagger
        order.remove(first)
        order.insert(0, first)
        attempts: list[tuple[str, ClientError]] = []
        pending: set[asyncio.Task[Link]] = set()
        names: dict[asyncio.Task[Link], str] = {}
        try:
            while order or pending:
                if order:
                    address = order.pop(0)
                    task = asyncio.create_task(self.open_at(address, path))
                    pending.add(task)
                    names[task] = address
                done, pending = await asyncio.wait(
                    pending, timeout=patience if order else None, return_when=asyncio.FIRST_COMPLETED
                )
                patience = stagger
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, ClientError):
                        raise error
                    attempts.append((names[task], error))
        finally:
            for task in pending:
                self._discard(task)
        raise _why_none(attempts)

    def _discard(self, attempt: asyncio.Task[Link]) -> None:
        """End an attempt that is no longer wanted, also one that has just succeeded; not waited for."""
        self._discarded.add(attempt)
        attempt.add_done_callback(self._discarded.discard)
        attempt.add_done_callback(_close_unwanted)
        attempt.cancel()

    async def open_at(self, address: str, path: str) -> Link:
        """Return a link to the gateway at ``address``: TLS up, challenge read, statement and certificate checked."""
        try:
            async with asyncio.timeout(self._dial_seconds):
                websocket = await self._http.ws_connect(
                    f"wss://{address}{path}",
                    protocols=(frames.SUBPROTOCOL,),
                    max_msg_size=frames.MAX_MESSAGE + 1,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                    autoping=True,
                )
                try:
                    return await self._proven(websocket, address)
                except BaseException:
                    await websocket.close(code=CloseCode.NOT_PROVEN)
                    raise
        except aiohttp.WSServerHandshakeError as error:
            raise UnreadableAnswer(f"{address} answered {error.status} instead of opening a WebSocket.") from None
        except TimeoutError:
            raise SiteUnreachable((address, f"no answer within {self._dial_seconds:.0f} s")) from None
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise SiteUnreachable((address, _short(error))) from None

    async def _proven(self, websocket: aiohttp.ClientWebSocketResponse[bool], address: str) -> Link:
        if websocket.protocol != frames.SUBPROTOCOL:
            raise UnreadableAnswer(f"{address} does not speak {frames.SUBPROTOCOL}.")
        certificate = _leaf(websocket.get_extra_info("ssl_object"), address)
        try:
            message = frames.decode(await next_message(websocket))
            challenge = messages.parse(message) if isinstance(message, frames.Control) else None
        except FrameError as error:
            raise UnreadableAnswer(f"{address} sent no challenge: {error.message}") from None
        if not isinstance(challenge, messages.Challenge):
            raise UnreadableAnswer(f"{address} sent something else than a challenge.")
        self._check(address, certificate, challenge.statement)
        return Link(websocket, address, certificate, challenge.nonce)

    # -- requests ------------------------------------------------------------------------------------------------

    async def trusted_peer(self) -> "Peer":
        """Return an address that proves itself now, first that where this client is online; a request to it may hold
        secrets."""
        attempts: list[tuple[str, ClientError]] = []
        first = () if self.place is None else (self.place,)
        for address in dict.fromkeys((*first, *self.book.addresses)):
            peer = Peer(address)
            try:
                self._check(address, *await self.statement_of(peer))
            except ClientError as error:
                attempts.append((address, error))
            else:
                self.book.succeeded(address)
                return peer
        raise _why_none(attempts)

    async def statement_of(self, peer: "Peer") -> tuple[bytes, str]:
        """Ask a peer who it is, with nothing secret in the question: its certificate's hash and its statement."""
        content = await self.request("GET", STATEMENT_PATH, peer)
        return peer.certificate, text_in(content, "statement")

    async def request(self, method: str, path: str, peer: "Peer", body: bytes | None = None) -> bytes:
        """Send a request to a peer, only if its certificate is the one it showed first. Returns the answer's body.

        Raises SiteRefused, or what its code means, for an error answer.
        """
        async with self._answer(method, path, peer, body) as answer:
            return await _limited(answer)

    async def resume(self, path: str, peer: "Peer", destination: Path, most: int) -> None:
        """Fetch a file into ``destination``, going on behind what is there; more than ``most`` bytes are refused.

        What has arrived is kept when the connection breaks. Whether it is the right file, the caller finds out.
        """
        have = await asyncio.to_thread(lambda: destination.stat().st_size if destination.exists() else 0)
        if have == most:
            return
        headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"}
        async with self._answer("GET", path, peer, None, headers, (200, 206)) as answer:
            begin = f"bytes {have}-"
            goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(begin)
            with destination.open("ab" if goes_on else "wb") as file:
                have = have if goes_on else 0
                async for piece in answer.content.iter_chunked(1 << 18):
                    have += len(piece)
                    if have > most:
                        raise UnreadableAnswer(f"The site sends more than the {most} bytes that it announced.")
                    await asyncio.to_thread(file.write, piece)

    async def ask_primary(self, path: str, peer: "Peer", body_for: Callable[["Peer"], bytes]) -> bytes:
        """POST to a peer; if that points to the primary, to it, once. ``body_for`` makes the body for who is asked.

        Raises what ``request`` raises, Elsewhere if there is no primary just now.
        """
        try:
            return await self.request("POST", path, peer, body_for(peer))
        except Elsewhere as pointer:
            try:
                pointed = read_statement(pointer.statement, self.book.site_key)
            except NotProven as error:
                raise WrongSite(f"{peer.address} points elsewhere without proof: {error.message}") from None
            self.adopt(pointer.statement)
            if not self.book.follow(pointed.addresses, pointed.term):
                raise
        primary = await self.trusted_peer()
        return await self.request("POST", path, primary, body_for(primary))

    async def download(self, path: str, peer: "Peer", destination: Path) -> str:
        """Fetch a file into ``destination``; returns its SHA-256 as hex."""
        digest = hashlib.sha256()
        async with self._answer("GET", path, peer, None) as answer:
            with destination.open("wb") as file:
                async for piece in answer.content.iter_chunked(1 << 18):
                    digest.update(piece)
                    await asyncio.to_thread(file.write, piece)
        return digest.hexdigest()

    @contextlib.asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        peer: "Peer",
        body: bytes | None,
        more_headers: Mapping[str, str] = MappingProxyType({}),
        statuses: tuple[int, ...] = (200,),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {**more_headers} if body is None else {**more_headers, "Content-Type": "application/json"}
        try:
            async with self._http.request(
                method,
                f"https://{peer.address}{path}",
                data=body,
                headers=headers,
                ssl=peer,
                allow_redirects=False,
            ) as answer:
                if answer.status not in statuses:
                    raise refusal_in(await _limited(answer), answer.status)
                yield answer
        except aiohttp.ServerFingerprintMismatch:
            raise WrongSite(
                f"The certificate of {peer.address} has just changed; nothing was sent. Try again."
            ) from None
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise SiteUnreachable((peer.address, _short(error))) from None

    def _check(self, address: str, certificate: bytes, statement: str) -> None:
        self.adopt(statement)
        try:
            self.book.check_peer(certificate)
        except NotProven as error:
            raise WrongSite(f"{address} is not this site: {error.message}") from None


class Peer(aiohttp.Fingerprint):
    """One address, and the certificate it showed first: no request is sent over a connection with another.

    aiohttp asks ``check`` right after each handshake, before anything is written.
    """

    def __init__(self, address: str) -> None:
        super().__init__(bytes(HASH_BYTES))
        self.address = address
        self.certificate = b""

    def check(self, transport: asyncio.Transport) -> None:
        """Keep the first certificate seen; refuse every other."""
        seen = _leaf(transport.get_extra_info("ssl_object"), self.address)
        if self.certificate and seen != self.certificate:
            raise aiohttp.ServerFingerprintMismatch(self.certificate, seen, self.address, 0)
        self.certificate = seen


def jitter() -> float:
    """Return a number in [0, 1) that spreads the attempts of many clients."""
    return random.random()  # noqa: S311 (no secret: it only spreads attempts)


def _leaf(secured: ssl.SSLObject | None, address: str) -> bytes:
    leaf = None if secured is None else secured.getpeercert(binary_form=True)
    if leaf is None:
        raise SiteUnreachable((address, "the connection closed during the handshake"))
    return certificate_sha256(leaf)


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    body = await answer.content.read(MAX_ANSWER)
    while len(body) < MAX_ANSWER and (more := await answer.content.read(MAX_ANSWER - len(body))):
        body += more
    if not answer.content.at_eof():
        raise UnreadableAnswer(f"The answer is longer than {MAX_ANSWER} bytes.")
    return body


def _close_unwanted(attempt: asyncio.Task[Link]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close(CloseCode.MOVED, "another address was first")


def _why_none(attempts: list[tuple[str, ClientError]]) -> ClientError:
    for _, error in attempts:
        if isinstance(error, WrongSite):
            return error
    tried: list[tuple[str, str]] = []
    for address, error in attempts:
        tried += error.attempts if isinstance(error, SiteUnreachable) else [(address, error.message)]
    return SiteUnreachable(*tried)


def _short(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, LinkClosed):
        return error.message
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno
        return os.strerror(code).lower() if code and code > 0 else str(error.os_error)
    return str(error) or type(error).__name__
