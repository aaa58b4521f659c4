"""Who is online at this gateway: one connection per Jump Client and any number of consoles, in memory.

What changes is told to the database in batches, so that a herd of a thousand costs a few transactions; a beat every few
seconds says that this process lives and who the reps are.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.site.accounts.sign_ins import SignIn
from staffetta.site.data.database import in_database
from staffetta.site.fleet import service as fleet
from staffetta.site.gateway.connection import Connection
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.wire.errors import CloseCode

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class PresentClient:
    """A Jump Client that is connected here and has proven its key."""

    id: str
    name: str
    public_key: bytes
    version: str
    status: Mapping[str, str]
    connection: Connection
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class PresentConsole:
    """A rep's console that is connected here; its tickets are bound to ``public_key``."""

    rep: str
    name: str
    public_key: bytes
    version: str
    connection: Connection
    sign_in: SignIn
    capabilities: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Told:
    """What of a client is still to be written: what it was when it ``came``, and whether it is still there."""

    online: bool
    came: bool = False
    version: str = ""
    status: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


class Presence:
    """The connected of one gateway process."""

    def __init__(self, generation: str, version: str, settings: GatewaySettings) -> None:
        self._generation = generation
        self._version = version
        self._settings = settings
        self._clients: dict[str, PresentClient] = {}
        self._consoles: dict[str, PresentConsole] = {}
        self._waiting: dict[str, set[asyncio.Future[PresentClient]]] = {}
        self._told: dict[str, _Told] = {}
        self._untold = asyncio.Event()

    @property
    def clients(self) -> tuple[PresentClient, ...]:
        """The Jump Clients connected here."""
        return tuple(self._clients.values())

    @property
    def consoles(self) -> tuple[PresentConsole, ...]:
        """The consoles connected here."""
        return tuple(self._consoles.values())

    def client(self, client_id: str) -> PresentClient | None:
        """Return a Jump Client if it is connected here."""
        return self._clients.get(client_id)

    def client_arrived(self, client: PresentClient) -> None:
        """A Jump Client has proven itself; an older connection of it is closed (4409)."""
        older = self._clients.get(client.id)
        self._clients[client.id] = client
        if older is not None:
            older.connection.close(CloseCode.FENCED, "a newer connection came")
        self._tell(client.id, _told(client, client.status))
        for waiting in self._waiting.pop(client.id, ()):
            if not waiting.done():
                waiting.set_result(client)

    def client_told(self, client: PresentClient, status: Mapping[str, str]) -> None:
        """A Jump Client that is connected here has said anew how it is; nothing if a newer connection counts."""
        if self._clients.get(client.id) is client:
            self._tell(client.id, _told(client, status))

    def client_left(self, client: PresentClient) -> None:
        """A Jump Client's connection has ended; nothing if a newer one has taken its place."""
        if self._clients.get(client.id) is client:
            del self._clients[client.id]
            untold = self._told.get(client.id)
            if untold is not None and untold.came:
                untold.online = False  # it came and went between two batches: both are written
            else:
                self._tell(client.id, _Told(False))

    def console_arrived(self, console: PresentConsole) -> None:
        """A console has proven itself."""
        self._consoles[console.connection.id] = console

    def console_left(self, console: PresentConsole) -> None:
        """A console's connection has ended."""
        self._consoles.pop(console.connection.id, None)

    async def arrival(self, client_id: str, seconds: float) -> PresentClient | None:
        """Wait until a Jump Client is connected here; None if it does not come in time."""
        present = self._clients.get(client_id)
        if present is not None:
            return present
        waiting: asyncio.Future[PresentClient] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client_id, set()).add(waiting)
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            return None
        finally:
            others = self._waiting.get(client_id)
            if others is not None:
                others.discard(waiting)
                if not others:
                    del self._waiting[client_id]

    async def tell_database(self) -> None:
        """Write who came and went, in batches, for as long as the gateway runs."""
        while True:
            await self._untold.wait()
            await asyncio.sleep(self._settings.gather_seconds)
            await self.flush()

    async def flush(self) -> None:
        """Write what is not yet written."""
        self._untold.clear()
        told, self._told = self._told, {}
        if not told:
            return
        try:
            await in_database(_touch, tuple(told.items()))
        except Exception:  # noqa: BLE001 - the database may be busy for a while; nothing is lost
            _log.exception("who is online could not be written; trying again")
            for client_id, older in told.items():
                newer = self._told.setdefault(client_id, older)
                if older.came and not newer.came:
                    older.online = newer.online
                    self._told[client_id] = older
            self._untold.set()

    async def beat(self) -> None:
        """Say in the database that this gateway lives and which reps are connected, for as long as it runs."""
        while True:
            try:
                reps = {console.rep for console in self._consoles.values()}
                await in_database(fleet.heartbeat, self._generation, self._version, reps)
            except Exception:  # noqa: BLE001 - a missed beat is followed by the next
                _log.exception("the gateway's beat could not be written")
            await asyncio.sleep(self._settings.heartbeat_seconds)

    async def leave(self) -> None:
        """Say that nobody is connected here any more."""
        try:
            await self.flush()
            await in_database(fleet.leave)
        except StaffettaError as error:
            _log.error("the gateway's leaving could not be written: %s", error.message)

    def close_silent(self, now: float) -> None:
        """Close connections on which two pings were missed."""
        oldest = now - 2.25 * self._settings.ping_seconds
        everyone: Iterable[PresentClient | PresentConsole] = (*self.clients, *self.consoles)
        for present in everyone:
            if present.connection.heard < oldest:
                present.connection.close(CloseCode.SILENT, "two pings missed")

    def _tell(self, client_id: str, told: _Told) -> None:
        self._told[client_id] = told
        self._untold.set()


def _told(client: PresentClient, status: Mapping[str, str]) -> _Told:
    return _Told(True, True, client.version, status, client.connection.remote)


def _touch(told: tuple[tuple[str, _Told], ...]) -> None:
    with transaction.atomic():
        for client_id, what in told:
            if what.came:
                fleet.touch_online(client_id, True, what.version, dict(what.status), what.address)
            if not what.online:
                fleet.touch_online(client_id, False)
