"""The runner with real journals, releases and signatures: killed before and after every write, it ends and is whole."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from staffetta.base.errors import JobUnderWay, RunnerEnded
from staffetta.base.installs.journal import JOURNAL_NAME, InstallJournal
from staffetta.base.installs.plan import Effect, GenerationState
from staffetta.base.installs.record import JobRecord
from staffetta.base.installs.service import Wanted
from staffetta.base.installs.states import STEPS, InstallState
from staffetta.control.appliance import EventKind, JobState
from staffetta.kernel.journal import read_journal
from staffetta.packages import Kind, Version
from staffetta.releases import ReleaseTree, open_bundle
from vendor.publisher import NOW, Publisher

from .machine import KillingGate, Machine
from .simulated import Behaviour, Simulated

OLD, NEW = Version("1.0"), Version("1.1")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GATES = 40
"""More passages than any fair job has; a test says so."""


class Workshop:
    """One publisher for all tests of this file, and machines made from what it published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.publisher = Publisher(folder / "vendor")
        for kind in (Kind.BASE, Kind.SITE):
            for version in (OLD, NEW):
                self.publisher.release(kind, str(version))
        self.bundles = {
            kind: self.publisher.bundle(f"{kind}/{kind}-{NEW}.tar.zst", output=f"{kind}.bundle")
            for kind in (Kind.BASE, Kind.SITE)
        }
        old = self.publisher.bundle(*(f"{kind}/{kind}-{OLD}.tar.zst" for kind in (Kind.BASE, Kind.SITE)), output="old")
        repository = open_bundle(old, folder / "trust", self.publisher.root)
        for info in repository.refresh(NOW):
            repository.download(info, folder / "package")
            ReleaseTree(folder / "old" / info.kind.value).stage(folder / "package", info)
        self.number = 0

    def machine(self, *, first: bool = False, behaviour: Behaviour = Behaviour.GOOD) -> Machine:
        self.number += 1
        place = self.folder / f"m{self.number}"
        installed = {}
        for kind in (Kind.BASE,) if first else (Kind.BASE, Kind.SITE):
            installed[kind] = self.folder / f"r{self.number}" / kind.value / str(OLD)
            shutil.copytree(self.folder / "old" / kind.value / str(OLD), installed[kind], symlinks=True)
        machine = Machine(place, self.publisher.root, installed, {NEW: behaviour})
        for kind, bundle in self.bundles.items():
            shutil.copy(bundle, place / "base/packages/uploads" / f"{kind}.bundle")
        return machine


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


MakeMachine = Callable[..., Awaitable[Machine]]


@pytest.fixture
async def make(workshop: Workshop) -> AsyncIterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def machine(*, first: bool = False, behaviour: Behaviour = Behaviour.GOOD) -> Machine:
        one = workshop.machine(first=first, behaviour=behaviour)
        made.append(one)
        one.run()
        return one

    yield machine
    for one in made:
        await one.close()
        shutil.rmtree(one.paths.root)


def wanted(kind: Kind, *, first: bool = False) -> Wanted:
    target = f"{kind}/{kind}-{NEW}.tar.zst"
    return Wanted(kind, target, NEW, None if first else OLD, "ann", f"{kind}.bundle")


def check_end(machine: Machine, job: JobRecord, kind: Kind, *, first: bool = False) -> None:
    """The end is one of two, whole, and every effect that shows was done once."""
    tree = machine.trees[kind]
    entries = read_journal(machine.paths.base / "journal" / "installs.jsonl")
    assert [entry.data["type"] for entry in entries].count("job") == 1
    assert not machine.updates().download_path(job).exists()
    once = [one for one in machine.done if one[0] in (Effect.FETCH, Effect.STAGE, Effect.ACTIVATE, Effect.FLIP)]
    assert len(once) == len(set(once)), once
    if job.state is InstallState.COMMITTED:
        assert tree.current() == NEW
        active = machine.keepers[kind].active
        assert active is None or active.version == NEW
        assert set(tree.versions()) == ({NEW} if first else {OLD, NEW})
    else:
        assert job.state is InstallState.UNDONE
        assert tree.current() == (None if first else OLD)
        assert NEW not in tree.versions()
        assert not [one for one in machine.keepers[kind].facts() if one.version == NEW and one.is_living]
        if not first:
            active = machine.keepers[kind].active
            assert active is not None
            assert active.version == OLD


@pytest.mark.req("U9", "U10")
@pytest.mark.parametrize("first", [False, True])
async def test_a_site_is_installed_step_by_step(make: Callable[..., Machine], first: bool) -> None:
    machine = make(first=first)
    job = await machine.work(wanted(Kind.SITE, first=first))
    check_end(machine, job, Kind.SITE, first=first)
    assert job.state is InstallState.COMMITTED
    entries = read_journal(machine.paths.base / "journal" / "installs.jsonl")
    steps = ["verify", *(entry.data["step"] for entry in entries if entry.data["type"] == "step")]
    assert steps == [*(step.value for step in STEPS), "committed"]
    tasks = [("site", "1.0", "snapshot"), ("site", "1.1", "migrate")]
    assert machine.tasks_run == (tasks[1:] if first else tasks)
    assert len(entries) * 2 < GATES


@pytest.mark.req("U10")
async def test_what_is_still_running_is_not_pruned(make: Callable[..., Machine]) -> None:
    machine = make()
    tree = machine.trees[Kind.SITE]
    for version in ("0.8", "0.9"):
        (tree.root / version).mkdir()
    draining = Simulated("site-0", Version("0.9"), GenerationState.DRAINING, confirmed=True, age=-(10**6))
    machine.keepers[Kind.SITE].generations.append(draining)
    job = await machine.work(wanted(Kind.SITE))
    assert job.state is InstallState.COMMITTED
    assert tree.versions() == (Version("0.9"), OLD, NEW)


@pytest.mark.req("U10")
@pytest.mark.parametrize("kill", ["base", "keeper"])
@pytest.mark.parametrize("kind", [Kind.SITE, Kind.BASE])
async def test_killed_at_any_write_the_next_start_finishes(make: Callable[..., Machine], kind: Kind, kill: str) -> None:
    for point in range(GATES):
        machine = make()
        machine.gate.kill_at = point
        job = await machine.work(wanted(kind), kill)
        check_end(machine, job, kind)
        assert job.state is InstallState.COMMITTED, machine.gate.names
        await machine.close()
        if machine.gate.passed <= point:
            return
    raise AssertionError("a job has more writes than this test kills at")


@pytest.mark.req("U10")
@pytest.mark.parametrize("kind", [Kind.SITE, Kind.BASE])
async def test_killed_while_it_undoes_the_next_start_undoes(make: Callable[..., Machine], kind: Kind) -> None:
    undoing = 0
    for point in range(16, GATES):
        machine = make(behaviour=Behaviour.CRASHES_WHEN_ACTIVE)
        for keeper in machine.keepers.values():
            keeper.behaviours[NEW] = Behaviour.FAILS_PROBE
        machine.gate.kill_at = point
        job = await machine.work(wanted(kind))
        check_end(machine, job, kind)
        assert job.state is InstallState.UNDONE
        assert "did not prove itself: records: a record cannot be written" in (job.reason or "")
        assert machine.keepers[kind].activations == []
        await machine.close()
        if machine.gate.passed <= point:
            break
        undoing += machine.gate.names[point].endswith(("undo", "undone"))
    assert undoing == 4


@pytest.mark.req("U10")
async def test_room_for_the_copy_of_the_sites_database_is_asked_for_before_anything_is_fetched(
    make: Callable[..., Machine],
) -> None:
    machine = make()
    machine.site_database_bytes = 10**15
    job = await machine.work(wanted(Kind.SITE))
    check_end(machine, job, Kind.SITE)
    assert job.state is InstallState.UNDONE
    assert "free" in (job.reason or "")
    assert Effect.FETCH not in [effect for effect, _ in machine.done]
    assert machine.tasks_run == []


@pytest.mark.req("U10")
async def test_a_site_that_does_not_answer_may_still_be_mended_by_an_update(make: Callable[..., Machine]) -> None:
    machine = make()
    machine.silent_answers = 1
    job = await machine.work(wanted(Kind.SITE))
    check_end(machine, job, Kind.SITE)
    assert job.state is InstallState.COMMITTED
    assert machine.silent_answers == 0


@pytest.mark.req("U10")
@pytest.mark.parametrize("kind", [Kind.SITE, Kind.BASE])
@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour.CRASHES_AT_START, "web exited with status 1"),
        (Behaviour.FAILS_PROBE, "did not prove itself"),
    ],
)
async def test_an_unhealthy_release_never_gets_a_socket(
    make: Callable[..., Machine], kind: Kind, behaviour: Behaviour, reason: str
) -> None:
    machine = make(behaviour=behaviour)
    before = machine.keepers[kind].active
    job = await machine.work(wanted(kind))
    check_end(machine, job, kind)
    assert job.state is InstallState.UNDONE
    assert reason in (job.reason or "")
    assert machine.keepers[kind].activations == []
    assert machine.keepers[kind].active is before, "the old one was stopped"


@pytest.mark.req("U10")
async def test_a_release_that_fails_once_it_is_active_is_taken_back(make: Callable[..., Machine]) -> None:
    """Keeper takes it back by itself; whoever holds the journal then sees it and undoes."""
    machine = make()
    keeper = machine.keepers[Kind.BASE]
    confirm = keeper.confirm

    def crash(identifier: str) -> None:
        keeper.crash(identifier)
        confirm(identifier)

    keeper.confirm = crash  # type: ignore[method-assign]
    job = await machine.work(wanted(Kind.BASE))
    check_end(machine, job, Kind.BASE)
    assert job.state is InstallState.UNDONE
    assert keeper.activations


@pytest.mark.req("U3")
async def test_events_go_on_after_base_itself_was_replaced(make: Callable[..., Machine]) -> None:
    machine = make()
    while machine.holder is None or not machine.processes[machine.holder].journal.is_held:
        await asyncio.sleep(0.001)
    old = machine.processes[machine.holder]
    identifier = await old.begin(wanted(Kind.BASE))
    with pytest.raises(JobUnderWay, match=r"base 1\.1 is being installed"):
        await old.begin(wanted(Kind.SITE))
    seen = [event async for event in old.feed.watch(identifier, 0) if event is not None]
    kept = [event for event in seen if event.sequence is not None]
    assert seen[-1].kind is EventKind.MOVED
    assert kept[-1].step == "activate"
    while machine.processes.get(machine.holder or "", old) is old:
        await asyncio.sleep(0.001)
    new = machine.processes[machine.holder]
    rest = [event async for event in new.feed.watch(identifier, kept[-1].sequence or 0) if event is not None]
    told = [event.sequence for event in (*kept, *rest) if event.sequence is not None]
    assert told == list(range(1, len(told) + 1))
    assert rest[-1].kind is EventKind.ENDED
    assert rest[-1].state is JobState.COMMITTED
    again = [event async for event in new.feed.watch(identifier, told[-1]) if event is not None]
    assert [event.kind for event in again] == [EventKind.ENDED]


async def test_a_damaged_package_is_refused_before_anything_is_changed(make: Callable[..., Machine]) -> None:
    machine = make()
    bundle = machine.paths.base / "packages/uploads/site.bundle"
    data = bytearray(bundle.read_bytes())
    data[data.index(ZSTD_MAGIC) + 300] ^= 1
    bundle.write_bytes(data)
    job = await machine.work(wanted(Kind.SITE))
    check_end(machine, job, Kind.SITE)
    assert job.state is InstallState.UNDONE
    assert "is not what was signed" in (job.reason or "")
    assert machine.tasks_run == []


def test_the_gate_can_kill() -> None:
    gate = KillingGate(kill_at=1)
    gate.pass_through("installs", "before", {"type": "job"})
    with pytest.raises(BaseException, match="after job"):
        gate.pass_through("installs", "after", {"type": "job"})


@pytest.mark.req("U10")
async def test_a_damaged_journal_is_said_and_nothing_is_installed(make: Callable[..., Machine]) -> None:
    machine = make()
    (machine.paths.base / "journal" / "installs.jsonl").write_text('{"type":\n{"type":"job"}\n')
    while machine.holder is None or not machine.processes[machine.holder].has_died:
        await asyncio.sleep(0.001)
    with pytest.raises(RunnerEnded, match="support bundle"):
        await machine.processes[machine.holder].begin(wanted(Kind.SITE))


@pytest.mark.req("U10")
@pytest.mark.parametrize("task", ["snapshot", "migrate"])
async def test_a_task_that_fails_undoes_the_job_with_its_reason(make: Callable[..., Machine], task: str) -> None:
    machine = make()
    machine.failing_task = task
    job = await machine.work(wanted(Kind.SITE))
    check_end(machine, job, Kind.SITE)
    assert job.state is InstallState.UNDONE
    assert f"({task} ended with status 7): The table is odd." in (job.reason or "")
    assert not [one for one in machine.keepers[Kind.SITE].generations if one.version == NEW]


async def test_a_job_is_written_while_every_thread_of_the_loop_is_taken(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    release = threading.Event()
    taken = loop.run_in_executor(None, release.wait)
    journal = InstallJournal(tmp_path)
    await journal.take()
    try:
        async with asyncio.timeout(10):
            await journal.begin(JobRecord("job-1", Kind.SITE, "t", NEW, OLD, "ann", NOW, None))
    finally:
        release.set()
        await taken
        await journal.let_go()
    assert len(read_journal(tmp_path / JOURNAL_NAME)) == 1
