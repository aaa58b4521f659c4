"""Keeper itself: it starts what an appliance has, serves the verbs, and leaves.

Arguments were checked by `verbs`, decisions are taken by `generations`; a verb here is the few lines between the two.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from staffetta.keeper import VERSION, Refusal
from staffetta.keeper.children import Children, Result, Ticket
from staffetta.keeper.config import Config, parse_socket, write_atomically
from staffetta.keeper.generations import Program
from staffetta.keeper.loop import Loop, log
from staffetta.keeper.privileged import Machine, claim_address, erase_data, release_address
from staffetta.keeper.sockets import ListeningSockets, Openings
from staffetta.keeper.states import State
from staffetta.keeper.verbs import GENERATION, Asked, check_arguments

FAREWELL_SECONDS = 1.0  # in which whoever asked for everything to stop can still tell its user


class Keeper:
    """One appliance's keeper. `run` returns the exit status."""

    def __init__(self, config: Config, machine: Machine) -> None:
        self.config, self.machine, self.root = config, machine, config.root
        self.loop = Loop()
        self.listening = ListeningSockets()
        self.stopping_for: str | None = None  # "leave", "power-off" or "erase"
        self._asked_to_stop: tuple[float, str] | None = None  # when to stop, and what for
        self._erasing: Path = self.root / "keeper" / "erasing"
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.children = Children(self.config, self.loop, self.listening, self._serve)
        self.openings = Openings(self.config, self.listening)

    def run(self) -> int:
        """Serve until SIGTERM, SIGINT or the verb `shutdown`."""
        self.loop.catch_signals(lambda: self._stop("leave"))
        if self._erasing.exists():
            self._erase()
        self._boot()
        while True:
            if self.stopping_for and not self.children.all():
                if self.stopping_for != "erase":
                    return self._leave()
                self._erase()
                self._boot()
            times = [self.children.next_deadline(), self.openings.next_deadline()]
            times += [self._asked_to_stop[0]] if self._asked_to_stop else []
            self.loop.turn(min((due for due in times if due is not None), default=None))
            now = time.monotonic()
            if self._asked_to_stop and now >= self._asked_to_stop[0]:
                self._stop(self._asked_to_stop[1])
            self.children.tick(now)
            self._open_sockets(now)

    def _boot(self) -> None:
        for name in ("run", "logs"):
            (self.root / name).mkdir(mode=0o755, exist_ok=True)
        for left in (self.root / "run").iterdir():
            if GENERATION.fullmatch(left.name):
                self.children.launcher.remove_run_directory(left.name)
        self.openings.begin(time.monotonic())
        self._open_sockets(time.monotonic())
        for program in self.children.programs.values():
            version = self.children.launcher.current(program.name)
            if version is None:
                log("info", "has no current release", program=program.name)
                continue
            try:
                self.children.start(program, version, confirmed=True)
            except (Refusal, OSError) as error:
                log("error", f"current cannot be started: {error}", program=program.name)

    def _open_sockets(self, now: float) -> None:
        for opened, refusal in self.openings.attempt(now):
            if refusal:
                log("error", f"socket {opened.spec.name} was not opened: {refusal}")
            else:
                self._sockets_changed(opened.spec.program, opened.spec.process)
            if isinstance(opened.ticket, Ticket):
                self.children.answer(opened.ticket, refusal or {})

    def _sockets_changed(self, program: str, process: str) -> None:
        self.children.programs[program].sockets_changed(process)
        self.children.act(self.children.programs[program])

    # --- leaving, and starting as delivered

    def _stop(self, purpose: str) -> None:
        self._asked_to_stop = None
        if self.stopping_for is None:
            log("info", f"stopping every process ({purpose})")
            self.stopping_for = purpose
            self.children.stop_all()
        elif purpose == "leave" and self.stopping_for == "erase":
            self.stopping_for = purpose  # the mark is set: the next start erases before anything else

    def _leave(self) -> int:
        self.listening.close_all()
        if self.stopping_for == "power-off":
            os.sync()
            if self.config.owns_machine:
                self.machine.power_off()
        log("info", "left")
        return 0

    def _erase(self) -> None:
        log("warning", "erasing the data of base and site")
        self.listening.close_all()
        erase_data(self.root)
        self._erasing.unlink()
        self.stopping_for = None
        self._start_afresh()

    # --- the verbs; what returns None is answered later

    def _serve(self, ticket: Ticket, asked: Asked) -> None:
        child = ticket.child
        try:
            if (child.program.name, child.name) != self.config.verb_holder:
                raise Refusal("forbidden", f"Only {' '.join(self.config.verb_holder)} may use verbs.")
            verb, arguments = check_arguments(asked.verb, asked.args)
            self._check_rights(ticket, verb, arguments)
            serve: Callable[..., Result | None] = getattr(self, f"_verb_{verb}")
            result = serve(ticket, **arguments)
        except Refusal as refusal:
            result = refusal
        except (OSError, subprocess.SubprocessError) as error:
            result = Refusal("failed", str(error)[:300])
        if result is not None:
            self.children.answer(ticket, result)

    def _check_rights(self, ticket: Ticket, verb: str, arguments: dict[str, Any]) -> None:
        if verb == "status":
            return
        child = ticket.child
        state = self.children.programs[child.program.name].generations[child.generation].state
        if state not in (State.ACTIVE, State.RESERVE):
            raise Refusal("forbidden", "A generation that is not proven, or is leaving, may only ask for status.")
        if arguments.get("program", child.program.name) not in self.children.programs:
            raise Refusal("unknown-program", f"There is no program {arguments['program']}.")
        if self.stopping_for or self._asked_to_stop:
            raise Refusal("stopping", "Keeper is stopping.")
        log("info", f"asked to {verb}", generation=child.generation, arguments=arguments)

    def _verb_status(self, _: Ticket) -> dict[str, object]:
        return {
            "keeper": {"version": VERSION, "pid": os.getpid()},
            "programs": {name: self._describe(program) for name, program in self.children.programs.items()},
            "sockets": [spec.described() for spec in self.listening.specs()],
        }

    def _describe(self, program: Program) -> dict[str, object]:
        return {
            "current": self.children.launcher.current(program.name),
            "active": program.active.id if program.active else None,
            "generations": [
                {
                    "id": generation.id,
                    "version": generation.version,
                    "state": generation.state,
                    "confirmed": generation.confirmed,
                    "failure": generation.failure,
                    "processes": [
                        {
                            "name": process.name,
                            "pid": child.popen.pid if child else None,
                            "ready": process.ready,
                            "restarts": process.restarts,
                        }
                        for process in generation.processes.values()
                        for child in [self.children.processes.get((generation.id, process.name))]
                    ],
                }
                for generation in program.generations.values()
            ],
        }

    def _verb_start(self, _: Ticket, program: str, version: str) -> Result:
        return {"generation": self.children.start(self.children.programs[program], version, confirmed=False)}

    def _verb_activate(self, ticket: Ticket, program: str, generation: str) -> None:
        self.children.programs[program].activate(generation, ticket, time.monotonic())
        self.children.act(self.children.programs[program])

    def _verb_confirm(self, _: Ticket, program: str, generation: str) -> Result:
        self.children.programs[program].confirm(generation, time.monotonic())
        self.children.act(self.children.programs[program])
        return {}

    def _verb_go_back(self, _: Ticket, program: str) -> Result:
        self.children.programs[program].go_back(time.monotonic())
        self.children.act(self.children.programs[program])
        return {}

    def _verb_stop(self, _: Ticket, program: str, generation: str) -> Result:
        self.children.programs[program].stop(generation, time.monotonic())
        self.children.act(self.children.programs[program])
        return {}

    def _verb_task(self, ticket: Ticket, program: str, version: str, task: str) -> None:
        self.children.run_task(program, version, task, ticket)

    def _verb_listen(
        self,
        ticket: Ticket,
        name: str,
        program: str,
        process: str,
        address: str,
        port: int | None = None,
        persist: bool = False,
        options: dict[str, object] | None = None,
    ) -> None:
        described = {"name": name, "program": program, "process": process, "address": address, "port": port}
        spec = parse_socket(described | (options or {}), self.root, self.config.programs)
        self.openings.ask(spec, persist, ticket, time.monotonic())
        self._open_sockets(time.monotonic())

    def _verb_unlisten(self, _: Ticket, name: str) -> Result:
        spec, waiting = self.openings.close(name)
        if isinstance(waiting, Ticket):
            self.children.answer(waiting, Refusal("closed", f"Socket {name} was closed before it was open."))
        self._sockets_changed(spec.program, spec.process)
        return {}

    def _verb_steer(self, _: Ticket, name: str, share: int) -> Result:
        self.listening.steer(name, share)
        return {}

    def _verb_claim_address(self, _: Ticket, interface: str, address: str) -> Result:
        claim_address(interface, address)
        return {}

    def _verb_release_address(self, _: Ticket, interface: str, address: str) -> Result:
        release_address(interface, address)
        return {}

    def _verb_set_clock(self, _: Ticket, seconds: float) -> Result:
        if not self.config.owns_machine:
            raise Refusal("not-owner", "This appliance shares its machine; the clock is set by the machine's owner.")
        self.machine.set_clock(seconds)
        return {}

    def _verb_shutdown(self, _: Ticket) -> Result:
        self._asked_to_stop = (time.monotonic() + FAREWELL_SECONDS, "power-off")
        return {}

    def _verb_erase(self, _: Ticket, confirmation: str) -> Result:
        if confirmation != self.config.appliance:
            raise Refusal("not-confirmed", "Erasing must be confirmed with the appliance's name.")
        write_atomically(self._erasing, b"")
        self._asked_to_stop = (time.monotonic() + FAREWELL_SECONDS, "erase")
        return {}
