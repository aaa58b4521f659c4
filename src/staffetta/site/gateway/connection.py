"""One WebSocket of sub-protocol ``staffetta.1``: whole messages in and out, never waiting for a slow reader.

Sending is a plain function: the message goes to the transport at once, whose buffer is the queue. When more than
``held_bytes`` wait in it, the reader is too slow and this connection alone is closed (4413).
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from staffetta.front.connections import DoorConnection
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.ids import new_id
from staffetta.kernel.log import bound, get_logger
from staffetta.site.gateway.browsers import check_origin
from staffetta.site.gateway.errors import Elsewhere, Turned
from staffetta.site.gateway.signing import Signer
from staffetta.wire import frames, messages
from staffetta.wire.errors import CloseCode, FrameError, Problem
from staffetta.wire.identity import NONCE_BYTES

_log = get_logger(__name__)

_CLOSE_SECONDS: Final = 2.0
"""How long the far side has to answer a close frame."""

_NEVER_WAIT: Final = 2**62


class _EndSocket(web.WebSocketResponse):
    """aiohttp's WebSocket, which says "too big" with our own code."""

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        """Close; a message above the limit is a bad frame (4400)."""
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            code, message = CloseCode.BAD_FRAME, str(Problem.OVERSIZED).encode()
        return await super().close(code=code, message=message, drain=drain)


class Connection:
    """One accepted WebSocket. ``heard`` is the loop time of the last message; ``certificate`` what it was shown."""

    def __init__(self, socket: _EndSocket, request: web.Request, certificate: bytes, held_bytes: int) -> None:
        self.id = new_id()
        self.socket = socket
        self.remote = request.remote or "local"
        self.certificate = certificate
        self.nonce = secrets.token_bytes(NONCE_BYTES)
        self.heard = asyncio.get_running_loop().time()
        self.close_code: int | None = None
        self._transport = request.transport
        self._held_bytes = held_bytes
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def accept(cls, request: web.Request, signer: Signer, held_bytes: int) -> "Connection":
        """Upgrade the request and send the challenge.

        Raises aiohttp's 400 for what is no such WebSocket, 403 for one from another site's page.
        """
        socket = _EndSocket(
            protocols=(frames.SUBPROTOCOL,),
            max_msg_size=frames.MAX_MESSAGE + 1,
            compress=False,
            decode_text=False,
            timeout=_CLOSE_SECONDS,
            writer_limit=_NEVER_WAIT,
        )
        ready = socket.can_prepare(request)
        if not ready.ok or ready.protocol != frames.SUBPROTOCOL:
            raise web.HTTPBadRequest(text=f"This is a WebSocket of sub-protocol {frames.SUBPROTOCOL}.\n")
        check_origin(request, signer.standing.addresses)
        protocol = request.protocol
        shown = protocol.certificate if isinstance(protocol, DoorConnection) else signer.certificate().hex()
        await socket.prepare(request)
        connection = cls(socket, request, bytes.fromhex(shown), held_bytes)
        connection.say(messages.Challenge(connection.nonce, signer.statement(), connection.certificate))
        return connection

    @property
    def too_slow(self) -> bool:
        """Whether it is being closed because its far side does not read."""
        return self.close_code == CloseCode.TOO_MUCH_HELD

    @property
    def open(self) -> bool:
        """Whether messages can still be sent."""
        return self._closing is None and not self.socket.closed

    def say(self, message: messages.Message) -> None:
        """Send a CONTROL message."""
        self.send(messages.encode(message))

    def send(self, message: bytes) -> None:
        """Send one WebSocket message now; nothing if the connection is closed or closing."""
        if not self.open:
            return
        # With no compression and a limit that is never reached, sending never suspends: the coroutine ends at once.
        sending = self.socket.send_bytes(message)
        try:
            sending.send(None)
        except StopIteration:
            pass
        except (ClientConnectionResetError, ConnectionError):
            return
        else:
            sending.close()
            raise RuntimeError("a WebSocket send suspended")
        if self._transport is not None and self._transport.get_write_buffer_size() > self._held_bytes:
            self.close(CloseCode.TOO_MUCH_HELD, "too slow")

    def close(self, code: int, reason: str = "") -> None:
        """Close with a code and a reason; returns at once. Only the first call counts."""
        if self._closing is None and not self.socket.closed:
            self.close_code = code
            self._closing = asyncio.get_running_loop().create_task(self._close(code, reason))

    async def closed(self) -> None:
        """Wait until a begun close has ended."""
        if self._closing is not None:
            await asyncio.wait([self._closing])

    async def received(self) -> AsyncGenerator[bytes, None]:
        """Yield whole messages until the connection ends. Raises FrameError for what is no binary message."""
        clock = asyncio.get_running_loop().time
        async for message in self.socket:
            self.heard = clock()
            if message.type is WSMsgType.BINARY:
                yield message.data
            elif message.type is WSMsgType.TEXT:
                raise FrameError(Problem.TEXT)
            else:
                return

    async def first(self, seconds: float) -> bytes | None:
        """Return the first message; None if the connection ends or nothing comes within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                async with contextlib.aclosing(self.received()) as incoming:
                    async for message in incoming:
                        return message
        except TimeoutError:
            self.close(CloseCode.SILENT, "no hello")
        return None

    async def _close(self, code: int, reason: str) -> None:
        """A far side that does not read cannot take the close frame either: it is cut, with what waits for it."""
        slow = code == CloseCode.TOO_MUCH_HELD
        taken = False
        try:
            async with asyncio.timeout(2 * _CLOSE_SECONDS):
                await self.socket.close(code=code, message=reason.encode("utf-8")[:123], drain=not slow)
            taken = not slow
        except (TimeoutError, ConnectionError):
            _log.debug("a connection did not take its close frame", extra={"connection": self.id})
        finally:
            if self._transport is not None:
                if taken:
                    self._transport.close()
                else:
                    # Also when aiohttp has begun to close it, which waits for what is unsent.
                    self._transport.abort()


async def serve(
    connection: Connection, admit: Callable[[Connection, bytes], Awaitable[None]], hello_seconds: float
) -> None:
    """Give the first message, if one comes in ``hello_seconds``, to ``admit``; close as what it raises says."""
    with bound(connection=connection.id, remote=connection.remote):
        try:
            first = await connection.first(hello_seconds)
            if first is not None:
                await admit(connection, first)
        except FrameError as error:
            _log.info("bad frame: %s", error.message)
            connection.close(CloseCode.BAD_FRAME, error.close_reason)
        except Elsewhere as elsewhere:
            _log.info("pointed elsewhere", extra={"to": list(elsewhere.move.addresses or ())})
            connection.say(elsewhere.move)
            connection.close(elsewhere.close, elsewhere.word)
        except Turned as turned:
            _log.info("turned away: %s", turned.message)
            connection.close(turned.close, turned.word)
        except StaffettaError:
            _log.exception("a connection failed")
            connection.close(WSCloseCode.INTERNAL_ERROR, "try again")
        finally:
            await connection.closed()
