"""Sending everybody elsewhere: sessions first, then the idle at a set rate; what does not go is let go at the end.

``move`` asks an end to connect anew before it leaves; on a backup it names the primary's own address. Who has not left
after a while is closed with 4412, which it takes for a lost connection and dials again.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from staffetta.kernel.log import get_logger
from staffetta.site.gateway.connection import Connection
from staffetta.site.gateway.presence import Presence
from staffetta.site.gateway.sessions import Sessions
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.site.gateway.signing import Signer
from staffetta.wire import messages
from staffetta.wire.errors import CloseCode

_log = get_logger(__name__)

_STEP_SECONDS: Final = 0.05
_POLL_SECONDS: Final = 0.05
SITE_UPDATE: Final = "site-update"


@dataclass(frozen=True, slots=True)
class Left:
    """Who had to be closed because the time for leaving by themselves was over."""

    session_ends: int
    clients: int
    consoles: int


class Moving:
    """Empties a gateway."""

    def __init__(self, signer: Signer, presence: Presence, sessions: Sessions, settings: GatewaySettings) -> None:
        self._signer = signer
        self._presence = presence
        self._sessions = sessions
        self._settings = settings

    def move_client(self, client_id: str) -> bool:
        """Ask one Jump Client to connect anew at once; say whether it is here."""
        client = self._presence.client(client_id)
        if client is None:
            return False
        client.connection.say(self._signer.move(SITE_UPDATE))
        return True

    def tell_statement(self) -> None:
        """Tell all who are connected what the site says of itself now."""
        statement = messages.NewStatement(self._signer.statement())
        self._sessions.tell(statement)
        for connection in self._idle:
            connection.say(statement)

    async def empty(self, seconds: float, reason: str = SITE_UPDATE) -> Left:
        """Move everybody; return when nobody is left, at the latest after ``seconds``, with who had to be closed."""
        loop = asyncio.get_running_loop()
        telling = len(self._idle) / self._settings.moves_per_second
        patience = loop.time() + min(seconds, telling + self._settings.move_patience_seconds)
        self._sessions.move(reason)
        await self._move_idle(patience, reason)
        while loop.time() < patience and not self._nobody:  # noqa: ASYNC110 - three tables empty by themselves
            await asyncio.sleep(_POLL_SECONDS)
        left = Left(
            self._sessions.close_all(CloseCode.MOVED, "moved"),
            len(self._presence.clients),
            len(self._presence.consoles),
        )
        for connection in self._idle:
            connection.close(CloseCode.MOVED, "moved")
        if left != Left(0, 0, 0):
            _log.warning(
                "not everybody moved in time; closed",
                extra={"session_ends": left.session_ends, "clients": left.clients, "consoles": left.consoles},
            )
        return left

    async def _move_idle(self, deadline: float, reason: str) -> None:
        """Clients and consoles at the set rate, which is what the taker can shake hands with."""
        clock = asyncio.get_running_loop().time
        at_once = max(1, round(self._settings.moves_per_second * _STEP_SECONDS))
        waiting = self._idle
        for start in range(0, len(waiting), at_once):
            if clock() >= deadline:
                return
            for connection in waiting[start : start + at_once]:
                connection.say(self._signer.move(reason))
            await asyncio.sleep(at_once / self._settings.moves_per_second)

    @property
    def _idle(self) -> list[Connection]:
        clients, consoles = self._presence.clients, self._presence.consoles
        return [*(client.connection for client in clients), *(console.connection for console in consoles)]

    @property
    def _nobody(self) -> bool:
        return not (self._sessions.ends or self._presence.clients or self._presence.consoles)
