"""Pages come from a local web process: requests and answers are streamed both ways over its Unix socket.

- What a client claims about earlier hops is dropped, and this door's own view of it is added.
- A web process that is just restarting is waited for: reading requests are asked again, others are sent once only.
- Bodies are never held whole, so an upload of many gigabytes takes no memory.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from staffetta.front.headers import passed_to_client, passed_to_pages
from staffetta.front.settings import FrontSettings
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25
_IDLE_UPSTREAM_SECONDS: Final = 15.0
_LOCAL: Final = "127.0.0.1"


class BodyTooLarge(web.HTTPRequestEntityTooLarge):
    """The body is larger than the door lets through."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit, limit, text=f"The request is larger than {limit} bytes.\n")


class Pages:
    """The local web process behind one Unix socket."""

    def __init__(self, upstream: Path, settings: FrontSettings | None = None) -> None:
        self._upstream = upstream
        self._settings = settings or FrontSettings()
        self._kept: aiohttp.ClientSession | None = None
        self._once: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on and stream the answer back."""
        path = request.raw_path
        if not path.startswith("/"):
            raise web.HTTPBadRequest(text="The request names no path of this site.\n")
        if request.content_length is not None and request.content_length > self._settings.body_limit_bytes:
            raise BodyTooLarge(self._settings.body_limit_bytes)
        answer = await self._ask(request, URL(f"http://localhost{path}", encoded=True))
        try:
            return await self._stream_back(request, answer)
        finally:
            answer.close()

    async def close(self) -> None:
        """Close the connections that are kept to the web process."""
        for session in (self._kept, self._once):
            if session is not None:
                await session.close()
        self._kept = self._once = None

    async def _ask(self, request: web.Request, url: URL) -> aiohttp.ClientResponse:
        """Return the begun answer, waiting for a web process that is not there yet.

        Raises 503 when it does not come in time and 502 when it broke off a request that may not be sent twice.
        """
        repeatable = request.method in _SAFE and not request.can_read_body
        session = self._session(repeatable)
        headers = CIMultiDict(
            passed_to_pages(request.headers.items(), peer=request.remote or _LOCAL, host=request.host)
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.upstream_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                return await session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=self._body(request) if request.can_read_body else None,
                    skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                    allow_redirects=False,
                )
            except aiohttp.ClientConnectorError as error:
                reason: Exception = error
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError) as error:
                reason = error
                if not repeatable:
                    _log.warning("the web process broke off a request: %r", error)
                    raise web.HTTPBadGateway(text="The request was broken off; look before you repeat it.\n") from None
            if loop.time() + pause > deadline:
                _log.error("the web process does not answer: %r", reason)
                raise web.HTTPServiceUnavailable(
                    headers={"Retry-After": "5"}, text="The pages are just starting; try again.\n"
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        passed = 0
        while True:
            async with asyncio.timeout(self._settings.body_stall_seconds):
                chunk = await request.content.readany()
            if not chunk:
                return
            passed += len(chunk)
            if passed > self._settings.body_limit_bytes:
                raise BodyTooLarge(self._settings.body_limit_bytes)
            yield chunk

    async def _stream_back(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        raw = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers]
        response = web.StreamResponse(
            status=answer.status, reason=answer.reason, headers=CIMultiDict(passed_to_client(raw))
        )
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        except aiohttp.ClientError as error:
            _log.warning("the web process broke off an answer: %r", error)
            # Cut without the final chunk, so that the client cannot take a part for the whole.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("The answer was broken off.") from None
        await response.write_eof()
        return response

    def _session(self, repeatable: bool) -> aiohttp.ClientSession:
        """A request that may be sent once only gets a connection of its own: a kept one may be closing just now."""
        if self._kept is None or self._once is None:
            self._kept = self._open(
                aiohttp.UnixConnector(str(self._upstream), limit=0, keepalive_timeout=_IDLE_UPSTREAM_SECONDS)
            )
            self._once = self._open(aiohttp.UnixConnector(str(self._upstream), limit=0, force_close=True))
        return self._kept if repeatable else self._once

    @staticmethod
    def _open(connector: aiohttp.UnixConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=32768,
            max_field_size=32768,
        )


def pages_to(upstream: Path, settings: FrontSettings | None = None) -> Handler:
    """Return a handler that passes every request to the web process on the Unix socket ``upstream``."""
    return Pages(upstream, settings).handle
