"""One WebSocket to a peer that has proven to be the site: messages in order out, messages one by one in."""

import asyncio
from collections import deque
from typing import Final

import aiohttp

from staffetta.clients.errors import ClientError
from staffetta.wire.errors import CloseCode, Problem

CLOSE_SECONDS: Final = 2.0


class LinkClosed(ClientError):
    """The connection is over; ``close_code`` is what the site gave as the reason, None if it just went away."""

    code = "link-closed"

    def __init__(self, close_code: int | None, reason: str) -> None:
        super().__init__(reason or (f"closed with {close_code}" if close_code else "the connection broke"))
        self.close_code = close_code


class Link:
    """A connection. ``certificate`` is the SHA-256 of its peer's leaf, ``nonce`` what the peer asks to be signed.

    ``send`` and ``close`` never wait: a task writes in order. What is queued is bounded by the session's window.
    """

    def __init__(
        self,
        websocket: aiohttp.ClientWebSocketResponse[bool],
        address: str,
        certificate: bytes,
        nonce: bytes,
    ) -> None:
        self.address = address
        self.certificate = certificate
        self.nonce = nonce
        self._websocket = websocket
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._writer = asyncio.create_task(self._write())

    def send(self, message: bytes) -> None:
        """Send a message after those already given; nothing once the link is closing."""
        if self._closing is None:
            self._queue.append(message)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close with a reason after what was given to send; returns at once."""
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()

    async def receive(self) -> bytes:
        """Return the next message. Raises LinkClosed when there are no more."""
        return await next_message(self._websocket)

    async def closed(self) -> None:
        """Wait until the writer is done; used after ``close``."""
        await asyncio.wait({self._writer})

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    await self._websocket.send_bytes(self._queue.popleft())
                if self._closing is not None:
                    break
                self._wake.clear()
                await self._wake.wait()
        except (OSError, aiohttp.ClientError):
            pass  # the reading side tells that the connection broke, and its code
        finally:
            self._queue.clear()
            code, reason = self._closing or (CloseCode.SILENT, "")
            self._closing = (code, reason)
            await self._websocket.close(code=code, message=reason.encode()[:120])


async def next_message(websocket: aiohttp.ClientWebSocketResponse[bool]) -> bytes:
    """Return the next binary message. Raises LinkClosed at the end, and for a message that is not binary."""
    message = await websocket.receive()
    match message.type:
        case aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        case aiohttp.WSMsgType.CLOSE:
            raise LinkClosed(message.data, str(message.extra or ""))
        case aiohttp.WSMsgType.TEXT:
            await websocket.close(code=CloseCode.BAD_FRAME, message=Problem.TEXT.encode())
            raise LinkClosed(CloseCode.BAD_FRAME, Problem.TEXT)
        case _:
            raise LinkClosed(websocket.close_code, "")
