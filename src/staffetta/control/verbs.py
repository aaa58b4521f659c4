"""Keeper's verbs as base asks for them: typed callers over the channel, and what `status` answers.

The list is keeper's (it is complete from the start and closed); a test compares the names and arguments.
Every method raises `KeeperRefused` with keeper's code, or `KeeperUnreachable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from staffetta.control.child import BadKeeperMessage, KeeperChannel


class Verb(StrEnum):
    """Everything that can be asked of keeper."""

    STATUS = "status"
    START = "start"
    ACTIVATE = "activate"
    CONFIRM = "confirm"
    GO_BACK = "go_back"
    STOP = "stop"
    TASK = "task"
    LISTEN = "listen"
    UNLISTEN = "unlisten"
    STEER = "steer"
    CLAIM_ADDRESS = "claim_address"
    RELEASE_ADDRESS = "release_address"
    SET_CLOCK = "set_clock"
    SHUTDOWN = "shutdown"
    ERASE = "erase"


class GenerationState(StrEnum):
    """Where a generation is, in keeper's words."""

    STARTING = "starting"
    STANDBY = "standby"
    ACTIVE = "active"
    RESERVE = "reserve"
    DRAINING = "draining"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of a generation; `pid` is None while it does not run."""

    name: str
    pid: int | None
    ready: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """One run of a release; `failure` says why it failed."""

    id: str
    version: str
    state: GenerationState
    confirmed: bool
    failure: str | None
    processes: tuple[ProcessStatus, ...]


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program: the version `current` names, the id of the active generation, and all generations known."""

    current: str | None
    active: str | None
    generations: tuple[GenerationStatus, ...]

    def generation(self, generation_id: str) -> GenerationStatus | None:
        """The generation of this id, None when keeper does not know it (any more)."""
        return next((one for one in self.generations if one.id == generation_id), None)

    @property
    def active_generation(self) -> GenerationStatus | None:
        """The generation that has the sockets."""
        return next((one for one in self.generations if one.id == self.active), None)


@dataclass(frozen=True, slots=True)
class SocketStatus:
    """One open socket; `address` is the path when `port` is None."""

    name: str
    program: str
    process: str
    address: str
    port: int | None


@dataclass(frozen=True, slots=True)
class KeeperStatus:
    """All that keeper tells about itself and what it keeps."""

    version: str
    pid: int
    programs: Mapping[str, ProgramStatus]
    sockets: tuple[SocketStatus, ...]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a one-shot task ended: its exit status (negative: the signal), and the end of its standard output."""

    exit: int
    output: str


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Options of a socket: `freebind` and `reuse_port` for addresses, `mode` and `group` for a unix path."""

    freebind: bool = False
    reuse_port: bool = False
    mode: int | None = None
    group: int | None = None

    def to_json(self) -> dict[str, object]:
        """Only what differs from keeper's defaults."""
        options: dict[str, object] = {"mode": self.mode, "group": self.group}
        options |= {"freebind": self.freebind or None, "reuse_port": self.reuse_port or None}
        return {name: value for name, value in options.items() if value is not None}


_PLAIN = ListenOptions()


class KeeperVerbs:
    """Asks keeper. Only the one process that keeper's configuration names is answered, base's `service`."""

    def __init__(self, channel: KeeperChannel) -> None:
        self._channel = channel

    async def status(self) -> KeeperStatus:
        """What runs, in which state, and which sockets are open."""
        return _parse_status(await self._channel.call(Verb.STATUS))

    async def start(self, program: str, version: str) -> str:
        """Start a version as a new generation and return its id; it is in standby when all its processes are ready."""
        answer = await self._channel.call(Verb.START, program=program, version=version)
        return str(answer["generation"])

    async def activate(self, program: str, generation: str) -> None:
        """Give the sockets to a generation in standby. Returns after the switch, raises when it was taken back."""
        await self._channel.call(Verb.ACTIVATE, program=program, generation=generation)

    async def confirm(self, program: str, generation: str) -> None:
        """The active generation is good; the one before drains. May be said again."""
        await self._channel.call(Verb.CONFIRM, program=program, generation=generation)

    async def go_back(self, program: str) -> None:
        """Fail the unconfirmed active generation; the one before gets the sockets again."""
        await self._channel.call(Verb.GO_BACK, program=program)

    async def stop(self, program: str, generation: str) -> None:
        """End a generation in standby, or one that failed."""
        await self._channel.call(Verb.STOP, program=program, generation=generation)

    async def task(self, program: str, version: str, task: str) -> TaskResult:
        """Run a one-shot task with a version's code under its program's user (at most 300 s)."""
        answer = await self._channel.call(Verb.TASK, program=program, version=version, task=task)
        return TaskResult(int(answer["exit"]), str(answer["output"]))

    async def listen(
        self,
        name: str,
        program: str,
        process: str,
        address: str,
        port: int | None = None,
        persist: bool = False,
        options: ListenOptions = _PLAIN,
    ) -> None:
        """Open a socket for a process; with `persist` keeper opens it at every start. May be said again."""
        await self._channel.call(
            Verb.LISTEN,
            name=name,
            program=program,
            process=process,
            address=address,
            port=port,
            persist=persist,
            options=options.to_json(),
        )

    async def unlisten(self, name: str) -> None:
        """Close a socket, and keep it closed."""
        await self._channel.call(Verb.UNLISTEN, name=name)

    async def steer(self, name: str, share: int) -> None:
        """While two keepers overlap on an address: the percentage of new connections for the one that came second."""
        await self._channel.call(Verb.STEER, name=name, share=share)

    async def claim_address(self, interface: str, address: str) -> None:
        """Put an address (with its prefix, `192.0.2.7/24`) on an interface and tell the neighbours."""
        await self._channel.call(Verb.CLAIM_ADDRESS, interface=interface, address=address)

    async def release_address(self, interface: str, address: str) -> None:
        """Take an address (without prefix) off an interface."""
        await self._channel.call(Verb.RELEASE_ADDRESS, interface=interface, address=address)

    async def set_clock(self, seconds: float) -> None:
        """Set the machine's clock (unix seconds), if the appliance owns its machine."""
        await self._channel.call(Verb.SET_CLOCK, seconds=seconds)

    async def shutdown(self) -> None:
        """Stop everything, then the machine, if the appliance owns it."""
        await self._channel.call(Verb.SHUTDOWN)

    async def erase(self, confirmation: str) -> None:
        """Overwrite and remove all data of base and site; `confirmation` is the appliance's name."""
        await self._channel.call(Verb.ERASE, confirmation=confirmation)


def _parse_status(raw: Mapping[str, Any]) -> KeeperStatus:
    try:
        return KeeperStatus(
            version=str(raw["keeper"]["version"]),
            pid=int(raw["keeper"]["pid"]),
            programs={name: _parse_program(program) for name, program in raw["programs"].items()},
            sockets=tuple(
                SocketStatus(
                    one["name"], one["program"], one["process"], one.get("path") or one["address"], one.get("port")
                )
                for one in raw["sockets"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadKeeperMessage(f"Keeper's status cannot be understood: {error!r}") from error


def _parse_program(raw: Mapping[str, Any]) -> ProgramStatus:
    return ProgramStatus(
        current=raw["current"],
        active=raw["active"],
        generations=tuple(
            GenerationStatus(
                id=one["id"],
                version=one["version"],
                state=GenerationState(one["state"]),
                confirmed=one["confirmed"],
                failure=one["failure"],
                processes=tuple(
                    ProcessStatus(process["name"], process["pid"], process["ready"], process["restarts"])
                    for process in one["processes"]
                ),
            )
            for one in raw["generations"]
        ),
    )
