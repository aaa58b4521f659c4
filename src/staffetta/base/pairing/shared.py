"""The shared address of a pair as one appliance holds it: enabled or not, and the phases in which it is moved.

Keeper opens its socket and puts it on the interface, but remembers neither: after a restart of keeper nobody listens
there until base has heard from the site that this appliance is alone or the primary. Each phase may be done again.
The socket is always opened so that a second holder can join it (`reuse_port`) and before the address is here
(`freebind`); docs/networking.md says why the phases have this order.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from staffetta.base.errors import SharedAddressDamaged, SharedAddressRefused, StaleTerm
from staffetta.control.pairing import SharedAddress, SharedPhase, SharedState
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.control.verbs import KeeperStatus, ListenOptions
from staffetta.kernel.files import write_atomically
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

SOCKET: Final = "shared"
MEMORY_NAME: Final = "shared-address.json"
LEAVE_SECONDS: Final = 0.5
"""So long a giver goes on accepting after new connections go to the taker: handshakes under way come to their end."""

HANDS_OFF_SECONDS: Final = 60.0
"""So long after a phase that the pair job asked for the role is not followed: it changes in the middle of a swing."""

LINGER_SECONDS: Final = 15.0
"""So long a backup that still holds the address waits for the primary to take it; it points whoever comes there."""

LINGER_ON_INTERFACE_SECONDS: Final = 3.0
"""The same where both put it on an interface: who asks where it is meanwhile is answered by both, and may believe the
backup. Leaving before the primary has it refuses nobody there: what gets no answer is sent again."""

ANNOUNCE_SECONDS: Final = 10.0
"""So often the holder tells the neighbours again that the address is here, the first time as soon as a backup that
lingered has left."""

ANNOUNCE_FOR_SECONDS: Final = 60.0
"""So long it does, after it took the address or the other appliance became the backup. Not for ever: two that hold it
because they do not hear each other would take it from each other again and again."""

PROBE_SECONDS: Final = 1.0
PROBE_AGAIN_SECONDS: Final = 10.0

_TAKING: Final = frozenset({SharedPhase.JOIN, SharedPhase.TURN, SharedPhase.SETTLE, SharedPhase.CLAIM})


class SocketKeeper(Protocol):
    """What is asked of keeper (`control.verbs.KeeperVerbs`)."""

    async def status(self) -> KeeperStatus: ...
    async def listen(
        self,
        name: str,
        program: str,
        process: str,
        address: str,
        port: int | None = None,
        persist: bool = False,
        options: ListenOptions = ...,
    ) -> None: ...
    async def unlisten(self, name: str) -> None: ...
    async def steer(self, name: str, share: int) -> None: ...
    async def claim_address(self, interface: str, address: str) -> None: ...
    async def release_address(self, interface: str, address: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of the shared address. ``due``: this appliance became primary with this term, or was enabled by a
    person, and has not taken the address yet."""

    enabled: bool = True
    term: int = 0
    due: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where the shared address is."""

    address: str
    port: int
    interface: str | None

    @property
    def with_prefix(self) -> str:
        return f"{self.address}/{128 if ':' in self.address else 32}"


def place_of(description: ApplianceDescription) -> Place | None:
    """The shared address of an appliance, which stands first among its addresses."""
    if description.shared_address is None:
        return None
    port = description.addresses[0].rpartition(":")[2]
    return Place(description.shared_address, int(port), description.shared_interface)


async def answers(place: Place) -> bool:
    """Whether somebody takes connections at the shared address."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(place.address, place.port)
    except OSError:
        return False
    writer.close()
    return True


class SharedAddressService:
    """The only one of base who moves the shared address."""

    def __init__(
        self,
        paths: AppliancePaths,
        description: ApplianceDescription,
        keeper: SocketKeeper,
        monotonic: Callable[[], float] = time.monotonic,
        taken: Callable[[Place], Awaitable[bool]] = answers,
    ) -> None:
        self._place = place_of(description)
        self._file = MemoryFile(paths.base / MEMORY_NAME)
        self._keeper = keeper
        self._monotonic = monotonic
        self._taken = taken
        self._acting = asyncio.Lock()
        self._hands_off_until = self._probe_again_at = float("-inf")
        self._leave_at: float | None = None
        self._announce_at = self._announce_until = float("-inf")
        self._peer = ""

    @property
    def exists(self) -> bool:
        """Whether this appliance was made with a shared address."""
        return self._place is not None

    async def read(self) -> SharedAddress:
        """What is now. Raises KeeperUnreachable."""
        if self._place is None:
            return SharedAddress(SharedState.ABSENT)
        memory = self._file.read()
        if await self._is_held():
            state = SharedState.HELD
        else:
            state = SharedState.RELEASED if memory.enabled else SharedState.DISABLED
        return SharedAddress(
            state=state,
            address=self._place.address,
            port=self._place.port,
            interface=self._place.interface,
            enabled=memory.enabled,
            term=memory.term,
            present=is_here(self._place.address),
        )

    async def enable(self, enabled: bool) -> SharedAddress:
        """Tick or untick *Enabled*, durably. Unticked, it is let go of at once; ticked, it follows the role again."""
        place = self._required()
        async with self._acting:
            self._file.write(replace(self._file.read(), enabled=enabled, due=enabled))
            self._hands_off_until = self._probe_again_at = float("-inf")
            if not enabled:
                await self._leave(place)
        return await self.read()

    async def do(self, phase: SharedPhase, term: int) -> SharedAddress:
        """One phase of a swing, asked by the pair job. Raises StaleTerm and SharedAddressRefused."""
        place = self._required()
        async with self._acting:
            memory = self._file.read()
            if term < memory.term:
                raise StaleTerm(
                    f"The shared address was already moved for role term {memory.term}; {term} is over. "
                    "Look who is the primary now."
                )
            if phase in _TAKING and not memory.enabled:
                raise SharedAddressRefused(
                    "The shared address is not enabled on this appliance. Tick it on /appliance > Networking > IP "
                    "configuration, or run `staffetta appliance shared-address enable`."
                )
            self._file.write(replace(memory, term=term, due=False))
            self._hands_off_until = self._monotonic() + HANDS_OFF_SECONDS
            await self._act(place, phase)
            _log.info("shared address: %s", phase.value, extra={"term": term})
        return await self.read()

    async def follow(self, role: str, term: int, peer: str = "") -> None:
        """Hold the address if this appliance serves in this role, and let go of it if it does not.

        ``peer`` is the role of the other appliance while that is heard, else empty. Whoever has just become primary, or
        hears that the other is the backup, takes the address. Others take it only if nobody answers there: one that is
        alone may be the future backup of whoever does, and a primary that was one before this start may have been
        replaced meanwhile. One that has become the backup lingers, and the new primary announces itself after that.
        """
        place = self._required()
        async with self._acting:
            if self._monotonic() < self._hands_off_until:
                return
            memory = self._remembered(role, term)
            if peer == "backup" != self._peer:
                self._announce_from(place)  # it may have served, and told the neighbours that the address is there
            self._peer = peer
            held, serves = await self._is_held(), memory.enabled and role in ("alone", "primary")
            here = held or (place.interface is not None and is_here(place.address))
            if serves:
                self._leave_at = None
                whole = held and (place.interface is None or is_here(place.address))
                await self._keep(place, role, whole, sure=memory.due or (role == "primary" and peer == "backup"))
                if memory.due:
                    self._file.write(replace(memory, due=False))
            elif here and self._may_leave(place, memory):
                _log.info("leaving the shared address as %s", role, extra={"term": term})
                await self._leave(place)
                self._leave_at = None

    def _remembered(self, role: str, term: int) -> Memory:
        """What is known now, written down before anything is done about it."""
        memory = self._file.read()
        due = role == "primary" and (memory.due or term > memory.term)
        memory = replace(memory, term=term, due=due)
        self._file.write(memory)
        return memory

    async def _keep(self, place: Place, role: str, held: bool, sure: bool) -> None:
        if not held and (sure or await self._is_free(place)):
            _log.info("taking the shared address as %s", role)
            await self._act(place, SharedPhase.CLAIM)
            self._announce_from(place)
        elif held and self._announce_at <= self._monotonic() < self._announce_until:
            await self._put(place)
            self._announce_at = self._monotonic() + ANNOUNCE_SECONDS

    def _announce_from(self, place: Place) -> None:
        self._announce_at = self._monotonic() + 2 * _linger(place)
        self._announce_until = self._announce_at + ANNOUNCE_FOR_SECONDS

    def _may_leave(self, place: Place, memory: Memory) -> bool:
        if not memory.enabled:
            return True
        if self._leave_at is None:
            self._leave_at = self._monotonic() + _linger(place)
        return self._monotonic() >= self._leave_at

    async def _act(self, place: Place, phase: SharedPhase) -> None:
        match phase:
            case SharedPhase.HOLD:
                if await self._is_held():
                    await self._keeper.steer(SOCKET, 0)
            case SharedPhase.JOIN:
                await self._join(place)
            case SharedPhase.TURN | SharedPhase.CLAIM:
                await self._join(place)
                await self._put(place)
                await self._keeper.steer(SOCKET, 100)
            case SharedPhase.LEAVE | SharedPhase.RELEASE:
                await self._leave(place)
            case SharedPhase.SETTLE:
                if not await self._is_held():
                    raise SharedAddressRefused("This appliance does not hold the shared address; let it join first.")
                await self._put(place)
                await self._keeper.steer(SOCKET, 0)

    async def _join(self, place: Place) -> None:
        options = ListenOptions(freebind=True, reuse_port=True)
        await self._keeper.listen(SOCKET, "site", "gateway", place.address, place.port, False, options)

    async def _put(self, place: Place) -> None:
        if place.interface is not None:
            await self._keeper.claim_address(place.interface, place.with_prefix)

    async def _leave(self, place: Place) -> None:
        """The socket first, so that the kernel never refuses what still comes to an address that is here."""
        if await self._is_held():
            await asyncio.sleep(LEAVE_SECONDS)
            await self._keeper.unlisten(SOCKET)
        if place.interface is not None:
            await self._keeper.release_address(place.interface, place.address)

    async def _is_held(self) -> bool:
        return any(one.name == SOCKET for one in (await self._keeper.status()).sockets)

    async def _is_free(self, place: Place) -> bool:
        if self._monotonic() < self._probe_again_at:
            return False
        if place.interface is not None and is_here(place.address):
            # Left by a keeper that died: this machine would ask itself.
            await self._keeper.release_address(place.interface, place.address)
        if not await self._taken(place):
            return True
        _log.info("the shared address is left to the other appliance that answers there")
        self._probe_again_at = self._monotonic() + PROBE_AGAIN_SECONDS
        return False

    def _required(self) -> Place:
        if self._place is None:
            raise SharedAddressRefused("This appliance was made without a shared address (`--shared-address`).")
        return self._place


class MemoryFile:
    """The durable part, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Memory:
        """What was written last; enabled, at term 0, if nothing was."""
        try:
            fields: Any = json.loads(self._path.read_bytes())
            enabled, term, due = fields["enabled"], fields["term"], fields.get("due", False)
            if not isinstance(enabled, bool) or not isinstance(term, int) or not isinstance(due, bool):
                raise TypeError
            return Memory(enabled, term, due)
        except FileNotFoundError:
            return Memory()
        except (ValueError, KeyError, TypeError):
            raise SharedAddressDamaged(
                f"{self._path} is damaged; remove it and enable or disable the shared address again."
            ) from None

    def write(self, memory: Memory) -> None:
        """Write it, if it is not what is there."""
        if memory != self.read():
            write_atomically(self._path, json.dumps(asdict(memory)).encode())


def _linger(place: Place) -> float:
    return LINGER_SECONDS if place.interface is None else LINGER_ON_INTERFACE_SECONDS


def is_here(address: str) -> bool:
    """Whether the address is on an interface of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
