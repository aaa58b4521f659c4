"""The hands and eyes of the install runner: every effect of the plan, and the facts it decides by.

Each effect may be done twice, and may be killed in the middle: what it leaves is a fact the plan sees. Slow work on
files runs in a thread; the loop goes on answering keeper meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from staffetta.base.errors import NotYet, StepFailed
from staffetta.base.installs.plan import Effect, Facts, GenerationFact, GenerationState
from staffetta.base.installs.record import JobRecord
from staffetta.base.installs.service import Outcome, Progress
from staffetta.base.installs.states import InstallState
from staffetta.control.child import KeeperRefused
from staffetta.control.measures import SiteMeasures
from staffetta.control.paths import AppliancePaths
from staffetta.control.private import BadPrivateAnswer, PrivateUnreachable, Proof
from staffetta.control.private import Facts as PrivateFacts
from staffetta.control.verbs import GenerationStatus, KeeperStatus, TaskResult
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.files import sha256_of
from staffetta.packages import Kind, PackageInfo, Version, parse_version
from staffetta.releases import ReleaseTree
from staffetta.releases.preflight import check_platform

_SHOWN_OUTPUT: Final = 400
"""So much of the last line of a task goes into the reason why its step failed."""


class Keeper(Protocol):
    """The verbs of keeper that installs use (`control.verbs.KeeperVerbs`)."""

    async def status(self) -> KeeperStatus: ...
    async def start(self, program: str, version: str) -> str: ...
    async def activate(self, program: str, generation: str) -> None: ...
    async def confirm(self, program: str, generation: str) -> None: ...
    async def go_back(self, program: str) -> None: ...
    async def stop(self, program: str, generation: str) -> None: ...
    async def task(self, program: str, version: str, task: str) -> TaskResult: ...


class Probe(Protocol):
    """How a generation is asked on its private socket (`control.private`)."""

    async def prove(self, socket_path: Path, seconds: float, /) -> Proof: ...
    async def facts(self, socket_path: Path, seconds: float, /) -> PrivateFacts: ...
    async def measures(self, socket_path: Path, seconds: float, /) -> SiteMeasures: ...


class Packages(Protocol):
    """Where packages come from (`updates.service`); every method is for a thread."""

    def verify(self, job: JobRecord) -> PackageInfo: ...
    def fetch(self, job: JobRecord, destination: Path, progress: Progress) -> None: ...
    def download_path(self, job: JobRecord) -> Path: ...


@dataclass(frozen=True, slots=True)
class StepTimes:
    """How long the new generation may take to answer, in seconds."""

    prove: float = 45.0
    answer: float = 5.0


class ApplianceSteps:
    """Effects and facts on a real appliance."""

    def __init__(
        self,
        paths: AppliancePaths,
        keeper: Keeper,
        probe: Probe,
        packages: Packages,
        times: StepTimes | None = None,
    ) -> None:
        self._paths = paths
        self._keeper = keeper
        self._probe = probe
        self._packages = packages
        self._times = times or StepTimes()
        self._trees: Mapping[Kind, ReleaseTree] = {
            kind: ReleaseTree(paths.releases(kind.value)) for kind in (Kind.BASE, Kind.SITE)
        }

    async def facts(self, job: JobRecord) -> Facts:
        """What is now. Raises KeeperUnreachable or OSError."""
        generations = await self._generations(job)
        return await asyncio.to_thread(self._facts, job, generations)

    async def do(self, effect: Effect, job: JobRecord, generation: str | None, progress: Progress) -> Outcome:
        """Do one thing. Raises what its step shows as the reason, or NotYet."""
        match effect:
            case Effect.VERIFY:
                return Outcome(package=await asyncio.to_thread(self._verify, job))
            case Effect.PROVE:
                assert generation is not None
                await self._prove(generation)
                return Outcome(proved=generation)
            case Effect.RESERVE:
                await self._reserve(job)
            case Effect.SNAPSHOT:
                assert job.previous is not None
                await self._task(job, job.previous, "snapshot", "The copy of the database could not be made")
            case Effect.MIGRATE:
                await self._task(job, job.version, "migrate", "The database could not be extended")
            case Effect.START | Effect.ACTIVATE | Effect.CONFIRM | Effect.GO_BACK | Effect.STOP:
                await self._ask_keeper(effect, job, generation)
            case Effect.PRUNE | Effect.CLEAR:
                # Looked at just now, again: nothing that runs is removed.
                await asyncio.to_thread(self._remove, effect, job, await self._generations(job))
            case _:
                await asyncio.to_thread(self._on_disk, effect, job, progress)
        return Outcome()

    async def _generations(self, job: JobRecord) -> tuple[GenerationFact, ...]:
        status = await self._keeper.status()
        program = status.programs.get(job.program.value)
        return () if program is None else tuple(_fact(each) for each in program.generations)

    def _facts(self, job: JobRecord, generations: tuple[GenerationFact, ...]) -> Facts:
        tree, download = self._trees[job.program], self._packages.download_path(job)
        leftovers = fetched = False
        if job.state is InstallState.DOWNLOAD:
            fetched = _is_package(download, job.package)
        elif job.state in (InstallState.PRUNE, InstallState.UNDO):
            leftovers = download.exists()
        if job.state is InstallState.PRUNE:
            leftovers = leftovers or bool(set(tree.versions()) - _kept(job, generations) - {tree.current()})
        return Facts(
            current=tree.current(),
            staged=job.version in tree.versions(),
            fetched=fetched,
            leftovers=leftovers,
            generations=generations,
        )

    def _verify(self, job: JobRecord) -> PackageInfo:
        info = self._packages.verify(job)
        if (info.kind, info.version) != (job.program, job.version):
            raise StepFailed(f"{job.target} is now signed as {info.kind} {info.version}. Check for updates again.")
        check_platform(info)
        return info

    async def _reserve(self, job: JobRecord) -> None:
        """Refuse now what would not fit later: the package, what it unpacks to, and the copy of the database (U10)."""
        info, copy = _verified(job), await self._database_bytes(job)
        self._packages.download_path(job).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._trees[job.program].reserve, info.size + info.installed_size + copy)

    async def _database_bytes(self, job: JobRecord) -> int:
        """What the copy will take. Base may not read the site's data, so it asks the generation that runs.

        A first site, one that does not answer (the update may be what mends it) and a release that does not say count
        for nothing here; the copy itself looks at the disk again.
        """
        if job.program is Kind.BASE:
            database = self._paths.base / "base.sqlite3"
            return database.stat().st_size if database.exists() else 0
        for each in await self._generations(job):
            if each.state is GenerationState.ACTIVE:
                with contextlib.suppress(PrivateUnreachable, BadPrivateAnswer):
                    facts = await self._probe.facts(self._paths.private_socket(each.id), self._times.answer)
                    return facts.database_bytes or 0
        return 0

    def _on_disk(self, effect: Effect, job: JobRecord, progress: Progress) -> None:
        tree, download, info = self._trees[job.program], self._packages.download_path(job), _verified(job)
        match effect:
            case Effect.FETCH:
                self._packages.fetch(job, download, progress)
            case Effect.STAGE:
                tree.stage(download, info, progress)
            case Effect.CHECK:
                tree.check(job.version, progress)
            case Effect.FLIP:
                tree.flip(job.version)
            case _:
                raise AssertionError(effect)

    def _remove(self, effect: Effect, job: JobRecord, generations: tuple[GenerationFact, ...]) -> None:
        tree, download = self._trees[job.program], self._packages.download_path(job)
        for path in (download, download.with_name(f"{download.name}.part")):
            path.unlink(missing_ok=True)
        if effect is Effect.PRUNE:
            tree.prune(_kept(job, generations))
        elif job.version in tree.versions() and not any(
            each.is_living and each.version == job.version for each in generations
        ):
            tree.remove(job.version)

    async def _prove(self, generation: str) -> None:
        try:
            proof = await self._probe.prove(self._paths.private_socket(generation), self._times.prove)
        except StaffettaError as error:
            raise StepFailed(f"The new version does not answer its probe: {error.message}") from error
        if not proof.ok:
            wrong = "; ".join(f"{check.name}: {check.detail.rstrip('.')}" for check in proof.checks if not check.ok)
            raise StepFailed(f"The new version did not prove itself: {wrong or 'it showed nothing'}.")

    async def _task(self, job: JobRecord, version: Version, task: str, trouble: str) -> None:
        try:
            result = await self._keeper.task(job.program.value, str(version), task)
        except KeeperRefused as error:
            if error.code == "busy":
                raise NotYet(error.message) from error
            raise
        if result.exit != 0:
            said = _reason(result.output) or f"see the log {job.program}-{task}.log"
            raise StepFailed(f"{trouble} ({task} ended with status {result.exit}): {said}")

    async def _ask_keeper(self, effect: Effect, job: JobRecord, generation: str | None) -> None:
        program, own = job.program.value, generation or ""
        try:
            match effect:
                case Effect.START:
                    await self._keeper.start(program, str(job.version))
                case Effect.ACTIVATE:
                    await self._keeper.activate(program, own)
                case Effect.CONFIRM:
                    # It answered its probe before it had the sockets; it must still answer now that it has them.
                    await self._probe.facts(self._paths.private_socket(own), self._times.answer)
                    await self._keeper.confirm(program, own)
                case Effect.GO_BACK:
                    await self._keeper.go_back(program)
                case _:
                    await self._keeper.stop(program, own)
        except KeeperRefused as error:
            if error.code == "busy":
                raise NotYet(error.message) from error
            if error.code in ("unknown-generation", "nothing-to-go-back") and effect in (Effect.GO_BACK, Effect.STOP):
                return
            raise


def _verified(job: JobRecord) -> PackageInfo:
    if job.package is None:
        raise StepFailed("What was verified is not in the install journal; install the package again.")
    return job.package


def _reason(output: str) -> str:
    """Why a task failed: its last line is JSON with `message` if it could still say it."""
    last = output.strip().rpartition("\n")[2][-_SHOWN_OUTPUT:]
    try:
        fields = json.loads(last)
    except ValueError:
        return last
    message = fields.get("message") if isinstance(fields, dict) else None
    return message if isinstance(message, str) else last


def _fact(status: GenerationStatus) -> GenerationFact:
    return GenerationFact(
        id=status.id,
        version=parse_version(status.version),
        state=GenerationState(status.state.value),
        confirmed=status.confirmed,
        failure=status.failure,
        running=any(process.pid is not None for process in status.processes),
    )


def _kept(job: JobRecord, generations: tuple[GenerationFact, ...]) -> set[Version]:
    previous = set() if job.previous is None else {job.previous}
    return previous | {job.version} | {each.version for each in generations if each.is_living}


def _is_package(path: Path, info: PackageInfo | None) -> bool:
    if info is None or not path.is_file() or path.stat().st_size != info.size:
        return False
    return sha256_of(path) == info.sha256
