"""A pair upgrade over two simulated appliances ends finished, or with everything as before, whatever is done to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from site_failover.simulated_pair import World
from staffetta.site.data.roles import Role
from staffetta.site.failover.job_states import JobState, Side, Step, StepState

STEPS_SEEN = [step for step in Step if step not in (Step.UNDO, Step.DONE)]


def finish(world: World, resumes: int = 40) -> None:
    """Run to the end; a person looks now and then."""
    for number in world.run():
        if number % 50 == 49 and resumes:
            resumes -= 1
            world.resume()


@pytest.mark.req("F7")
def test_a_pair_is_upgraded_step_by_step() -> None:
    world = World()
    finish(world)
    world.check_end()
    assert world.job.state is JobState.FINISHED
    assert [one.step for one in world.job.steps] == STEPS_SEEN
    assert all(one.state is StepState.DONE and one.evidence and one.ended for one in world.job.steps)
    assert world.job.owner == world.b.origin
    assert world.b.term == 2
    swing = next(one for one in world.job.steps if one.step is Step.SWING)
    assert "swing-check on A" in swing.evidence
    assert world.a.document == world.b.document


@pytest.mark.req("F7")
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("step", STEPS_SEEN)
@pytest.mark.parametrize("harm", ["kill", "restart", "cut", "lose-answer", "lose-request"])
def test_whatever_dies_at_a_step_the_job_ends_well(step: Step, side: Side, harm: str) -> None:
    world = World()
    harmed = False
    for _ in world.run():
        if world.job.step is step and not harmed:
            harmed = True
            if harm == "kill":
                world.kill(side, 20)
            elif harm == "restart":
                world.restart(side)
            elif harm == "cut":
                world.cut(20)
            else:
                world.losses += [harm.removeprefix("lose-")] * 3
    assert harmed
    world.check_end()
    # Death before the swing may only delay it, too: nothing of this is a reason to undo.
    assert world.job.state is JobState.FINISHED


@pytest.mark.req("F7")
@pytest.mark.parametrize("failure", ["install-base", "install-site", "probe", "begin-install"])
def test_what_fails_on_b_before_the_swing_is_undone_or_tried_again(failure: str) -> None:
    world = World()
    world.b.failing.add(failure)
    finish(world)
    world.check_end()
    expected = JobState.UNDONE if failure.startswith("install") else JobState.FINISHED
    assert world.job.state is expected
    if failure == "install-site":
        assert "unhealthy" in next(one.evidence for one in world.job.steps if one.state is StepState.FAILED)


@pytest.mark.req("F7")
@pytest.mark.parametrize("failure", ["install-base", "install-site", "probe"])
def test_what_fails_on_a_after_the_swing_is_tried_again(failure: str) -> None:
    world = World()
    world.a.failing.add(failure)
    finish(world, resumes=0)
    world.check_end()
    assert world.job.state is JobState.FINISHED
    assert any(one.state is StepState.FAILED for one in world.job.steps)


@pytest.mark.req("F7", "F9")
def test_another_that_answers_at_the_shared_address_is_looked_for_again_and_then_a_person_is_asked() -> None:
    world = World()
    for _ in world.run():
        if world.job.state is JobState.NEEDS_A_PERSON:
            break
        world.a.failing.add("swing-check")
    assert (world.job.state, world.job.step) == (JobState.NEEDS_A_PERSON, Step.SWING)
    assert [one.attempt for one in world.job.steps if one.step is Step.SWING] == [1, 2, 3]
    assert "swing-check on A" in world.job.error
    assert (world.a.role, world.b.role, world.b.shared) == (Role.BACKUP, Role.PRIMARY, "held")
    world.a.failing.clear()
    finish(world)
    world.check_end()
    assert world.job.state is JobState.FINISHED
    assert world.audited == [JobState.NEEDS_A_PERSON, JobState.FINISHED]


def test_what_keeps_failing_after_the_swing_waits_for_a_person() -> None:
    world = World()
    for number in world.run():
        if world.job.step is Step.UPDATE_SITE_A:
            world.a.failing.add("install-site")
        if world.job.state is JobState.NEEDS_A_PERSON or number > 500:
            break
    assert world.job.state is JobState.NEEDS_A_PERSON
    assert "unhealthy" in world.job.error
    assert world.b.held_by is not None  # clients stay where they are
    world.a.failing.clear()
    finish(world)
    world.check_end()
    assert world.job.state is JobState.FINISHED


def test_a_backup_that_keeps_refusing_to_become_primary_leaves_a_primary() -> None:
    world = World()
    for _ in world.run():
        world.b.failing.add("take-primary")
    world.check_end()
    assert world.job.state is JobState.UNDONE
    assert world.a.role is Role.PRIMARY
    assert world.a.term == world.b.term == 3
    assert "newer" in world.job.sentence


def test_a_freeze_that_runs_out_in_the_swing_is_followed_by_another_final_sync() -> None:
    world = World()
    late = False
    for _ in world.run():
        if not late and any(verb == "shared-join" for _, verb in world.b.journal):
            late = True
            world.a.frozen_until = world.now
    assert late
    world.check_end()
    assert world.job.state is JobState.FINISHED
    assert [one.key for one in world.job.steps if one.step is Step.FINAL_SYNC] == ["final-sync.1", "final-sync.2"]


@pytest.mark.req("F7")
def test_a_job_that_the_other_appliance_refuses_says_so_and_goes_on_when_it_is_taken() -> None:
    world = World()
    world.b.refuses = "Another pair job is under way."
    for number in world.run():
        if number == 5:
            assert world.a.document is not None
            assert world.a.document.state is JobState.WAITING
            assert world.a.document.sentence == "The other appliance refuses the job: Another pair job is under way."
            revision = world.a.document.revision
        if number == 10:
            assert world.a.document is not None and world.a.document.revision == revision
            world.b.refuses = ""
    world.check_end()
    assert world.job.state is JobState.FINISHED


@pytest.mark.req("F7")
def test_a_missing_grant_is_named_and_waited_for() -> None:
    world = World()
    world.b.granted = False
    for number in world.run():
        if number == 10:
            assert world.job.state is JobState.WAITING
            assert "grant-pair-upgrade" in world.job.sentence and "host-b" in world.job.sentence
            world.b.granted = True
    assert world.job.state is JobState.FINISHED


def test_a_person_takes_the_job_over_when_its_owner_is_gone() -> None:
    world = World()
    taken = False
    for number in world.run():
        if world.job.step is Step.UPDATE_SITE_A and not taken:
            taken = True
            world.kill(Side.B, 200)
            world.take_over(Side.A)
            assert world.a.document is not None
            assert world.a.document.owner == world.a.origin and world.a.document.term == 3
        assert number < 1500
    world.check_end()
    assert world.job.state is JobState.FINISHED
    assert world.job.owner == world.a.origin


def test_two_who_take_over_in_a_cut_network_are_one_again_when_it_heals() -> None:
    world = World()
    done = False
    for _ in world.run():
        if world.job.step is Step.UPDATE_SITE_B and not done:
            done = True
            world.cut(30)
            world.take_over(Side.B)
            world.take_over(Side.A)
    world.check_end()
    assert world.job.state is JobState.FINISHED


def test_who_takes_over_with_an_older_document_sees_that_the_swing_has_begun() -> None:
    world = World()
    taken = False
    for _ in world.run():
        if world.job.step is Step.PROBE_B:
            world.deafen(Side.B, 10)
        if world.b.role is Role.PRIMARY and not taken:
            taken = True
            assert world.b.document is not None and world.b.document.step is Step.PROBE_B
            world.kill(Side.A, 30)
            world.take_over(Side.B)
    world.check_end()
    assert world.job.state is JobState.FINISHED


def test_an_end_is_final_even_for_who_takes_over_without_knowing_of_it() -> None:
    world = World()
    taken = False
    for _ in world.run():
        if world.job.step is Step.UPDATE_BASE_B:
            world.b.failing.add("install-base")
            world.deafen(Side.B, 30)
        ended = world.a.document is not None and world.a.document.state is JobState.UNDONE
        if ended and not taken:
            taken = True
            world.take_over(Side.B)
            assert world.b.document is not None and not world.b.document.state.ended
            assert world.b.document.term == 2
    assert taken
    world.check_end()
    assert world.job.state is JobState.UNDONE
    assert world.a.document is not None and world.a.document.owner == world.a.origin
    assert world.a.document == world.b.document
    assert world.b.suspended_by is None


EVENTS = st.one_of(
    st.tuples(st.just("deafen"), st.sampled_from(Side), st.floats(0.5, 60)),
    st.tuples(st.just("kill"), st.sampled_from(Side), st.floats(0.5, 60)),
    st.tuples(st.just("restart"), st.sampled_from(Side), st.just(0.0)),
    st.tuples(st.just("cut"), st.just(Side.A), st.floats(0.5, 60)),
    st.tuples(st.just("lose-answer"), st.just(Side.A), st.just(0.0)),
    st.tuples(st.just("lose-request"), st.just(Side.A), st.just(0.0)),
    st.tuples(st.just("repeat"), st.just(Side.A), st.floats(0, 100)),
    st.tuples(st.just("take-over"), st.sampled_from(Side), st.just(0.0)),
    st.tuples(st.just("resume"), st.just(Side.A), st.just(0.0)),
    st.tuples(
        st.sampled_from(
            [
                "install-base",
                "install-site",
                "probe",
                "take-primary",
                "step-down",
                "freeze",
                "shared-join",
                "swing-check",
            ]
        ),
        st.sampled_from(Side),
        st.just(0.0),
    ),
)


@pytest.mark.req("F7")
@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), EVENTS), max_size=12))
def test_any_history_ends_finished_or_as_before(history: list[tuple[int, tuple[str, Side, float]]]) -> None:
    world = World()
    resumes = 60
    for number in world.run(6000):
        for _, (what, side, amount) in (one for one in history if one[0] == number):
            harm(world, what, side, amount)
        if number > 100 and number % 50 == 49 and resumes:
            resumes -= 1
            world.resume()
    world.check_end()


def harm(world: World, what: str, side: Side, amount: float) -> None:
    """Do one thing to the world."""
    match what:
        case "kill":
            world.kill(side, amount)
        case "restart":
            world.restart(side)
        case "cut":
            world.cut(amount)
        case "deafen":
            world.deafen(side, amount)
        case "lose-answer" | "lose-request":
            world.losses.append(what.removeprefix("lose-"))
        case "repeat":
            world.repeat(int(amount))
        case "take-over":
            world.take_over(side)
        case "resume":
            world.resume()
        case failure:
            world.of(side).failing.add(failure)
