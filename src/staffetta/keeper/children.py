"""What runs: the processes of all generations and the one-shot tasks, and the actions of `generations` done on them.

A child's message can change what happens to that child only, unless it asks for a verb, which `serving` answers.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from staffetta.keeper import Refusal
from staffetta.keeper.actions import Action, Answer, Note, Retire, Signal, Spawn, Tell
from staffetta.keeper.config import Config, SocketSpec
from staffetta.keeper.generation import Generation
from staffetta.keeper.generations import Limits, Program
from staffetta.keeper.loop import Loop, log
from staffetta.keeper.processes import MESSAGE_BYTES, OUTPUT_BYTES, Child, Launcher
from staffetta.keeper.sockets import ListeningSockets
from staffetta.keeper.verbs import Asked, Said, parse_message

TASK_SECONDS = 300.0
STOP_SECONDS = 5.0  # from SIGTERM to SIGKILL when keeper itself leaves; from a closed channel to SIGKILL
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who asked, and under which number."""

    child: Child
    id: int


@dataclass(slots=True)
class Task:
    """A one-shot task under way and all who wait for its end."""

    child: Child
    version: str
    tickets: list[Ticket]


Result = dict[str, object] | Refusal


class Children:
    """Every process that keeper started and has not seen end."""

    def __init__(
        self, config: Config, loop: Loop, listening: ListeningSockets, serve: Callable[[Ticket, Asked], None]
    ) -> None:
        self._config, self._loop, self._listening, self._serve = config, loop, listening, serve
        self.launcher = Launcher(config.root)
        limits = Limits(proving=config.proving_seconds, crash_limit=config.crash_limit, ready=config.ready_seconds)
        self.programs = {one.name: Program(one.name, one.processes, limits) for one in config.programs.values()}
        self.processes: dict[tuple[str, str], Child] = {}
        self.tasks: list[Task] = []
        self._kill_all_at: float | None = None

    @property
    def stopping(self) -> bool:
        """Everybody was told to leave; nobody is started any more."""
        return self._kill_all_at is not None

    def all(self) -> Sequence[Child]:
        """Processes and tasks."""
        return [*self.processes.values(), *(task.child for task in self.tasks)]

    def stop_all(self) -> None:
        """SIGTERM to everybody now, SIGKILL to whoever is there after STOP_SECONDS."""
        self._kill_all_at = time.monotonic() + STOP_SECONDS
        for child in self.all():
            child.signal(kill=False)

    def next_deadline(self) -> float | None:
        """When `tick` must be called at the latest."""
        if self._kill_all_at is not None:
            return self._kill_all_at
        times = [program.next_deadline() for program in self.programs.values()]
        times += [child.kill_at for child in self.all()]
        return min((due for due in times if due is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self._kill_all_at is not None:
            if now >= self._kill_all_at:
                self._kill_all_at = now + STOP_SECONDS
                for child in self.all():
                    child.signal(kill=True)
            return
        for child in self.all():
            if child.kill_at is not None and now >= child.kill_at:
                child.kill_at, child.timed_out = now + STOP_SECONDS, True
                child.signal(kill=True)
        for program in self.programs.values():
            program.tick(now)
            self.act(program)

    def start(self, program: Program, version: str, *, confirmed: bool) -> str:
        """Start a generation and return its id. Raises Refusal and OSError, and has then started nothing."""
        self.launcher.release(program.name, version)
        generation = _new_id(program.name)
        self.launcher.make_run_directory(self._config.programs[program.name], generation)
        try:
            program.start(generation, version, time.monotonic(), confirmed=confirmed)
        except Refusal:
            self.launcher.remove_run_directory(generation)
            raise
        self.act(program)
        return generation

    def act(self, program: Program) -> None:
        """Do what the events of this program have led to."""
        while actions := program.take_actions():
            for action in actions:
                self._do(program, action)

    def answer(self, ticket: Ticket, result: Result) -> None:
        """Answer a verb; whoever asked and is gone asks for the status when it is back."""
        if self.processes.get((ticket.child.generation, ticket.child.name)) is not ticket.child:
            return
        if isinstance(result, Refusal):
            answer: dict[str, object] = {"error": {"code": result.code, "message": result.message}}
        else:
            answer = {"result": result}
        self._send(ticket.child, {"id": ticket.id, **answer})

    def _do(self, program: Program, action: Action) -> None:
        match action:
            case Spawn(generation, process):
                self._spawn(program, program.generations[generation], process)
            case Tell(generation, process, do, seconds):
                self._tell(self.processes.get((generation, process)), do, seconds)
            case Signal(generation, process, kill):
                if child := self.processes.get((generation, process)):
                    child.signal(kill)
            case Answer(ticket, refusal):
                assert isinstance(ticket, Ticket)
                self.answer(ticket, refusal or {})
            case Retire(generation):
                self.launcher.remove_run_directory(generation)
            case Note(generation, text):
                log("info", text, generation=generation)

    def _spawn(self, program: Program, generation: Generation, process: str) -> None:
        try:
            child = self.launcher.start(self._config.programs[program.name], generation.id, generation.version, process)
        except (OSError, Refusal) as error:
            program.died(generation.id, process, f"could not be started ({error})", time.monotonic())
            return
        assert child.channel
        self.processes[generation.id, process] = child
        self._loop.watch(child.channel.fileno(), partial(self._read, child))
        self._loop.watch(child.pidfd, partial(self._ended, child))

    def _tell(self, child: Child | None, do: str, seconds: float | None) -> None:
        if child is None:
            return
        message: dict[str, object] = {"do": do}
        given: list[tuple[SocketSpec, socket.socket]] = []
        if do in ("activate", "sockets"):
            given = self._listening.for_process(child.program.name, child.name)
            message["sockets"] = [
                {"name": spec.name, "family": spec.family, "address": spec.address, "port": spec.port}
                for spec, _ in given
            ]
        if seconds is not None:
            message["seconds"] = seconds
        self._send(child, message, [sock for _, sock in given])

    def _send(self, child: Child, message: dict[str, object], sockets: list[socket.socket] | None = None) -> None:
        if not child.send(message, sockets or ()):
            self._give_up(child, "does not read its messages")

    def _give_up(self, child: Child, why: str) -> None:
        log("error", f"killed: {why}", generation=child.generation, process=child.name)
        assert child.channel
        self._loop.unwatch(child.channel.fileno())
        child.signal(kill=True)

    def _read(self, child: Child) -> bool:
        """Read one message. False: there is none, and none will come now."""
        assert child.channel
        try:
            data = child.channel.recv(MESSAGE_BYTES + 1)  # descriptors sent along are dropped by the kernel
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        match parse_message(data):
            case Said(word, reason) if not self.stopping:
                program = self.programs[child.program.name]
                program.said(child.generation, child.name, word, time.monotonic(), reason)
                self.act(program)
            case Asked() as asked:
                self._serve(Ticket(child, asked.id), asked)
            case None:
                if data:
                    self._give_up(child, "sent a malformed message")
                else:  # it is leaving, or has lost its way
                    self._loop.unwatch(child.channel.fileno())
                    child.kill_at = time.monotonic() + STOP_SECONDS
                return False
        return True

    def _ended(self, child: Child) -> None:
        how = child.ended()
        if how is None:
            return
        assert child.channel
        watched = self._loop.watches(child.channel.fileno())
        while watched and self._read(child):
            pass  # its last words: why it failed
        self._loop.unwatch(child.channel.fileno())
        self._loop.unwatch(child.pidfd)
        child.close()
        del self.processes[child.generation, child.name]
        if not self.stopping:
            program = self.programs[child.program.name]
            program.died(child.generation, child.name, how, time.monotonic())
            self.act(program)

    def run_task(self, program: str, version: str, task: str, ticket: Ticket) -> None:
        """Run a one-shot task and answer the ticket when it is done; asked again meanwhile, one run answers all."""
        config = self._config.programs[program]
        if task not in config.tasks:
            raise Refusal("unknown-task", f"{program} has no task {task}.")
        for running in self.tasks:
            if running.child.program is config:
                if (running.child.name, running.version) != (task, version):
                    raise Refusal("busy", f"{program}'s task {running.child.name} is still running.")
                running.tickets.append(ticket)  # asked again, after a crash: the same run answers both
                return
        identity = _new_id(program)
        self.launcher.make_run_directory(config, identity)
        try:
            child = self.launcher.start_task(config, identity, version, task)
        except BaseException:
            self.launcher.remove_run_directory(identity)
            raise
        assert child.output is not None
        child.kill_at = time.monotonic() + TASK_SECONDS
        started = Task(child, version, [ticket])
        self.tasks.append(started)
        self._loop.watch(child.output, partial(self._collect, child))
        self._loop.watch(child.pidfd, partial(self._task_ended, started))

    def _collect(self, child: Child) -> bool:
        assert child.output is not None
        try:
            data = os.read(child.output, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._loop.unwatch(child.output)
        child.collected += data
        del child.collected[:-OUTPUT_BYTES]
        return bool(data)

    def _task_ended(self, task: Task) -> None:
        if task.child.ended() is None:
            return
        while self._collect(task.child):
            pass
        assert task.child.output is not None
        self._loop.unwatch(task.child.output)
        self._loop.unwatch(task.child.pidfd)
        task.child.close()
        self.tasks.remove(task)
        self.launcher.remove_run_directory(task.child.generation)
        result: dict[str, object] | Refusal = {
            "exit": task.child.popen.returncode,
            "output": task.child.collected.decode(errors="replace"),
        }
        if task.child.timed_out:
            result = Refusal("timed-out", f"{task.child.name} was not done after {TASK_SECONDS:g} s and was ended.")
        for ticket in task.tickets:
            self.answer(ticket, result)


def _new_id(program: str) -> str:
    return f"{program}-{''.join(secrets.choice(_LETTERS) for _ in range(26))}"
