"""The install plan by itself: any history of results, kills and restarts ends committed or undone, and safely."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staffetta.base.errors import NotYet
from staffetta.base.installs.plan import (
    CLOSING,
    Act,
    Advance,
    Effect,
    Facts,
    GenerationFact,
    GenerationState,
    Limits,
    Wait,
    plan,
)
from staffetta.base.installs.record import JobRecord, apply, attempt_entry, job_entry, sentence, step_entry
from staffetta.base.installs.states import INSTALL, STEPS, InstallEvent, InstallState
from staffetta.control.verbs import GenerationState as Reported
from staffetta.kernel.errors import Refused
from staffetta.packages import Kind, Version

from .simulated import Behaviour, SimulatedKeeper

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OLD, NEW = Version("1.0"), Version("1.1")
LIMITS = Limits()
COMING = {GenerationState.STARTING, GenerationState.STANDBY, GenerationState.ACTIVE}
JOB = JobRecord("job-1", Kind.SITE, "site/site-1.1.tar.zst", NEW, OLD, "admin", NOW)


def test_the_table_is_complete_and_reachable() -> None:
    assert INSTALL.check() == []
    assert {*STEPS, InstallState.UNDO, InstallState.COMMITTED, InstallState.UNDONE} == set(INSTALL.states)


def test_every_state_has_a_sentence() -> None:
    for state in InstallState:
        for previous in (None, OLD):
            assert sentence(replace(JOB, state=state, previous=previous, attempts=2, reason="it is so.")).endswith(".")


def test_the_plan_knows_every_state_keeper_reports() -> None:
    assert [state.value for state in GenerationState] == [state.value for state in Reported]


class Chaos:
    """Draws what goes wrong; runs dry, so that every history has an end."""

    def __init__(self, draws: list[int]) -> None:
        self._draws = iter(draws)

    def draw(self) -> int:
        return next(self._draws, 99)


@dataclass
class World:
    """An appliance: disk and keeper survive base; keeper and base do not survive the power."""

    previous: Version | None
    behaviour: Behaviour
    disk: set[Version] = field(default_factory=set)
    current: Version | None = None
    fetched: bool = False
    probed: set[str] = field(default_factory=set)
    acts: list[tuple[Effect, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.current = self.previous
        if self.previous is not None:
            self.disk.add(self.previous)
        self.keeper = SimulatedKeeper(Kind.SITE, lambda: self.current, {NEW: self.behaviour})
        self.keeper.restart()

    def facts(self, failures: int, waited: float) -> Facts:
        return Facts(
            current=self.current,
            staged=NEW in self.disk,
            fetched=self.fetched,
            leftovers=self.fetched,
            generations=self.keeper.facts(),
            waited=waited,
            failures=failures,
        )

    def do(self, effect: Effect, generation: str | None) -> None:
        mine = [one for one in self.keeper.facts() if one.version == NEW]
        living = [one for one in mine if one.is_living]
        match effect:
            case Effect.FETCH:
                assert not self.fetched
                self.fetched = True
            case Effect.STAGE:
                assert NEW not in self.disk
                self.disk.add(NEW)
            case Effect.START:
                assert NEW in self.disk
                assert not [one for one in mine if one.state in COMING]
                self.keeper.start(NEW)
            case Effect.PROVE:
                assert generation is not None
                if self.behaviour is Behaviour.FAILS_PROBE:
                    raise Refused("it cannot write a record.")
                self.probed.add(generation)
            case Effect.ACTIVATE:
                assert generation in self.probed, "an unproven generation got the sockets"
                self.keeper.activate(generation)
            case Effect.CONFIRM:
                assert generation in self.probed
                self.keeper.confirm(generation)
            case Effect.FLIP:
                active = self.keeper.active
                assert active is not None
                assert active.version == NEW
                assert active.confirmed
                self.current = NEW
            case Effect.GO_BACK:
                self.keeper.go_back()
            case Effect.STOP:
                assert generation is not None
                assert generation not in [one.id for one in mine if one.state is GenerationState.ACTIVE]
                self.keeper.stop(generation)
            case Effect.CLEAR:
                assert not living, "a living release was removed"
                assert self.current != NEW, "the current release was removed"
                self.disk.discard(NEW)
                self.fetched = False
            case Effect.PRUNE:
                self.fetched = False
            case _:
                pass


def run(world: World, draws: list[int]) -> JobRecord:
    """Run one job to its end, with what `draws` makes go wrong. 0-6 mean something, anything else is fair weather."""
    chaos = Chaos(draws)
    job = apply(None, job_entry(replace(JOB, previous=world.previous)))
    failures, waited, before = 0, 0.0, job.state
    for _ in range(4000):
        if job.is_over:
            return job
        if job.state is not before:
            failures, waited, before = 0, 0.0, job.state
        world.keeper.tick()
        what = chaos.draw()
        if what == 0:  # power or keeper
            world.keeper.restart()
            failures, waited = 0, 0.0
        elif what == 1:  # base killed: what it waited for is forgotten
            failures, waited = 0, 0.0
        elif what == 2 and (mine := [one for one in world.keeper.generations if one.version == NEW]):
            world.keeper.crash(mine[-1].id)
        decision = plan(job, world.facts(failures, waited), LIMITS)
        match decision:
            case Wait(seconds):
                waited += seconds * 10
            case Advance(event, reason):
                if what != 3:  # 3: killed before the journal was written
                    job = apply(job, step_entry(job, event, NOW, reason=reason))
            case Act(effect, generation):
                if effect is Effect.START:
                    ended = [one.id for one in world.keeper.generations if one.version == NEW]
                    job = apply(job, attempt_entry(job, ended, NOW))
                if what == 3:  # killed before the effect
                    continue
                try:
                    if what == 4:
                        raise Refused("the disk is full.")
                    world.do(effect, generation)
                except NotYet:
                    continue
                except Refused as error:
                    if job.state in (InstallState.FLIP, InstallState.COMMIT, InstallState.PRUNE, InstallState.UNDO):
                        failures += 1
                    else:
                        job = apply(job, step_entry(job, InstallEvent.FAILED, NOW, reason=error.message))
                    continue
                if effect in CLOSING and what != 5:  # 5: killed after the effect, before the journal
                    proved = generation if effect is Effect.PROVE else None
                    job = apply(job, step_entry(job, InstallEvent.DONE, NOW, proved=proved))
    raise AssertionError(f"no end: {job}, {world}")


def check_end(world: World, job: JobRecord, clean: bool) -> None:
    for _ in range(10):
        world.keeper.tick()
    if job.state is InstallState.COMMITTED:
        assert world.current == NEW
        active = world.keeper.active
        assert active is None or active.version == NEW
        return
    assert job.state is InstallState.UNDONE
    assert job.reason
    assert world.current == world.previous
    assert not [one for one in world.keeper.generations if one.version == NEW and one.state is GenerationState.ACTIVE]
    if world.previous is not None:
        assert [one for one in world.keeper.generations if one.version == world.previous]
    if clean:
        assert NEW not in world.disk
        assert not world.fetched
        assert not [one for one in world.keeper.facts() if one.version == NEW and one.is_living]


@pytest.mark.req("U9", "U10")
@settings(max_examples=1500, deadline=None)
@given(
    draws=st.lists(st.integers(0, 12), max_size=90),
    behaviour=st.sampled_from([*Behaviour, Behaviour.GOOD, Behaviour.GOOD]),
    first=st.booleans(),
)
def test_any_history_ends_committed_or_undone(draws: list[int], behaviour: Behaviour, first: bool) -> None:
    world = World(None if first else OLD, behaviour)
    job = run(world, draws)
    check_end(world, job, clean=4 not in draws)
    if behaviour is not Behaviour.GOOD and job.state is InstallState.COMMITTED:
        assert world.probed, "committed without proof"
    if behaviour in (Behaviour.NEVER_READY, Behaviour.CRASHES_AT_START, Behaviour.FAILS_PROBE):
        assert job.state is InstallState.UNDONE
        assert world.keeper.activations == []


@pytest.mark.req("U9", "U10")
@pytest.mark.parametrize("behaviour", list(Behaviour))
@pytest.mark.parametrize("previous", [None, OLD])
def test_fair_weather(behaviour: Behaviour, previous: Version | None) -> None:
    world = World(previous, behaviour)
    job = run(world, [])
    check_end(world, job, clean=True)
    good = behaviour in (Behaviour.GOOD, Behaviour.CRASHES_WHEN_ACTIVE)
    assert (job.state is InstallState.COMMITTED) == good or behaviour is Behaviour.CRASHES_WHEN_ACTIVE


@pytest.mark.req("U10")
@pytest.mark.parametrize("event", [0, 1, 3])
def test_one_kill_at_any_point_still_installs(event: int) -> None:
    for point in range(120):
        world = World(OLD, Behaviour.GOOD)
        job = run(world, [99] * point + [event])
        check_end(world, job, clean=True)
        assert job.state is InstallState.COMMITTED, point


def facts(*generations: GenerationFact, current: Version = OLD, **more: object) -> Facts:
    return Facts(current=current, staged=True, generations=generations, **more)  # type: ignore[arg-type]


def test_a_generation_that_is_not_the_proven_one_is_not_activated() -> None:
    job = replace(JOB, state=InstallState.ACTIVATE, proved="site-1", attempts=1)
    other = GenerationFact("site-2", NEW, GenerationState.STANDBY)
    assert plan(job, facts(other), LIMITS) == Advance(InstallEvent.LOST)


def test_an_unconfirmed_generation_is_not_made_current() -> None:
    job = replace(JOB, state=InstallState.FLIP, proved="site-1", attempts=1)
    own = GenerationFact("site-1", NEW, GenerationState.ACTIVE, confirmed=False)
    assert plan(job, facts(own), LIMITS) == Advance(InstallEvent.LOST)
    assert plan(job, facts(replace(own, confirmed=True)), LIMITS) == Act(Effect.FLIP)


def test_a_generation_that_failed_in_an_earlier_job_does_not_count() -> None:
    stale = GenerationFact("site-1", NEW, GenerationState.FAILED, failure="it crashed")
    job = replace(JOB, state=InstallState.START)
    assert plan(job, facts(stale), LIMITS) == Act(Effect.START)
    assert plan(replace(job, attempts=1, stale=("site-1",)), facts(stale), LIMITS) == Act(Effect.START)
    undone = plan(replace(job, attempts=1), facts(stale), LIMITS)
    assert undone == Advance(InstallEvent.FAILED, "It did not hold: it crashed.")


def test_lost_generations_are_started_again_only_so_often() -> None:
    job = replace(JOB, state=InstallState.START, attempts=LIMITS.attempts)
    assert plan(job, facts(), LIMITS) == Advance(
        InstallEvent.FAILED, "It was started 3 times and was gone each time before it could take over."
    )


def test_a_failure_after_keeper_had_confirmed_turns_back_to_the_flip() -> None:
    job = replace(JOB, state=InstallState.UNDO, proved="site-1", reason="no answer from keeper.")
    own = GenerationFact("site-1", NEW, GenerationState.ACTIVE, confirmed=True)
    assert plan(job, facts(own), LIMITS) == Advance(InstallEvent.KEPT)
    assert plan(job, facts(replace(own, confirmed=False)), LIMITS) == Act(Effect.GO_BACK)


def test_a_version_that_already_runs_is_left_alone_by_an_undo() -> None:
    job = replace(JOB, state=InstallState.UNDO, reason="it is not newer.")
    own = GenerationFact("site-1", NEW, GenerationState.ACTIVE, confirmed=True)
    assert plan(job, facts(own, current=NEW), LIMITS) == Advance(InstallEvent.DONE)
