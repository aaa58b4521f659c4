"""The TLS door of a program: accepts on sockets that keeper holds, serves an aiohttp app, and drains without a loss.

- Listening sockets are shared with other generations: closing ours never closes the port.
- A drain stops accepting, lets connections that are being set up finish, answers with ``Connection: close``, closes
  kept-alive connections only after they were idle for a while, and leaves when nothing is left.
- WebSockets and endless streams are not requests: they register in ``streams`` and are closed by their owner.
"""

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from aiohttp import web

from staffetta.front.certificates import CertificateStore
from staffetta.front.connections import DoorConnection
from staffetta.front.headers import SECURITY, STRICT_TRANSPORT
from staffetta.front.settings import FrontSettings
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

_ACCEPTS_AT_ONCE: Final = 16
"""Connections taken in one turn of the loop, so that a herd does not keep others from being served."""

_FULL_PAUSE_SECONDS: Final = 0.5
_FULL_TRIES: Final = 20
_SWEEP_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.05
_TLS_CLOSE_SECONDS: Final = 30.0
"""What is still unsent when a connection is closed has this long to reach a slow client."""
_BACKLOG: Final = 1024

StreamClose = Callable[[], Awaitable[None]]


class Door:
    """One TLS door in front of ``app``; everything happens in the running event loop."""

    def __init__(
        self, app: web.Application, certificates: CertificateStore, settings: FrontSettings | None = None
    ) -> None:
        self.certificates = certificates
        self.settings = settings or FrontSettings()
        self.streams: set[StreamClose] = set()
        self.answers: Counter[int] = Counter()
        """Answers by the first digit of their status, since this process began; 1 are connections turned WebSockets."""
        self._draining = False
        self._listeners: dict[int, socket.socket] = {}
        self._private: dict[Path, socket.socket] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._connections: set[DoorConnection] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._resumes: set[asyncio.TimerHandle] = set()
        app.middlewares.insert(0, self._note_begun)
        app.on_response_prepare.append(self._finish_headers)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        self._starting = asyncio.Lock()

    @property
    def requests_under_way(self) -> int:
        """HTTP requests whose answer is not written yet; WebSockets are not counted."""
        return sum(connection.busy and not connection.upgraded for connection in self._connections)

    @property
    def connections(self) -> int:
        """Connections that are open now, WebSockets among them."""
        return len(self._connections)

    @property
    def accepting(self) -> bool:
        """Whether new connections are taken from keeper's sockets."""
        return bool(self._listeners)

    async def set_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept on exactly these listening sockets from now on; takes over the objects given.

        A descriptor of a socket that is already served is closed. A socket no longer named was closed by keeper, so
        nobody else takes what waits in its queue: that is accepted here, to the last, before it is closed.
        Established connections stay.
        """
        await self._start()
        wanted = {os.fstat(sock.fileno()).st_ino: sock for sock in sockets}
        leaving = [self._listeners.pop(inode) for inode in self._listeners.keys() - wanted.keys()]
        for inode, sock in wanted.items():
            if inode in self._listeners:
                if sock is not self._listeners[inode]:
                    sock.close()
                continue
            self._listeners[inode] = sock
            self._listen(sock)
        for sock in leaving:
            await self._empty(sock)

    async def add_private(self, path: Path, mode: int = 0o660) -> None:
        """Accept TLS on a Unix socket at ``path`` too, from now to ``close``: for probes before activation."""
        await self._start()
        sock = _bind_private(path, mode)
        self._private[path] = sock
        self._listen(sock)

    async def stop_accepting(self) -> None:
        """Take no new connection from keeper's sockets; established ones go on, private sockets too."""
        for sock in self._listeners.values():
            self._forget(sock)
        self._listeners.clear()

    async def drain(self, seconds: float) -> int:
        """Stop accepting, finish what is under way, and return how many connections had to be cut after ``seconds``.

        Streams still registered are closed by their callbacks at once.
        """
        await self.stop_accepting()
        self._draining = True
        loop = asyncio.get_running_loop()
        started = loop.time()
        closing = [asyncio.ensure_future(close()) for close in tuple(self.streams)]
        while True:
            now = loop.time()
            for connection in tuple(self._connections):
                if not connection.busy and now - connection.heard >= self.settings.drain_idle_seconds:
                    connection.leave()
            settled = now - started >= self.settings.drain_handshake_seconds and not self._handshakes
            if settled and not self._connections:
                break
            if now - started >= seconds:
                break
            await asyncio.sleep(min(_POLL_SECONDS, max(0.0, started + seconds - now)))
        cut = len(self._connections) + len(self._handshakes)
        if cut:
            _log.warning("drain time is over, connections cut", extra={"cut": cut})
        for connection in tuple(self._connections):
            connection.force_close()
        for task in (*self._handshakes, *closing):
            task.cancel()
        await asyncio.gather(*self._handshakes, *closing, return_exceptions=True)
        return cut

    async def close(self) -> None:
        """Close every socket and connection at once and run the app's clean-up."""
        await self.stop_accepting()
        for path, sock in self._private.items():
            self._forget(sock)
            path.unlink(missing_ok=True)
        self._private.clear()
        for timer in self._resumes:
            timer.cancel()
        for task in (*self._handshakes, *((self._sweeper,) if self._sweeper else ())):
            task.cancel()
        for connection in tuple(self._connections):
            connection.force_close()
        await self._runner.cleanup()

    async def _start(self) -> None:
        async with self._starting:
            if self._sweeper is None:
                await self._runner.setup()
                self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    # Connections

    def opened(self, connection: DoorConnection) -> None:
        """A connection is set up (called by it)."""
        self._connections.add(connection)

    def closed(self, connection: DoorConnection) -> None:
        """A connection is gone (called by it)."""
        self._connections.discard(connection)

    def _listen(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._accept, sock)

    def _forget(self, sock: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()

    async def _empty(self, listener: socket.socket) -> None:
        """Accept all that is queued, then close; what is out of descriptors for too long is given up."""
        asyncio.get_running_loop().remove_reader(listener.fileno())
        tries = _FULL_TRIES
        try:
            while tries:
                try:
                    if not self._take(listener):
                        return
                    await asyncio.sleep(0)
                except OSError as error:
                    tries -= 1
                    _log.error("connections wait in a queue that is about to close: %s", error)
                    await asyncio.sleep(_FULL_PAUSE_SECONDS)
        finally:
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            self._take(listener)
        except OSError as error:
            self._pause(listener, error)

    def _take(self, listener: socket.socket) -> bool:
        """Accept a few; whether there may be more. Raises OSError when this process is out of something."""
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except (InterruptedError, ConnectionAbortedError):
                return True
            except BlockingIOError:
                return False
            accepted.setblocking(False)
            task = loop.create_task(self._establish(accepted))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)
        return True

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Out of descriptors or memory: leave connections in the kernel's queue for a moment."""
        _log.error("no new connection can be taken for a moment: %s", error)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())

        def resume() -> None:
            self._resumes.discard(timer)
            if listener in (*self._listeners.values(), *self._private.values()):
                loop.add_reader(listener.fileno(), self._accept, listener)

        timer = loop.call_later(_FULL_PAUSE_SECONDS, resume)
        self._resumes.add(timer)

    async def _establish(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        context, certificate = self.certificates.shown()
        try:
            await loop.connect_accepted_socket(
                lambda: self._connection(certificate),
                accepted,
                ssl=context,
                ssl_handshake_timeout=self.settings.handshake_seconds,
                ssl_shutdown_timeout=_TLS_CLOSE_SECONDS,
            )
        except (OSError, ssl.SSLError) as error:
            _log.debug("a TLS handshake failed: %s", error)

    def _connection(self, certificate: str) -> DoorConnection:
        server = self._runner.server
        assert server is not None
        return DoorConnection(
            self,
            certificate,
            server,
            asyncio.get_running_loop(),
            keepalive_timeout=self.settings.keepalive_seconds,
            access_log=None,
            auto_decompress=False,
        )

    async def _sweep(self) -> None:
        """Cut connections whose request header does not come to an end."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            oldest = loop.time() - self.settings.header_seconds
            for connection in tuple(self._connections):
                since = connection.header_since
                if since is not None and since < oldest and not connection.busy:
                    connection.force_close()

    # Requests

    @web.middleware
    async def _note_begun(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if isinstance(request.protocol, DoorConnection):
            request.protocol.begun()
        return await handler(request)

    async def _finish_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        self.answers[response.status // 100] += 1
        headers = response.headers
        headers["Server"] = "staffetta"
        if response.status == 101:
            return
        for name, value in SECURITY.items():
            headers.setdefault(name, value)
        if not self.certificates.self_signed():
            headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
        if self._draining:
            response.force_close()
            headers["Connection"] = "close"


def _bind_private(path: Path, mode: int) -> socket.socket:
    """A process of this generation that died may have left the name behind."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(mode)
    sock.listen(_BACKLOG)
    return sock
