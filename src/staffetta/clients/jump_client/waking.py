"""The one thing that a passive Jump Client listens for: a wake-up signed by its site, whose only effect is a check-in.

Nothing is taken in but 64 bytes of proof. So many connections at once are served, so many tries a minute looked at and
so many wake-ups obeyed as below; all others are closed. A computer that cannot listen checks in all the same.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Final

from staffetta.clients.jump_client.schedule import Allowance
from staffetta.kernel.log import get_logger
from staffetta.wire import waking
from staffetta.wire.errors import NotProven
from staffetta.wire.identity import NONCE_BYTES

AT_ONCE: Final = 8
PATIENCE_SECONDS: Final = 3.0
TRIES: Final = 30
TRY_SECONDS: Final = 0.5
WAKES: Final = 6
WAKE_SECONDS: Final = 10.0

_log = get_logger(__name__)


class WakeListener:
    """A listening port for as long as the context lasts. ``wake`` is called for each wake-up that is obeyed."""

    def __init__(self, port: int, site_key: bytes, client: str, wake: Callable[[], None]) -> None:
        self._port = port
        self._site_key = site_key
        self._client = client
        self._wake = wake
        self._server: asyncio.Server | None = None
        self._tries = Allowance(TRIES, TRY_SECONDS, time.monotonic())
        self._wakes = Allowance(WAKES, WAKE_SECONDS, time.monotonic())
        self._open = 0
        self._trouble = ""

    @property
    def port(self) -> int | None:
        """The port on which it listens; None while it cannot be woken."""
        return self._port if self._server is not None else None

    async def start(self) -> None:
        """Begin to listen; a port that is taken is logged, and the client is not to be woken. Port 0: do not listen."""
        if self._server is not None or not self._port:
            return
        try:
            self._server = await asyncio.start_server(self._serve, port=self._port, limit=waking.ANSWER_BYTES)
        except OSError as error:
            if str(error) != self._trouble:  # it is tried again and again
                _log.warning("no wake-up can reach this client", extra={"port": self._port, "why": str(error)})
            self._trouble = str(error)
        else:
            self._trouble = ""
            _log.info("waiting for wake-ups", extra={"port": self._port})

    async def stop(self) -> None:
        """Listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        self._open += 1
        try:
            if self._open <= AT_ONCE and self._tries.take(time.monotonic()):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._hear(reader, writer)
        except NotProven as error:
            _log.warning("a wake-up was not the site's", extra={"peer": str(peer), "why": error.message})
        except (OSError, EOFError, TimeoutError):
            pass  # who connects and says nothing is nobody
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        writer.write(waking.greeting(nonce))
        answer = await reader.readexactly(waking.ANSWER_BYTES)
        waking.check_answer(answer, nonce, self._client, self._site_key)
        if not self._wakes.take(time.monotonic()):
            _log.warning("woken too often; not obeyed")
            return
        writer.write(waking.TAKEN)
        await writer.drain()
        _log.info("woken by the site")
        self._wake()
