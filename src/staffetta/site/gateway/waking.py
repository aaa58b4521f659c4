"""Waking passive Jump Clients: one short connection to where the client last came from, which says "check in now".

Nothing is sent there before it has greeted as a Jump Client does, and then only a proof that names that client. A
client is called at most once in a while, whatever reps ask for.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from staffetta.kernel.log import get_logger
from staffetta.site.fleet.check_ins import WakePlace
from staffetta.wire import waking
from staffetta.wire.errors import WireError

CALL_SECONDS: Final = 3.0
AT_ONCE: Final = 32
SPARED_SECONDS: Final = 5.0
"""A client that was called is not called again for so long; what the last call came to is the answer meanwhile."""

_log = get_logger(__name__)


class Waker:
    """Calls clients. ``answer`` makes the site's proof for a nonce and a client id."""

    def __init__(self, answer: Callable[[bytes, str], bytes]) -> None:
        self._answer = answer
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._called: dict[str, tuple[float, asyncio.Task[bool]]] = {}

    async def wake(self, client: str, place: WakePlace | None) -> bool:
        """Call a client; say whether it has taken the wake-up, and so is about to come."""
        if place is None:
            return False
        now = asyncio.get_running_loop().time()
        self._called = {one: call for one, call in self._called.items() if now - call[0] < SPARED_SECONDS}
        if client not in self._called:
            self._called[client] = (now, asyncio.create_task(self._call(client, place)))
        # Shared by all who ask for it: the one who gives up first does not end it.
        return await asyncio.shield(self._called[client][1])

    async def _call(self, client: str, place: WakePlace) -> bool:
        writer: asyncio.StreamWriter | None = None
        try:
            async with self._turns, asyncio.timeout(CALL_SECONDS):
                reader, writer = await asyncio.open_connection(place.address, place.port)
                nonce = waking.read_greeting(await reader.readexactly(waking.GREETING_BYTES))
                writer.write(self._answer(nonce, client))
                taken = await reader.read(1) == waking.TAKEN
        except (OSError, EOFError, TimeoutError, WireError) as error:
            _log.info("a wake-up did not reach its client", extra={"client": client, "why": str(error) or repr(error)})
            return False
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        _log.info("a client was woken" if taken else "a client refused its wake-up", extra={"client": client})
        return taken
