"""How large a request may be: small, unless somebody signed in sends a bundle, and then only if the disk has room.

Django keeps a whole body on the disk before any view or permission is asked; this is asked first.
"""

import shutil
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.urls import reverse

from staffetta.base.web.sessions import SessionStore
from staffetta.base.web.settings import FILE_UPLOAD_TEMP_DIR
from staffetta.kernel.log import get_logger

SMALL: Final = 1 << 20
"""Bytes of a form, a certificate."""

COPIES: Final = 3
"""A bundle is spooled, taken out of its form, and stored by base's service."""

SPARE: Final = 64 << 20
"""Bytes that stay free whatever is uploaded."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = get_logger(__name__)


class MeteredBodies:
    """Wraps the ASGI application; answers 413 or 507 itself before a byte of the body is kept."""

    def __init__(self, application: Application) -> None:
        self._application = application
        tempfile.tempdir = FILE_UPLOAD_TEMP_DIR  # where Django's handler spools bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        length = _length(scope)
        limit = SMALL
        if length is not None and length > SMALL and await self._may_be_large(scope):
            if length * COPIES + SPARE > shutil.disk_usage(FILE_UPLOAD_TEMP_DIR).free:
                await _refuse(send, 507, "The appliance has too little room on its disk for this file.\n")
                return
            limit = length
        if length is not None and length > limit:
            await _refuse(send, 413, "The request is too large. Sign in first to upload a file.\n")
            return
        meter = _Meter(receive, send, limit)
        await self._application(scope, meter.receive, meter.send)
        if meter.passed > limit and not meter.answered:
            await _refuse(send, 413, "The request is too large.\n")

    async def _may_be_large(self, scope: Scope) -> bool:
        if scope["method"] != "POST" or scope["path"] != reverse("install-file"):
            return False
        token = _session_token(scope)
        return token is not None and await sync_to_async(_is_signed_in)(token)


class _Meter:
    """Counts a body that names no length; past the limit the application is told that the client went away."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive, self._send, self._limit = receive, send, limit
        self.passed = 0
        self.answered = False

    async def receive(self) -> Message:
        if self.passed > self._limit:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self.passed += len(message.get("body", b""))
            if self.passed > self._limit:
                _log.warning("a request body has passed %d bytes; it is dropped", self._limit)
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        self.answered = True
        await self._send(message)


def _length(scope: Scope) -> int | None:
    value = _header(scope, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def _session_token(scope: Scope) -> str | None:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load((_header(scope, b"cookie") or b"").decode("latin-1"))
    except CookieError:
        return None
    found = cookies.get(settings.SESSION_COOKIE_NAME)
    return None if found is None else found.value


def _is_signed_in(token: str) -> bool:
    return SESSION_KEY in SessionStore(token)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key.lower() == name), None)


async def _refuse(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})
