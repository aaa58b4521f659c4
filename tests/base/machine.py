"""A simulated appliance around the real runner: real journal, releases, packages and signatures; keeper in memory.

Processes of base are objects here; killing one means: its runner dies where it stands, its locks are dropped, keeper
starts another in its place. What is on the disk is all that the next one knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from staffetta.base.errors import NotYet
from staffetta.base.installs.journal import InstallJournal
from staffetta.base.installs.plan import Effect, Facts, Limits
from staffetta.base.installs.record import JobRecord
from staffetta.base.installs.service import Installs, Outcome, Progress, Wanted
from staffetta.base.installs.steps import ApplianceSteps
from staffetta.base.service.process import read_installed
from staffetta.base.updates.service import UpdateService
from staffetta.control.child import KeeperRefused
from staffetta.control.measures import SiteMeasures
from staffetta.control.paths import AppliancePaths
from staffetta.control.private import BadPrivateAnswer, Check, PrivateUnreachable, Proof
from staffetta.control.private import Facts as PrivateFacts
from staffetta.control.verbs import GenerationState as Reported
from staffetta.control.verbs import (
    GenerationStatus,
    KeeperStatus,
    ListenOptions,
    ProcessStatus,
    ProgramStatus,
    SocketStatus,
    TaskResult,
)
from staffetta.kernel.errors import Refused
from staffetta.packages import Kind, Version
from staffetta.releases import ReleaseTree
from vendor.publisher import NOW

from .simulated import Behaviour, SimulatedKeeper

PLAIN = ListenOptions()
FAST = Limits(poll_seconds=0.001, retry_seconds=0.002)


class Killed(BaseException):
    """The process dies here."""


@dataclass
class KillingGate:
    """Counts passages of the journal and kills at one of them."""

    kill_at: int | None = None
    passed: int = 0
    names: list[str] = field(default_factory=list)

    def pass_through(self, journal: str, when: Literal["before", "after"], entry: Mapping[str, Any]) -> None:
        number, self.passed = self.passed, self.passed + 1
        self.names.append(f"{when} {entry.get('step', entry['type'])}")
        if number == self.kill_at:
            raise Killed(self.names[-1])


class WatchedSteps:
    """The real steps, writing down what was done and that nothing unproven or living was touched."""

    def __init__(self, machine: Machine, steps: ApplianceSteps) -> None:
        self._machine = machine
        self._steps = steps

    async def facts(self, job: JobRecord) -> Facts:
        return await self._steps.facts(job)

    async def do(self, effect: Effect, job: JobRecord, generation: str | None, progress: Progress) -> Outcome:
        outcome = await self._steps.do(effect, job, generation, progress)
        self._machine.done.append((effect, generation))
        return outcome


class Machine:
    """One appliance with the releases it starts with, and a bundle of packages to install."""

    def __init__(
        self,
        folder: Path,
        root: bytes,
        installed: Mapping[Kind, Path],
        behaviours: Mapping[Version, Behaviour] | None = None,
    ) -> None:
        self.paths = AppliancePaths(folder)
        for place in ("base/journal", "base/trust", "base/packages/uploads", "releases/base", "releases/site", "run"):
            (folder / place).mkdir(parents=True)
        self.trees = {kind: ReleaseTree(self.paths.releases(kind.value)) for kind in (Kind.BASE, Kind.SITE)}
        for kind, release in installed.items():
            link = self.trees[kind].root / release.name
            release.rename(link)
            self.trees[kind].flip(Version(release.name))
        self.keepers = {
            kind: SimulatedKeeper(kind, tree.current, dict(behaviours or {})) for kind, tree in self.trees.items()
        }
        for keeper in self.keepers.values():
            keeper.restart()
        self.root = root
        self.gate = KillingGate()
        self.done: list[tuple[Effect, str | None]] = []
        self.proved: set[str] = set()
        self.failing_task = ""
        self.site_database_bytes: int | None = None
        self.silent_answers = 0
        self.tasks_run: list[tuple[str, str, str]] = []
        self.sockets: list[SocketStatus] = []
        self.asked: list[str] = []
        self.role: str | None = None
        self.measured: SiteMeasures | None = None
        self.role_term: int | None = None
        self.processes: dict[str, Installs] = {}
        self.holder: str | None = None
        self.switching = asyncio.Lock()
        self.background: set[asyncio.Task[None]] = set()

    def updates(self) -> UpdateService:
        return UpdateService(
            self.paths.base,
            self.root,
            "http://127.0.0.1:1",
            lambda: read_installed(self.paths),
            clock=lambda: NOW,
        )

    def _process(self) -> Installs:
        journal = InstallJournal(self.paths.base / "journal", self.gate)
        return Installs(journal, WatchedSteps(self, ApplianceSteps(self.paths, self, self, self.updates())), FAST)

    # Keeper, as the steps ask it

    async def status(self) -> KeeperStatus:
        for keeper in self.keepers.values():
            keeper.tick()
        self._settle()
        return KeeperStatus("1", 1, {kind.value: self._program(kind) for kind in self.keepers}, tuple(self.sockets))

    async def start(self, program: str, version: str) -> str:
        assert (self.trees[Kind(program)].root / version / "manifest.json").exists()
        return self.keepers[Kind(program)].start(Version(version))

    async def activate(self, program: str, generation: str) -> None:
        assert generation in self.proved, "an unproven generation got the sockets"
        self._ask(lambda: self.keepers[Kind(program)].activate(generation))
        self._settle()
        await asyncio.sleep(0.002)  # the answer comes after the switch

    async def confirm(self, program: str, generation: str) -> None:
        self._ask(lambda: self.keepers[Kind(program)].confirm(generation))

    async def go_back(self, program: str) -> None:
        self._ask(self.keepers[Kind(program)].go_back)
        self._settle()

    async def stop(self, program: str, generation: str) -> None:
        self._ask(lambda: self.keepers[Kind(program)].stop(generation))

    async def listen(
        self,
        name: str,
        program: str,
        process: str,
        address: str,
        port: int | None = None,
        persist: bool = False,
        options: ListenOptions = PLAIN,
    ) -> None:
        assert not persist, "keeper must not restore it"
        self.asked.append(f"listen {address}:{port} {sorted(options.to_json())}")
        if all(one.name != name for one in self.sockets):
            self.sockets.append(SocketStatus(name, program, process, address, port))

    async def unlisten(self, name: str) -> None:
        self.asked.append("unlisten")
        found = next((one for one in self.sockets if one.name == name), None)
        if found is None:
            raise KeeperRefused("unknown-socket", f"No socket {name} is open.")
        self.sockets.remove(found)

    async def steer(self, name: str, share: int) -> None:
        self.asked.append(f"steer {share}")
        assert any(one.name == name for one in self.sockets)

    async def claim_address(self, interface: str, address: str) -> None:
        self.asked.append(f"claim {address} on {interface}")

    async def release_address(self, interface: str, address: str) -> None:
        self.asked.append(f"release {address} on {interface}")

    async def task(self, program: str, version: str, task: str) -> TaskResult:
        self.tasks_run.append((program, version, task))
        if task == self.failing_task:
            return TaskResult(7, '{"error": "x", "message": "The table is odd."}\n')
        return TaskResult(0, '{"ok": true}\n')

    # Private sockets, as the steps ask them

    async def prove(self, socket_path: Path, seconds: float, /) -> Proof:
        generation = socket_path.parent.name
        program = Kind(generation.partition("-")[0])
        version = next(one.version for one in self.keepers[program].generations if one.id == generation)
        if self.keepers[program].behaviours.get(version) is Behaviour.FAILS_PROBE:
            return Proof.of((Check("records", False, "a record cannot be written", 1.0),))
        self.proved.add(generation)
        return Proof.of((Check("records", True, "written and read", 1.0),))

    async def facts(self, socket_path: Path, seconds: float, /) -> PrivateFacts:
        if self.silent_answers:
            self.silent_answers -= 1
            raise PrivateUnreachable("The site does not answer.")
        return PrivateFacts(
            program="site",
            generation=socket_path.parent.name,
            version="1",
            database_bytes=self.site_database_bytes,
            role=self.role,
            role_term=self.role_term,
            first_password=True,
        )

    async def measures(self, socket_path: Path, seconds: float, /) -> SiteMeasures:
        if self.measured is None:
            raise BadPrivateAnswer("The site's release tells no numbers.")
        return self.measured

    # Life and death

    def run(self) -> None:
        """Start what keeper has active."""
        self._settle()

    async def work(self, wanted: Wanted, kill: str = "base", seconds: float = 30.0) -> JobRecord:
        """Begin a job and see it through, reviving what the gate kills."""
        async with asyncio.timeout(seconds):
            identifier: str | None = None
            while True:
                await asyncio.sleep(0.001)
                installs = self.processes.get(self.holder or "")
                if installs is None:
                    self._settle()
                    continue
                if installs.has_died:
                    self.kill_base(keeper_too=kill == "keeper")
                    continue
                if identifier is None:
                    identifier = await self._begin(installs, wanted, kill)
                    continue
                job = installs.journal.jobs.get(identifier)
                if job is not None and job.is_over:
                    return job

    async def _begin(self, installs: Installs, wanted: Wanted, kill: str) -> str | None:
        """None while it is not begun; a job that was written before the process died counts as begun."""
        try:
            return await installs.begin(wanted)
        except Refused:
            return None
        except Killed:
            self.kill_base(keeper_too=kill == "keeper")
            journal = InstallJournal(self.paths.base / "journal")
            journal.read()
            return next(iter(journal.jobs), None)
        except Exception as error:
            if getattr(error, "code", "") in ("moving", "job-under-way"):
                return None
            raise

    def kill_base(self, *, keeper_too: bool) -> None:
        """The active base dies as it stands; keeper starts its processes again, or everything starts again."""
        for identifier in list(self.processes) if keeper_too else [self.holder or ""]:
            installs = self.processes.pop(identifier, None)
            if installs is not None:
                # Nothing is written by this: locks drop as they do when a process dies.
                self._beside(installs.let_go())
        self.holder = None
        if keeper_too:
            for keeper in self.keepers.values():
                keeper.restart()
        self._settle()

    def _settle(self) -> None:
        """Whoever keeper has active holds the journal; the one before lets go. Runs beside whoever asked."""
        active = self.keepers[Kind.BASE].active
        if active is not None and active.id != self.holder:
            self._beside(self._hand_over(active.id))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def _hand_over(self, to: str) -> None:
        async with self.switching:
            active = self.keepers[Kind.BASE].active
            if active is None or active.id != to or self.holder == to:
                return
            former = self.processes.get(self.holder or "")
            if former is not None:
                await former.let_go()
            self.holder = to
            self.processes.setdefault(to, self._process()).take_over()

    async def close(self) -> None:
        async with self.switching:
            for installs in self.processes.values():
                with contextlib.suppress(Killed):
                    await installs.let_go()

    def _program(self, kind: Kind) -> ProgramStatus:
        keeper = self.keepers[kind]
        active = keeper.active
        return ProgramStatus(
            current=None,
            active=None if active is None else active.id,
            generations=tuple(
                GenerationStatus(
                    one.id,
                    str(one.version),
                    Reported(one.state.value),
                    one.confirmed,
                    one.failure,
                    (ProcessStatus("web", 1 if one.running else None, True, 0),),
                )
                for one in keeper.generations
            ),
        )

    @staticmethod
    def _ask(verb: Any) -> None:
        try:
            verb()
        except NotYet as error:
            raise KeeperRefused("busy", error.message) from error
        except Refused as error:
            raise KeeperRefused("refused", error.message) from error
