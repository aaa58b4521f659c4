"""A keeper in memory: the verbs' semantics with no processes, so that thousands of histories run in a second.

What it simulates of the real one: generation states, one switch at a time, going back when the new generation is not
confirmed in time or fails, restarting `current` of every program after its own restart. Time is `tick`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from staffetta.base.errors import NotYet
from staffetta.base.installs.plan import GenerationFact, GenerationState
from staffetta.kernel.errors import Refused
from staffetta.packages import Kind, Version

PROVING_TICKS = 40
READY_TICKS = 3
SERVING_TICKS = 1
LEAVING_TICKS = 3


class Behaviour(Enum):
    """How the processes of a release behave."""

    GOOD = auto()
    NEVER_READY = auto()
    CRASHES_AT_START = auto()
    FAILS_PROBE = auto()
    CRASHES_WHEN_ACTIVE = auto()


@dataclass(slots=True)
class Simulated:
    """One generation."""

    id: str
    version: Version
    state: GenerationState
    confirmed: bool = False
    failure: str | None = None
    age: int = 0
    active_for: int = 0
    leaving_for: int | None = None

    @property
    def running(self) -> bool:
        """Whether processes are still there."""
        ended = self.state in (GenerationState.GONE, GenerationState.FAILED)
        return not ended or (self.leaving_for is not None and self.leaving_for < LEAVING_TICKS)


@dataclass
class SimulatedKeeper:
    """Keeper's generation table for one program. `current` reads the program's symlink."""

    program: Kind
    current: Callable[[], Version | None]
    behaviours: dict[Version, Behaviour] = field(default_factory=dict)
    generations: list[Simulated] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    number: int = 0
    ready_after: int = READY_TICKS

    def restart(self) -> None:
        """Keeper died and came back: every generation is lost, `current` is started and counts as confirmed."""
        self.generations.clear()
        version = self.current()
        if version is not None:
            one = self._new(version)
            one.state, one.confirmed = GenerationState.ACTIVE, True

    def tick(self) -> None:
        """Let time pass."""
        for one in list(self.generations):
            behaviour = self.behaviours.get(one.version, Behaviour.GOOD)
            one.age += 1
            if one.state is GenerationState.STARTING and one.age >= self.ready_after:
                if behaviour is Behaviour.CRASHES_AT_START:
                    self._fail(one, "web exited with status 1")
                elif behaviour is not Behaviour.NEVER_READY:
                    one.state = GenerationState.STANDBY
            elif one.state is GenerationState.ACTIVE and not one.confirmed:
                one.active_for += 1
                if behaviour is Behaviour.CRASHES_WHEN_ACTIVE and one.active_for > 1:
                    self._fall_back(one, "its process gateway died 5 times within 60 seconds")
                elif one.active_for > PROVING_TICKS:
                    self._fall_back(one, "not confirmed within its proving time")
            elif one.state is GenerationState.DRAINING and one.age > LEAVING_TICKS:
                one.state = GenerationState.GONE
            elif one.leaving_for is not None:
                one.leaving_for += 1

    def crash(self, identifier: str) -> None:
        """A generation's processes keep dying."""
        one = self._find(identifier)
        if one.state is GenerationState.ACTIVE and not one.confirmed:
            self._fall_back(one, "its process web died 5 times within 60 seconds")
        elif one.state in (GenerationState.STARTING, GenerationState.STANDBY):
            self._fail(one, "web exited with status 1")

    def facts(self) -> tuple[GenerationFact, ...]:
        return tuple(
            GenerationFact(one.id, one.version, one.state, one.confirmed, one.failure, one.running)
            for one in self.generations
        )

    def start(self, version: Version) -> str:
        return self._new(version).id

    def activate(self, identifier: str) -> None:
        one = self._find(identifier)
        if one.state is not GenerationState.STANDBY:
            raise Refused(f"{identifier} is {one.state}, not standby.")
        former = self.active
        if former is not None:
            former.state = GenerationState.RESERVE
        one.state = GenerationState.ACTIVE
        self.activations.append(identifier)

    def confirm(self, identifier: str) -> None:
        one = self._find(identifier)
        if one.state is not GenerationState.ACTIVE:
            raise Refused(f"{identifier} is {one.state}, not active.")
        if not one.confirmed and one.active_for < SERVING_TICKS:
            raise NotYet(f"{identifier} has not yet taken the sockets.")
        one.confirmed = True
        for other in self.generations:
            if other.state is GenerationState.RESERVE:
                other.state, other.age = GenerationState.DRAINING, 0

    def go_back(self) -> None:
        one = self.active
        if one is None or one.confirmed:
            raise Refused("There is no unconfirmed generation to go back from.")
        self._fall_back(one, "asked to go back")

    def stop(self, identifier: str) -> None:
        one = self._find(identifier)
        if one.state in (GenerationState.STARTING, GenerationState.STANDBY):
            one.state, one.age = GenerationState.DRAINING, 0
        elif one.state not in (GenerationState.GONE, GenerationState.FAILED):
            raise Refused(f"{identifier} is {one.state}; only what serves nobody is stopped.")

    @property
    def active(self) -> Simulated | None:
        return next((one for one in self.generations if one.state is GenerationState.ACTIVE), None)

    def _fall_back(self, one: Simulated, failure: str) -> None:
        self._fail(one, failure)
        for other in self.generations:
            if other.state is GenerationState.RESERVE:
                other.state = GenerationState.ACTIVE

    @staticmethod
    def _fail(one: Simulated, failure: str) -> None:
        one.state, one.failure, one.leaving_for = GenerationState.FAILED, failure, 0

    def _new(self, version: Version) -> Simulated:
        self.number += 1
        one = Simulated(f"{self.program}-{self.number}", version, GenerationState.STARTING)
        self.generations.append(one)
        return one

    def _find(self, identifier: str) -> Simulated:
        for one in self.generations:
            if one.id == identifier:
                return one
        raise Refused(f"There is no generation {identifier}.")
