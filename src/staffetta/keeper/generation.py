"""One run of a release as keeper knows it: its processes, and how far it has come. `generations` moves it on."""

from dataclasses import dataclass, field
from enum import StrEnum

from staffetta.keeper.states import State


@dataclass(slots=True)
class Process:
    """One process of a generation, through all its restarts."""

    name: str
    alive: bool = False
    ready: bool = False
    holding: bool = False  # was given the sockets
    activated: bool = False  # and said that it uses them
    drained: bool = False
    overdue_at: float | None = None  # when it must have said ready
    restart_at: float | None = None
    restarts: int = 0
    deaths: list[float] = field(default_factory=list)


class Leaving(StrEnum):
    """How far the end of a generation has come."""

    DRAIN = "drain"
    TERM = "term"


@dataclass(slots=True)
class Generation:
    """One run of a release."""

    id: str
    version: str
    processes: dict[str, Process]
    confirmed: bool
    state: State = State.STARTING
    serving: bool = False  # every process said activated
    failure: str | None = None
    leaving: Leaving | None = None
    deadline: float | None = None  # of what it is waited for: activated, confirmed, drained, terminated
    ticket: object = None  # of the `activate` that is not yet answered

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes.values() if process.alive]
