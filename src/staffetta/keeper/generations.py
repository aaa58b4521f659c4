"""The generations of a program: which event leads to which state and which actions.

Pure: no I/O, no clock, no randomness; ids and times (monotonic seconds) come in, actions are taken out. What must
hold in every order of events, and is tried by tests:
- at most one generation of a program is active;
- only a process that said "ready", of a generation whose processes all did, is ever given sockets;
- the generation before is not told to leave, and not killed, before the new one is confirmed;
- an unconfirmed generation ends by itself: failing, crashing or silent, it makes room for the one before.
"""

from dataclasses import dataclass

from staffetta.keeper import Refusal
from staffetta.keeper.actions import Action, Answer, Note, Retire, Signal, Spawn, Tell
from staffetta.keeper.generation import Generation, Leaving, Process
from staffetta.keeper.states import FINALS, TABLE, Event, State


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds."""

    ready: float = 60.0  # from the start of a process to its "ready"
    deactivated: float = 2.0  # for the old generation to stop accepting; a missing answer stops nothing
    activated: float = 5.0  # for the new generation to take the sockets
    proving: float = 60.0  # from then to "confirm"
    drain: float = 600.0  # for an old generation to move and finish what it has
    farewell: float = 10.0  # the same for a failed one
    terminate: float = 5.0  # from SIGTERM to SIGKILL
    crash_window: float = 60.0
    crash_limit: int = 5  # so many deaths of one process within the window fail an unconfirmed generation
    longest_pause: float = 5.0  # between restarts of a process
    generations: int = 6  # alive at once, per program
    remembered: int = 5  # ended ones that status still shows, per program


@dataclass(frozen=True, slots=True)
class Handover:
    """The giver was told to stop accepting; the taker gets the sockets when it has, or at the deadline."""

    giver: str
    taker: str
    deadline: float


class Program:
    """The generations of one program. Every method is an event; what is to be done collects in `actions`."""

    def __init__(self, name: str, processes: tuple[str, ...], limits: Limits) -> None:
        self.name = name
        self.process_names = processes
        self.limits = limits
        self.generations: dict[str, Generation] = {}
        self.handover: Handover | None = None
        self.actions: list[Action] = []

    @property
    def active(self) -> Generation | None:
        return next((one for one in self.generations.values() if one.state is State.ACTIVE), None)

    def take_actions(self) -> list[Action]:
        """The actions since the last call, in the order in which they must be done."""
        actions, self.actions = self.actions, []
        return actions

    def next_deadline(self) -> float | None:
        """The monotonic time at which `tick` must be called at the latest."""
        times = [self.handover.deadline] if self.handover else []
        for generation in self.generations.values():
            times += [] if generation.deadline is None else [generation.deadline]
            for process in generation.processes.values():
                times += [at for at in (process.overdue_at, process.restart_at) if at is not None]
        return min(times, default=None)

    # --- what the verbs ask

    def start(self, generation_id: str, version: str, now: float, *, confirmed: bool = False) -> None:
        """Start a generation; a `confirmed` one (`current`, at keeper's start) becomes active when ready."""
        if sum(bool(one.alive) for one in self.generations.values()) >= self.limits.generations:
            raise Refusal("too-many", f"{self.name} has {self.limits.generations} generations; stop one first.")
        processes = {name: Process(name) for name in self.process_names}
        generation = Generation(generation_id, version, processes, confirmed)
        self.generations[generation_id] = generation
        self.actions.append(Note(generation_id, f"{State.STARTING} with version {version}"))
        for process in processes.values():
            self._spawn(generation, process, now)

    def activate(self, generation_id: str, ticket: object, now: float) -> None:
        """Begin the switch to a generation in standby. `ticket` is answered when it has the sockets, or has not."""
        taker, giver = self._find(generation_id), self.active
        if self.handover or (giver and not giver.confirmed):
            raise Refusal("busy", f"{self.name} is between two generations; confirm or go back first.")
        if taker.state is not State.STANDBY:
            raise Refusal("not-standby", f"{generation_id} is {taker.state}, not in standby.")
        taker.ticket = ticket
        if giver is None:
            self._take(taker, now)
        else:
            self._advance(giver, Event.GIVE)
            self._hand_over(giver, taker, now)

    def confirm(self, generation_id: str, now: float) -> None:
        """The active generation stays; the one before drains. Confirming what is confirmed changes nothing."""
        generation = self._find(generation_id)
        if generation.state is not State.ACTIVE:
            raise Refusal("not-active", f"{generation_id} is {generation.state}, not active.")
        if generation.confirmed:
            return
        if not generation.serving:
            raise Refusal("busy", f"{generation_id} has not yet taken the sockets.")
        generation.confirmed, generation.deadline = True, None
        self.actions.append(Note(generation_id, "confirmed"))
        for other in self.generations.values():
            if other.state is State.RESERVE:
                self._advance(other, Event.LEAVE)
                self._drain(other, self.limits.drain, now)
            elif other.confirmed and other.state in (State.STARTING, State.STANDBY):
                # Started as `current` with keeper, never came up, and is now replaced.
                self._advance(other, Event.LEAVE)
                self._terminate(other, now)

    def go_back(self, now: float, reason: str = "taken back on request") -> None:
        """The unconfirmed active generation fails and the one before has the sockets again."""
        generation = self.active
        if self.handover:
            raise Refusal("busy", f"{self.name} is between two generations.")
        if generation is None or generation.confirmed:
            raise Refusal("nothing-to-go-back", f"{self.name} has no unconfirmed generation.")
        self._go_back(generation, reason, now)

    def stop(self, generation_id: str, now: float) -> None:
        """End a generation that serves nobody."""
        generation = self._find(generation_id)
        if generation.state in (State.STARTING, State.STANDBY) and not self._is_taker(generation):
            self._advance(generation, Event.LEAVE)
            self._terminate(generation, now)
        elif generation.state is State.FAILED and generation.leaving is Leaving.DRAIN and generation.alive:
            self._terminate(generation, now)
        elif generation.state not in FINALS:
            raise Refusal("in-use", f"{generation_id} is {generation.state}; only what serves nobody is stopped.")

    def sockets_changed(self, process_name: str) -> None:
        """The sockets for this process are others now."""
        generation = self.active
        if generation and generation.processes[process_name].holding:
            self.actions.append(Tell(generation.id, process_name, "sockets"))

    # --- what the processes say and do

    def said(self, generation_id: str, process_name: str, word: str, now: float, reason: str = "") -> None:
        """A process said ready, failed, activated, deactivated or drained. What does not fit changes nothing."""
        generation = self._find(generation_id)
        process = generation.processes[process_name]
        if not process.alive:
            return
        match word:
            case "ready" if not process.ready:
                process.ready, process.overdue_at = True, None
                self._became_ready(generation, process, now)
            case "activated" if process.holding and not process.activated:
                process.activated = True
                self._became_activated(generation, now)
            case "deactivated" if self.handover and self.handover.giver == generation.id:
                process.holding = process.activated = False
                self._settle_handover(now)
            case "drained" if generation.leaving is Leaving.DRAIN:
                process.drained = True
                self._settle_leaving(generation, now)
            case "failed" if generation.confirmed or generation.state in (*FINALS, State.DRAINING):
                self.actions.append(Signal(generation.id, process.name, kill=True))
            case "failed":
                self._fail(generation, f"{process.name}: {reason}", now)

    def died(self, generation_id: str, process_name: str, how: str, now: float) -> None:
        """A process is gone, or could not be started; `how` says in which way."""
        generation = self._find(generation_id)
        process = generation.processes[process_name]
        process.alive = process.ready = process.holding = process.activated = False
        process.overdue_at = None
        if generation.leaving:
            self._settle_leaving(generation, now)
        elif generation.state is not State.FAILED:
            process.deaths = [at for at in process.deaths if now - at < self.limits.crash_window] + [now]
            if generation.confirmed or (generation.serving and len(process.deaths) < self.limits.crash_limit):
                pause = 0.1 * 2 ** (len(process.deaths) - 2) if len(process.deaths) > 1 else 0.0
                process.restart_at = now + min(pause, self.limits.longest_pause)
                process.restarts += 1
                self.actions.append(Note(generation.id, f"{process_name} {how}; started again"))
            else:
                self._fail(generation, f"{process_name} {how}", now)
        self._settle_handover(now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self.handover and now >= self.handover.deadline:
            self._finish_handover(now)
        for generation in list(self.generations.values()):
            for process in generation.processes.values():
                if process.restart_at is not None and now >= process.restart_at:
                    self._spawn(generation, process, now)
                elif process.overdue_at is not None and now >= process.overdue_at:
                    process.overdue_at = now + self.limits.terminate
                    if generation.confirmed or generation.state is State.ACTIVE:
                        self.actions.append(Signal(generation.id, process.name, kill=True))
                    elif not generation.leaving:
                        self._fail(generation, f"{process.name} was not ready after {self.limits.ready:g} s", now)
            if generation.deadline is not None and now >= generation.deadline:
                self._overdue(generation, now)

    # --- how that is done

    def _find(self, generation_id: str) -> Generation:
        try:
            return self.generations[generation_id]
        except KeyError:
            raise Refusal("unknown-generation", f"{self.name} has no generation {generation_id}.") from None

    def _advance(self, generation: Generation, event: Event) -> None:
        generation.state = TABLE[generation.state, event]
        self.actions.append(Note(generation.id, generation.state))

    def _is_taker(self, generation: Generation) -> bool:
        return self.handover is not None and self.handover.taker == generation.id

    def _spawn(self, generation: Generation, process: Process, now: float) -> None:
        process.alive, process.restart_at = True, None
        process.overdue_at = now + self.limits.ready
        self.actions.append(Spawn(generation.id, process.name))

    def _became_ready(self, generation: Generation, process: Process, now: float) -> None:
        if generation.state is State.ACTIVE:
            self._give_sockets(generation, process)
        elif generation.state is State.STARTING and all(one.ready for one in generation.processes.values()):
            self._advance(generation, Event.READY)
            if generation.confirmed and self.active is None and self.handover is None:
                self._take(generation, now)

    def _became_activated(self, generation: Generation, now: float) -> None:
        if generation.serving or not all(one.activated for one in generation.processes.values()):
            return
        generation.serving = True
        if not generation.confirmed:
            generation.deadline = now + self.limits.proving
        self._answer(generation, None)

    def _take(self, generation: Generation, now: float) -> None:
        self._advance(generation, Event.TAKE)
        generation.serving = False
        generation.deadline = None if generation.confirmed else now + self.limits.activated
        for process in generation.processes.values():
            if process.ready:
                self._give_sockets(generation, process)

    def _give_sockets(self, generation: Generation, process: Process) -> None:
        process.holding, process.activated = True, False
        self.actions.append(Tell(generation.id, process.name, "activate"))

    def _hand_over(self, giver: Generation, taker: Generation, now: float) -> None:
        self.handover = Handover(giver.id, taker.id, now + self.limits.deactivated)
        for process in giver.alive:
            if process.holding:
                self.actions.append(Tell(giver.id, process.name, "deactivate"))
        self._settle_handover(now)

    def _settle_handover(self, now: float) -> None:
        if self.handover and not any(one.holding for one in self.generations[self.handover.giver].alive):
            self._finish_handover(now)

    def _finish_handover(self, now: float) -> None:
        assert self.handover
        giver, taker = self.generations[self.handover.giver], self.generations[self.handover.taker]
        self.handover = None
        self._take(taker, now)
        if giver.state is State.FAILED:
            for process in giver.alive:
                if process.holding:  # would go on accepting, and then be killed
                    self.actions.append(Signal(giver.id, process.name, kill=True))
            self._drain(giver, self.limits.farewell, now)

    def _fail(self, generation: Generation, reason: str, now: float) -> None:
        """An unconfirmed generation has shown that it is no good."""
        if generation.state is State.ACTIVE:
            self._go_back(generation, reason, now)
            return
        wanted = self._is_taker(generation)
        self._mark_failed(generation, reason)
        self._terminate(generation, now)
        if wanted and self.handover:
            giver = self.generations[self.handover.giver]
            self.handover = None
            self._take(giver, now)

    def _go_back(self, generation: Generation, reason: str, now: float) -> None:
        others = [one for one in self.generations.values() if one is not generation]
        back = next((one for one in others if one.state is State.RESERVE), None) or next(
            (one for one in others if one.state is State.STANDBY and one.confirmed), None
        )
        self._mark_failed(generation, reason)
        if back is None:
            self._terminate(generation, now)
        else:
            self._hand_over(generation, back, now)

    def _mark_failed(self, generation: Generation, reason: str) -> None:
        generation.failure, generation.deadline = reason, None
        self._advance(generation, Event.FAIL)
        self.actions.append(Note(generation.id, f"failed: {reason}"))
        for process in generation.processes.values():
            process.restart_at = process.overdue_at = None
        self._answer(generation, Refusal("failed", f"{generation.id} failed: {reason}"))

    def _answer(self, generation: Generation, refusal: Refusal | None) -> None:
        if generation.ticket is not None:
            self.actions.append(Answer(generation.ticket, refusal))
            generation.ticket = None

    def _drain(self, generation: Generation, seconds: float, now: float) -> None:
        generation.leaving = Leaving.DRAIN
        generation.deadline = now + seconds + 5
        for process in generation.processes.values():
            process.restart_at = process.overdue_at = None
            if process.alive and process.ready:
                self.actions.append(Tell(generation.id, process.name, "drain", seconds))
            else:
                process.drained = True
        self._settle_leaving(generation, now)

    def _terminate(self, generation: Generation, now: float) -> None:
        generation.leaving = Leaving.TERM
        generation.deadline = now + self.limits.terminate
        for process in generation.processes.values():
            process.restart_at = process.overdue_at = None
            if process.alive:
                self.actions.append(Signal(generation.id, process.name, kill=False))
        self._settle_leaving(generation, now)

    def _settle_leaving(self, generation: Generation, now: float) -> None:
        if not generation.alive:
            self._retire(generation)
        elif generation.leaving is Leaving.DRAIN and all(one.drained for one in generation.alive):
            self._terminate(generation, now)

    def _retire(self, generation: Generation) -> None:
        generation.deadline = None
        if generation.state is State.DRAINING:
            self._advance(generation, Event.EXITED)
        self.actions.append(Retire(generation.id))
        ended = [one for one in self.generations.values() if one.state in FINALS and not one.alive]
        for old in ended[: -self.limits.remembered]:
            del self.generations[old.id]

    def _overdue(self, generation: Generation, now: float) -> None:
        if generation.leaving is Leaving.DRAIN:
            self._terminate(generation, now)
        elif generation.leaving is Leaving.TERM:
            generation.deadline = now + self.limits.terminate
            for process in generation.alive:
                self.actions.append(Signal(generation.id, process.name, kill=True))
        elif generation.serving:
            self._go_back(generation, f"not confirmed within {self.limits.proving:g} s", now)
        else:
            self._go_back(generation, f"did not take the sockets within {self.limits.activated:g} s", now)
