"""One connection of a door: what it is doing now, so that a drain can tell idle from busy and a slow header is cut."""

import asyncio
import fcntl
import socket
import sys
import termios
from typing import Any, Final, Protocol, cast

from aiohttp import web

_ANSWER_SECONDS: Final = 1.0
"""So long a client that reads may take to answer the end of TLS."""


class Watch(Protocol):
    """Whoever wants to know which connections exist: the door."""

    def opened(self, connection: "DoorConnection") -> None:
        """A connection is set up."""

    def closed(self, connection: "DoorConnection") -> None:
        """A connection is gone."""


class DoorConnection(web.RequestHandler):
    """aiohttp's HTTP connection that notes when bytes came and whether a request is under way.

    - ``busy``: from the end of a request's header to the end of its answer.
    - ``upgraded``: it carries a WebSocket now and belongs to the one who accepted that.
    - ``heard``: loop time of the last bytes (or of the connection's start).
    - ``header_since``: loop time of the first byte of a header that is not complete yet.
    - ``certificate``: SHA-256 (hex) of the leaf certificate this connection was answered with.
    """

    __slots__ = ("_carrier", "_left", "_socket", "_watch", "busy", "certificate", "header_since", "heard", "upgraded")

    def __init__(
        self, watch: Watch, certificate: str, manager: web.Server, loop: asyncio.AbstractEventLoop, **options: Any
    ) -> None:
        super().__init__(manager, loop=loop, **options)
        self.certificate = certificate
        self._watch = watch
        self.busy = False
        self.upgraded = False
        self.heard = loop.time()
        self.header_since: float | None = None
        self._left: float | None = None
        self._carrier: asyncio.Transport | None = None
        self._socket: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection and let aiohttp begin."""
        self._carrier = cast("asyncio.Transport", transport)
        self._socket = transport.get_extra_info("socket")  # once it is closed, it cannot be had from there
        self._watch.opened(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection; aiohttp cancels its handler."""
        self.busy = False
        self._carrier = None
        self._watch.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note the time, then let aiohttp parse."""
        if not self.upgraded:
            self.heard = self._loop.time()
            if not self.busy and self.header_since is None:
                self.header_since = self.heard
        super().data_received(data)

    def leave(self) -> None:
        """Close this connection, which is idle; asked again until it is gone.

        A client that is idle itself may not read, and so not answer, the end of TLS before it asks again. When its
        machine has had everything for a while, nobody waits for that.
        """
        now = self._loop.time()
        carrier = self._carrier
        if carrier is None:
            return
        if self._left is None and not carrier.is_closing():
            self.force_close()
        if self._left is None or not _has_arrived(self._socket):
            self._left = now
        elif now - self._left >= _ANSWER_SECONDS:
            carrier.abort()

    def begun(self) -> None:
        """A request's header is complete: its handler starts now."""
        self.busy = True
        self.header_since = None

    def set_parser(self, *args: Any, **options: Any) -> None:
        """Remember that the connection became a WebSocket."""
        self.upgraded = True
        super().set_parser(*args, **options)

    async def finish_response(self, *args: Any, **options: Any) -> tuple[web.StreamResponse, bool]:
        """Write the answer out; after that no request is under way."""
        try:
            return await super().finish_response(*args, **options)
        finally:
            self.busy = False
            self.header_since = None
            self.heard = self._loop.time()


def _has_arrived(sock: socket.socket | None) -> bool:
    """Whether the kernel has nothing to send any more: all was acknowledged, the end of TLS too (tcp(7), SIOCOUTQ).

    On a Unix socket: whether the other side has read it all.
    """
    number = -1 if sock is None else sock.fileno()
    if number < 0:
        return False
    unsent = bytearray(4)
    fcntl.ioctl(number, termios.TIOCOUTQ, unsent)
    return int.from_bytes(unsent, sys.byteorder) == 0
