"""The ASGI application of the site's pages: Django, with uploads to the file store read while they arrive.

Django's own handler collects a request's whole body before it looks at it: anybody could fill the disk, and a file
would be written twice. Here the body of an upload is a stream that the view's thread pulls from the server, after it
has checked who is asking; every other body is bounded.
"""

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, Final, cast

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from staffetta.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BUFFER: Final = 256 * 1024
STREAMED: Final = frozenset({"/login/files/upload"})


class BodyTooLarge(InvalidInput):
    """A body that is not streamed is longer than a form may be."""

    code = "body-too-large"
    http_status = 413


class PulledBody(io.RawIOBase):
    """A request body as a file: reading waits, in the view's thread, for what the event loop receives."""

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._receive = receive
        self._loop = loop
        self._left = b""
        self._more = True
        self.finished = asyncio.Event()
        """Set when the last byte or the disconnect was received: from then on `receive` is free for others."""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill part of the buffer; returns how much, 0 at the end. Raises OSError if the sender went."""
        while not self._left and self._more:
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if message["type"] == "http.disconnect":
                self._more = False
                raise OSError("the sender is gone")
            self._left = message.get("body", b"")
            self._more = message.get("more_body", False)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._left))
        target[:count], self._left = self._left[:count], self._left[count:]
        return count

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.finished.set()
        return message


class SiteHandler(ASGIHandler):
    """Django's handler, with streamed uploads and bounded bodies."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; a body that is too long is answered with 413 and read no further."""
        try:
            await super().handle(_with_length(scope), _Request(scope, receive), send)
        except BodyTooLarge as error:
            headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
            await send({"type": "http.response.body", "body": error.message.encode()})

    async def read_body(self, receive: Receive) -> IO[bytes]:
        """Return the body: a stream for an upload, else collected up to the limit."""
        request = cast("_Request", receive)
        if request.streamed:
            request.body = PulledBody(request.server, asyncio.get_running_loop())
            return io.BufferedReader(request.body, BUFFER)
        return await super().read_body(request.bounded)

    async def listen_for_disconnect(self, receive: Receive) -> None:
        """Wait for the sender to go; while a body is being pulled, only the one who pulls may receive."""
        request = cast("_Request", receive)
        if request.body is not None:
            await request.body.finished.wait()
        await super().listen_for_disconnect(request.server)


def _with_length(scope: Scope) -> Scope:
    """Give an upload in chunks a length: Django's parser takes none for an empty body, and reads to the end anyway."""
    if not _streamed(scope) or any(name == b"content-length" for name, _ in scope["headers"]):
        return scope
    return {**scope, "headers": [*scope["headers"], (b"content-length", str(2**62).encode())]}


def _streamed(scope: Scope) -> bool:
    return scope["method"] == "POST" and scope["path"] in STREAMED


class _Request:
    """What the server's ``receive`` is wrapped in for one request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.server = receive
        self.streamed = _streamed(scope)
        self.body: PulledBody | None = None
        self._length = 0

    async def __call__(self) -> Message:
        return await self.server()

    async def bounded(self) -> Message:
        """Receive, but raise ``BodyTooLarge`` beyond the limit."""
        message = await self.server()
        self._length += len(message.get("body", b""))
        if self._length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise BodyTooLarge(f"A request may carry {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.")
        return message


def make_application() -> SiteHandler:
    """Set Django up and return the application."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "staffetta.site.web.settings")
    django.setup(set_prefix=False)
    return SiteHandler()


application = make_application()
