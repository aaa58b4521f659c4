"""The other generations of this site on this appliance: asking them to let a client or a session go.

A generation is asked over the private socket in its run directory, which only this site's user and group can open.
"""

import asyncio
import json
from pathlib import Path
from typing import Final

import aiohttp

from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

PRIVATE_SOCKET: Final = "private.sock"
MOVE_PATH: Final = "/v1/move"

_ASK_SECONDS: Final = 2.0


class Neighbours:
    """The site's other generations, found by their run directories beside our own (``<appliance>/run/site-…``)."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def others(self) -> list[Path]:
        """Return the private sockets of other generations, dead ones among them."""
        return sorted(
            path for path in self._run.parent.glob(f"site-*/{PRIVATE_SOCKET}") if path.parent.name != self._run.name
        )

    async def move_client(self, client: str) -> bool:
        """Ask every other generation to send this Jump Client to us; say whether one of them had it."""
        return await self._ask_all({"client": client})

    async def move_session(self, session: str) -> bool:
        """Ask every other generation to send the ends of this session to us; say whether one of them had any."""
        return await self._ask_all({"session": session})

    async def _ask_all(self, what: dict[str, str]) -> bool:
        answers = await asyncio.gather(*(self._ask(path, what) for path in self.others()))
        return any(answers)

    async def _ask(self, path: Path, what: dict[str, str]) -> bool:
        timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), timeout=timeout) as http,
                http.post(f"http://localhost{MOVE_PATH}", data=json.dumps(what)) as answer,
            ):
                return answer.status == 200 and bool((await answer.json()).get("moved"))
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError, AttributeError) as error:
            _log.debug("a generation could not be asked: %r", error, extra={"generation": path.parent.name})
            return False
