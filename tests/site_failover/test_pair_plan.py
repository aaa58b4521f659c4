"""The plan of a pair upgrade as a table: facts in, decision out; the pre-flight, each check by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from staffetta.kernel.states import advance
from staffetta.site.data.roles import Role
from staffetta.site.failover import job_pictures, job_record, preflight
from staffetta.site.failover.job_errors import NothingNewer, NotReady
from staffetta.site.failover.job_facts import (
    Again,
    Answered,
    ApplianceFacts,
    BaseFacts,
    Do,
    Facts,
    GiveUp,
    InstallFact,
    InstallState,
    Limits,
    Need,
    OfferFact,
    StepDone,
    Undo,
    Wait,
)
from staffetta.site.failover.job_record import PairJobRecord, StepRecord, Targets
from staffetta.site.failover.job_states import PAIR_JOB, JobEvent, JobState, Side, Step, StepState
from staffetta.site.failover.plan import plan

pytestmark = pytest.mark.req("F7")

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LIMITS = Limits()
OFFERS = (OfferFact("base-2", "base", "2.0", True), OfferFact("site-2", "site", "2.0", False, ("Base 2.0 first.",)))


def base(**more: Any) -> BaseFacts:
    values: dict[str, Any] = {"base_version": "1.0", "site_version": "1.0", "shared": "released", "offers": OFFERS}
    values |= {"granted_until": NOW + timedelta(hours=1)}
    return BaseFacts(**(values | more))


def appliance(side: Side, **more: Any) -> ApplianceFacts:
    values: dict[str, Any] = {
        "origin": side.value,
        "host": f"host-{side.lower()}",
        "role": Role.PRIMARY if side is Side.A else Role.BACKUP,
        "term": 1,
        "site_version": "1.0",
        "time": NOW,
        "base": base(shared="held" if side is Side.A else "released"),
        "related": True,
        "covers_shared_name": True,
        "shared_name": "support.example.com",
        "sync_finished": NOW,
    }
    return ApplianceFacts(**(values | more))


A, B = appliance(Side.A, sessions_live=3), appliance(Side.B)
# After the swing, with everything done.
OVER_A = replace(A, role=Role.BACKUP, term=2, site_version="2.0", base=base(site_version="2.0", base_version="2.0"))
OVER_B = replace(
    B, role=Role.PRIMARY, term=2, site_version="2.0", base=base(site_version="2.0", base_version="2.0", shared="held")
)


def facts(a: ApplianceFacts | None = A, b: ApplianceFacts | None = B, **more: Any) -> Facts:
    return Facts(**({"a": a, "b": b, "now": NOW} | more))


def at(step: Step, state: JobState = JobState.RUNNING, attempt: int = 1, **more: Any) -> PairJobRecord:
    job = job_record.begin("job", a="A", b="B", targets=Targets("2.0", "2.0"), actor="admin", now=NOW)
    steps = (StepRecord(step, StepState.RUNNING, attempt, NOW),)
    return replace(job, step=step, state=state, steps=steps, **more)


def test_the_table_holds_together() -> None:
    assert PAIR_JOB.check() == []
    assert set(PAIR_JOB.states) == set(JobState)
    assert set(PAIR_JOB.events) == set(JobEvent)
    assert advance(PAIR_JOB, JobState.NEEDS_A_PERSON, JobEvent.RESUMED) is JobState.RUNNING


@pytest.mark.req("F7", "U9")
def test_the_preflight_names_every_check_and_shows_the_live_sessions() -> None:
    found = preflight.checks("job", Targets("2.0", "2.0"), facts(), LIMITS)
    assert all(one.ok for one in found), found
    assert {one.name for one in found} == {
        *("relationship", "roles", "data-sync", "clocks", "certificate", "shared address"),
        *(f"{what} on {side}" for what in ("base", "site", "grant", "no other job") for side in "AB"),
    }
    decision = plan(at(Step.PREFLIGHT), facts())
    assert isinstance(decision, StepDone) and "Sessions live now: 3" in decision.evidence


@pytest.mark.parametrize(
    ("name", "broken", "need"),
    [
        ("relationship", facts(b=replace(B, related=False)), None),
        ("roles", facts(b=replace(B, term=2)), None),
        ("roles", facts(a=replace(A, role=Role.ALONE)), None),
        ("data-sync", facts(b=replace(B, sync_finished=None)), Need.NOTHING),
        ("data-sync", facts(b=replace(B, behind=4)), Need.NOTHING),
        ("data-sync", facts(b=replace(B, sync_finished=NOW - timedelta(seconds=90))), Need.NOTHING),
        ("data-sync", facts(b=replace(B, sync_error="disk full")), Need.NOTHING),
        ("clocks", facts(clock_difference=2.5), None),
        ("clocks", facts(b=replace(B, base=base(clock_problem="An hour slow."))), None),
        ("certificate", facts(b=replace(B, covers_shared_name=False)), None),
        ("shared address", facts(b=replace(B, base=base(shared="disabled"))), None),
        ("shared address", facts(b=replace(B, base=base(shared="held"))), Need.NOTHING),
        ("shared address", facts(a=replace(A, base=base(shared="released"))), Need.NOTHING),
        ("base on A", facts(a=replace(A, base=None)), Need.BASE),
        ("site on B", facts(b=replace(B, base=base(offers=OFFERS[:1]))), None),
        ("base on B", facts(b=replace(B, base=base(base_version="3.0"))), None),
        ("site on A", facts(a=replace(A, base=base(shared="held", base_version="2.0"))), None),
        ("base on A", facts(a=replace(A, base=base(offers=(replace(OFFERS[0], eula_missing=True), OFFERS[1])))), None),
        ("grant on B", facts(b=replace(B, base=base(granted_until=None))), Need.GRANT),
        ("grant on A", facts(a=replace(A, base=base(granted_until=NOW))), Need.GRANT),
        ("grant on A", facts(a=replace(A, base=base(grant_job="another"))), Need.GRANT),
        ("no other job on B", facts(b=replace(B, other_job="The pair job x")), None),
        ("no other job on A", facts(a=replace(A, base=base(install="The install of base 2.0"))), None),
        ("peer", facts(b=None), Need.PEER),
    ],
)
def test_the_preflight_names_what_is_wrong(name: str, broken: Facts, need: Need | None) -> None:
    bad = [one for one in preflight.checks("job", Targets("2.0", "2.0"), broken, LIMITS) if not one.ok]
    assert [(one.name, one.need) for one in bad if one.name == name] == [(name, need)], bad
    assert all(one.detail for one in bad)
    decision = plan(at(Step.PREFLIGHT), broken)
    assert isinstance(decision, Undo if any(one.need is None for one in bad) else Wait)


def test_the_newest_that_both_can_have_is_chosen() -> None:
    newer = OfferFact("site-3", "site", "3.0", True)
    assert preflight.choose_targets(base(offers=(*OFFERS, newer)), base(), None) == Targets("2.0", "2.0")
    assert preflight.choose_targets(base(), base(site_version="2.0", offers=OFFERS[:1]), None) == Targets("2.0", "2.0")
    assert preflight.choose_targets(base(offers=OFFERS[1:]), base(offers=OFFERS[1:]), "2.0") == Targets("2.0", None)
    for wanted, offers in (("3.0", OFFERS), (None, ())):
        with pytest.raises(NotReady):
            preflight.choose_targets(base(offers=offers), base(offers=offers), wanted)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({}, {}, "Nothing newer is on offer on both appliances, and not both have checked for updates yet."),
        ({"checked_at": NOW}, {}, "Nothing newer is on offer on both appliances, and not both have checked"),
        ({"checked_at": NOW}, {"checked_at": NOW - timedelta(hours=2)}, "Both appliances run site 1.0, and nothing"),
        ({"checked_at": NOW, "site_version": "0.9"}, {"checked_at": NOW}, "One appliance runs site 0.9, the other 1.0"),
    ],
)
def test_that_nothing_newer_is_there_says_what_runs_and_when_it_was_checked(
    ours: dict[str, Any], theirs: dict[str, Any], said: str
) -> None:
    with pytest.raises(NothingNewer) as found:
        preflight.choose_targets(base(offers=(), **ours), base(offers=(), **theirs), None)
    assert found.value.message.startswith(said)
    if "checked_at" in theirs:
        earliest = min(ours["checked_at"], theirs["checked_at"])
        assert found.value.message.endswith(f"Checked {earliest:%Y-%m-%d %H:%M} UTC.")


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.DONE])
@pytest.mark.parametrize("missing", Side)
def test_nothing_is_asked_of_one_while_the_other_is_away(step: Step, missing: Side) -> None:
    state = JobState.UNDOING if step is Step.UNDO else JobState.RUNNING
    known = {"a": None, "b": OVER_B} if missing is Side.A else {"a": OVER_A, "b": None}
    decision = plan(at(step, state), facts(**known, silent=12))
    assert isinstance(decision, Wait) and decision.need is Need.PEER and "12 s" in decision.sentence


def frozen(one: ApplianceFacts, seconds: float = 30) -> ApplianceFacts:
    return replace(one, frozen_by="job", frozen_until=NOW + timedelta(seconds=seconds))


SWING = tuple(Answered("swing.1", verb, True, "done") for verb in ("shared-hold", "shared-join"))
FOURTH = tuple(replace(one, step="swing.4") for one in SWING)
DOWN_A = replace(A, role=Role.BACKUP, term=2, answers=SWING[:1])
JOINED_B = replace(B, answers=SWING[1:])
BACK_AT_FINAL_SYNC = job_record.again(at(Step.SWING), Step.FINAL_SYNC, "The freeze ran out.", NOW)
MOVED = tuple(Answered("swing.1", f"shared-{one}", True, "") for one in ("hold", "join", "turn", "leave", "settle"))
CHECK = Answered("swing.1", "swing-check", True, "127.0.0.9:443 is answered by B.")
ALL = (*MOVED, CHECK)
BY_A = ("shared-leave", "swing-check")
ANOTHER = (*MOVED, replace(CHECK, ok=False, sentence="Another answers."))


def over_at_3(ok: bool) -> tuple[ApplianceFacts, ApplianceFacts]:
    """Both after every move of the third attempt, when it was seen who answers."""
    answers = tuple(replace(one, step="swing.3", ok=ok or one.verb != "swing-check") for one in ALL)
    return replace(OVER_A, answers=answers), replace(OVER_B, answers=answers)


@pytest.mark.req("F7", "F9")
@pytest.mark.parametrize(
    ("a", "b", "side", "verb", "term"),
    [
        (frozen(A), B, Side.A, "shared-hold", 2),
        (frozen(replace(A, answers=SWING[:1])), B, Side.B, "shared-join", 2),
        (frozen(replace(A, answers=SWING[:1])), JOINED_B, Side.A, "step-down", 2),
        (frozen(DOWN_A), JOINED_B, Side.B, "take-primary", 2),
        (DOWN_A, JOINED_B, Side.B, "take-primary", 2),  # once A has stepped down, the freeze no longer matters
        (DOWN_A, replace(JOINED_B, role=Role.PRIMARY, term=2), Side.B, "shared-turn", 2),
        (replace(OVER_A, answers=MOVED), replace(OVER_B, answers=MOVED), Side.A, "swing-check", None),
        (frozen(replace(OVER_A, answers=ALL)), replace(OVER_B, answers=ALL), Side.A, "thaw", None),
    ],
)
def test_the_swing_goes_in_one_order(
    a: ApplianceFacts, b: ApplianceFacts, side: Side, verb: str, term: int | None
) -> None:
    decision = plan(at(Step.SWING), facts(a, b))
    assert isinstance(decision, Do)
    assert (decision.side, decision.verb, dict(decision.arguments).get("term")) == (side, verb, term)


@pytest.mark.parametrize(
    ("job", "known", "expected"),
    [
        # Editing was possible again before A had stepped down: the final data-sync is not final any more.
        (at(Step.SWING), facts(replace(A, answers=SWING[:1]), JOINED_B), Again),
        (at(Step.SWING, attempt=4), facts(replace(A, answers=FOURTH), replace(B, answers=FOURTH)), Undo),
        (at(Step.SWING), facts(DOWN_A, replace(JOINED_B, term=3)), Undo),
        (at(Step.SWING), facts(DOWN_A, JOINED_B, tried=5, refusal="no"), Undo),
        (at(Step.SWING), facts(replace(A, term=2), replace(B, role=Role.PRIMARY, term=2)), GiveUp),
        (at(Step.SWING), facts(replace(OVER_A, answers=ALL), replace(OVER_B, answers=ALL)), StepDone),
        # Another answers at the shared address, or it is not where it should be although every move was done.
        (at(Step.SWING), facts(replace(OVER_A, answers=ANOTHER), replace(OVER_B, answers=MOVED)), Again),
        (at(Step.SWING), facts(replace(A, role=Role.BACKUP, term=2, answers=ALL), replace(OVER_B, answers=ALL)), Again),
        (at(Step.SWING, attempt=3), facts(*over_at_3(ok=False)), GiveUp),
        (at(Step.SWING), facts(DOWN_A, replace(B, base=None)), Wait),
        # Roles that somebody else has changed.
        (at(Step.SYNC), facts(replace(A, role=Role.BACKUP), replace(B, role=Role.PRIMARY)), Undo),
        (at(Step.PROBE_A), facts(replace(A, term=3), OVER_B), GiveUp),
        # Who took over with an older document.
        (at(Step.BACKUP), facts(DOWN_A, JOINED_B), Again),
        # The owner itself has gone back from the swing to another final data-sync.
        (BACK_AT_FINAL_SYNC, facts(replace(A, answers=SWING[:1]), JOINED_B), Do),
        (BACK_AT_FINAL_SYNC, facts(replace(A, answers=FOURTH[:1]), JOINED_B), Again),
        # Clients.
        (at(Step.RELEASE_CLIENTS), facts(replace(OVER_A, site_version="1.0"), OVER_B), GiveUp),
        (at(Step.RELEASE_CLIENTS), facts(OVER_A, OVER_B), StepDone),
        (at(Step.RELEASE_CLIENTS), facts(OVER_A, replace(OVER_B, held_by="job")), Do),
        # Installs.
        (at(Step.UPDATE_BASE_B), facts(), Do),
        (at(Step.UPDATE_BASE_B), facts(b=replace(B, base=base(base_version="2.0"))), StepDone),
        (at(Step.UPDATE_BASE_B), facts(b=replace(B, base=None)), Wait),
        (at(Step.UPDATE_BASE_B), facts(b=replace(B, base=base(granted_until=NOW))), Wait),
        (at(Step.UPDATE_BASE_B), facts(b=replace(B, base=base(offers=()))), Undo),
        (at(Step.UPDATE_SITE_B), facts(b=replace(B, base=base(site_version="2.0"))), Do),  # the old one still answers
        (at(Step.UPDATE_BASE_A), facts(replace(OVER_A, base=base(offers=())), OVER_B), Again),
        (at(Step.UPDATE_BASE_A, attempt=3), facts(replace(OVER_A, base=base(offers=())), OVER_B), GiveUp),
    ],
)
def test_decisions(job: PairJobRecord, known: Facts, expected: type) -> None:
    assert isinstance(plan(job, known), expected), plan(job, known)


def test_what_the_check_saw_is_the_swings_evidence_and_a_pair_without_an_address_moves_none() -> None:
    done = plan(at(Step.SWING, attempt=3), facts(*over_at_3(ok=True)))
    assert isinstance(done, StepDone) and done.evidence.endswith(f". {CHECK.sentence}")
    a = replace(OVER_A, base=base(shared="absent"))
    b = replace(OVER_B, base=base(shared="absent"))
    done = plan(at(Step.SWING), facts(a, b))
    assert isinstance(done, StepDone) and done.evidence.endswith("There is no shared address to move.")


@pytest.mark.parametrize(
    ("state", "side", "expected"),
    [
        (InstallState.RUNNING, Side.B, Wait),
        (InstallState.UNDONE, Side.B, Undo),
        (InstallState.UNDONE, Side.A, Again),
    ],
)
def test_an_install_is_waited_for_and_what_base_undid_is_undone_or_tried_again(
    state: InstallState, side: Side, expected: type
) -> None:
    step = Step.UPDATE_SITE_B if side is Side.B else Step.UPDATE_SITE_A
    install = (InstallFact(f"{step}.1", state, "at prove"),)
    if side is Side.B:
        known = facts(b=replace(B, installs=install))
    else:
        known = facts(replace(OVER_A, base=base(), installs=install), OVER_B)
    decision = plan(at(step), known)
    assert isinstance(decision, expected)
    assert "at prove" in str(decision)


def test_an_undo_gives_the_role_back_with_a_term_above_every_promotion_on_its_way() -> None:
    job = at(Step.UNDO, JobState.UNDOING)
    first = plan(job, facts(DOWN_A, JOINED_B))
    assert isinstance(first, Do) and (first.side, first.verb, dict(first.arguments)) == (
        Side.B,
        "step-down",
        {"term": 3},
    )
    second = plan(job, facts(DOWN_A, replace(JOINED_B, term=3)))
    assert isinstance(second, Do)
    assert (second.side, second.verb, dict(second.arguments)) == (Side.A, "take-primary", {"term": 3})


def told_in_order(step: Step, *known: tuple[ApplianceFacts, ApplianceFacts]) -> list[tuple[Side, str] | str]:
    decisions = [plan(at(step), facts(*both)) for both in known]
    return [(one.side, one.verb) if isinstance(one, Do) else type(one).__name__ for one in decisions]


def test_both_are_suspended_and_hold_clients_before_anything_is_installed() -> None:
    quiet_a, quiet_b = replace(A, suspended_by="job"), replace(B, suspended_by="job")
    assert told_in_order(
        Step.SUSPEND,
        (A, B),
        (A, quiet_b),
        (quiet_a, quiet_b),
        (quiet_a, replace(quiet_b, held_by="job")),
        (replace(quiet_a, held_by="another"), replace(quiet_b, held_by="job")),
        (replace(quiet_a, held_by="job"), replace(quiet_b, held_by="job")),
    ) == [
        (Side.B, "suspend"),
        (Side.A, "suspend"),
        (Side.B, "hold-clients"),
        (Side.A, "hold-clients"),
        (Side.A, "hold-clients"),
        "StepDone",
    ]


def test_roles_are_restored_and_a_freeze_that_is_left_ends() -> None:
    quiet_a, quiet_b = replace(OVER_A, suspended_by="job"), replace(OVER_B, suspended_by="job")
    assert told_in_order(
        Step.RESTORE_ROLES, (quiet_a, quiet_b), (quiet_a, OVER_B), (frozen(OVER_A), OVER_B), (OVER_A, OVER_B)
    ) == [(Side.B, "resume"), (Side.A, "resume"), (Side.A, "thaw"), "StepDone"]


@pytest.mark.req("F7", "F9")
def test_the_address_is_turned_left_and_settled_in_this_order() -> None:
    swung = replace(JOINED_B, role=Role.PRIMARY, term=2, base=base(shared="held"))
    down = replace(DOWN_A, base=base(shared="held"))
    known = []
    for count in range(len(ALL) - 1):
        answers = ALL[2 : 2 + count]
        known.append(
            (
                replace(down, answers=(*SWING[:1], *(one for one in answers if one.verb in BY_A))),
                replace(swung, answers=(*SWING[1:], *(one for one in answers if one.verb not in BY_A))),
            )
        )
    assert told_in_order(Step.SWING, *known) == [
        (Side.B, "shared-turn"),
        (Side.A, "shared-leave"),
        (Side.B, "shared-settle"),
        (Side.A, "swing-check"),
        "Again",  # all is said to be done, and A still holds the address
    ]


@pytest.mark.parametrize(
    ("job", "known", "expected"),
    [
        (at(Step.SWING), facts(DOWN_A, replace(JOINED_B, term=2)), Undo),  # B would refuse that term
        (at(Step.SWING), facts(frozen(replace(A, answers=SWING[:1])), JOINED_B, tried=5, refusal="no"), Undo),
        (at(Step.UPDATE_BASE_B, targets=Targets("2.0")), facts(), StepDone),
        (at(Step.UPDATE_BASE_B, targets=Targets("3.0", "2.0")), facts(), Do),
        (
            at(Step.FINAL_SYNC),
            facts(frozen(A), replace(B, answers=(Answered("final-sync.1", "final-sync", False, "no"),))),
            Undo,
        ),
        (at(Step.FINAL_SYNC), facts(frozen(A), B), Do),
        (at(Step.FINAL_SYNC), facts(replace(frozen(A), frozen_by="another"), B), Do),
        (
            at(Step.FINAL_SYNC),
            facts(frozen(replace(A, answers=(Answered("final-sync.1", "freeze", True, ""),)), 5), B),
            Again,
        ),
        (
            at(Step.FINAL_SYNC, attempt=3),
            facts(replace(A, answers=(Answered("final-sync.3", "freeze", True, ""),)), B),
            Undo,
        ),
        (at(Step.PREFLIGHT), facts(b=replace(B, behind=3), waited=600), Wait),
        (at(Step.PREFLIGHT), facts(b=replace(B, behind=3), waited=601), Undo),
    ],
)
def test_decisions_at_the_edges(job: PairJobRecord, known: Facts, expected: type) -> None:
    assert isinstance(plan(job, known), expected), plan(job, known)


def test_nobody_is_primary_is_said_only_when_it_is_so() -> None:
    """Who reads it makes A the primary by hand."""
    said = "make host-a primary by hand"
    why = "b:443 cannot be reached: it does not answer in time."
    for job, a, b, right in (
        (at(Step.SWING), DOWN_A, None, True),
        (at(Step.SWING), A, None, False),
        (at(Step.SWING), None, B, False),
        (at(Step.PROBE_A), OVER_A, None, False),
    ):
        decision = plan(job, facts(a, b, silent=12, why=why))
        assert isinstance(decision, Wait) and (said in decision.sentence) is right
        assert why in decision.sentence
        assert f"Appliance {'A' if a is None else 'B'} " in decision.sentence


def test_an_undo_of_equal_terms_raises_bs_first() -> None:
    """A promotion with the term that A stepped down with may still be on its way to B."""
    decision = plan(at(Step.UNDO, JobState.UNDOING), facts(DOWN_A, replace(JOINED_B, term=2)))
    assert isinstance(decision, Do) and (decision.side, decision.verb) == (Side.B, "step-down")


HELD_A = replace(A, answers=SWING[:1], base=base(shared="held"))
STILL_B = replace(JOINED_B, base=base(shared="held"))
CLAIMED_A = replace(HELD_A, answers=(*SWING[:1], Answered("undo.1", "shared-claim", True, "")))


@pytest.mark.req("F7", "F9")
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (HELD_A, STILL_B, (Side.B, "shared-release")),
        (HELD_A, JOINED_B, (Side.A, "shared-claim")),  # it shares the address with nobody from now on
        (replace(HELD_A, base=base(shared="released")), B, (Side.A, "shared-claim")),
        (CLAIMED_A, JOINED_B, None),
        (A, B, None),
    ],
)
def test_an_undo_gives_the_shared_address_back(
    a: ApplianceFacts, b: ApplianceFacts, expected: tuple[Side, str] | None
) -> None:
    decision = plan(at(Step.UNDO, JobState.UNDOING), facts(a, replace(b, suspended_by="job")))
    assert isinstance(decision, Do)
    assert (decision.side, decision.verb) == (expected or (Side.B, "resume"))


@pytest.mark.req("F7", "F9")
@pytest.mark.parametrize("mute", Side)
def test_an_undo_waits_for_base_only_if_the_shared_address_may_have_moved(mute: Side) -> None:
    job = at(Step.UNDO, JobState.UNDOING)
    a, b = (replace(one, base=None) if mute is side else one for side, one in ((Side.A, A), (Side.B, B)))
    assert isinstance(plan(job, facts(a, b)), StepDone)
    joined = replace(b, answers=SWING[1:])
    swung = job_record.undo(at(Step.SWING), "It fails.", NOW)
    for decision in (plan(job, facts(a, joined)), plan(swung, facts(a, b))):
        assert isinstance(decision, Wait) and decision.need is Need.BASE


@pytest.mark.parametrize("side", Side)
def test_an_undo_lets_an_install_end_first(side: Side) -> None:
    install = (InstallFact("update-site-b.1", InstallState.RUNNING, "at prove"),)
    known = facts(replace(A, installs=install)) if side is Side.A else facts(b=replace(B, installs=install))
    decision = plan(at(Step.UNDO, JobState.UNDOING), known)
    assert isinstance(decision, Wait) and "at prove" in decision.sentence


def test_an_undo_that_has_no_effect_needs_a_person() -> None:
    known = facts(b=replace(B, suspended_by="job"), tried=LIMITS.tries)
    for refusal, sentence in (("no", "no"), ("", "It had no effect: host-b acts on its role by itself again.")):
        assert plan(at(Step.UNDO, JobState.UNDOING), replace(known, refusal=refusal)) == GiveUp(sentence)
    assert isinstance(plan(at(Step.UNDO, JobState.UNDOING), replace(known, tried=LIMITS.tries - 1)), Do)


def test_an_undo_leaves_clients_held_where_a_newer_version_stays() -> None:
    newer = replace(B, site_version="2.0", held_by="job")
    decision = plan(at(Step.UNDO, JobState.UNDOING), facts(b=newer))
    assert isinstance(decision, StepDone) and "newer" in decision.evidence
    assert isinstance(plan(at(Step.UNDO, JobState.UNDOING), facts(b=replace(B, held_by="job"))), Do)


@pytest.mark.req("F7", "F9")
def test_an_undo_claims_with_a_term_that_base_takes() -> None:
    """B lets go first; A, which had heard of a later term by then, claims with one that base takes."""
    job = at(Step.UNDO, JobState.UNDOING)
    joined = replace(B, term=3, answers=SWING[1:], base=base(shared="held", shared_term=4))
    first = plan(job, facts(replace(A, term=3), joined))
    assert isinstance(first, Do)
    assert (first.side, first.verb, dict(first.arguments)) == (Side.B, "shared-release", {"term": 4})
    let_go = replace(joined, base=base(shared="released", shared_term=4))
    second = plan(job, facts(replace(A, term=3), let_go))
    assert isinstance(second, Do)
    assert (second.side, second.verb, dict(second.arguments)) == (Side.A, "shared-claim", {"term": 4})
    claimed = (Answered(job.record.key, "shared-claim", True, ""),)
    assert isinstance(plan(job, facts(replace(A, term=3, answers=claimed), let_go)), StepDone)


@pytest.mark.req("F7")
@pytest.mark.parametrize(
    ("step", "state", "expected"),
    [
        (Step.BACKUP, JobState.RUNNING, "pause undo"),
        (Step.BACKUP, JobState.PAUSED, "resume undo"),
        (Step.SWING, JobState.RUNNING, ""),
        (Step.SWING, JobState.NEEDS_A_PERSON, "resume undo"),  # stuck, and traffic has not moved
        (Step.UPDATE_SITE_A, JobState.WAITING, "pause"),
        (Step.UNDO, JobState.UNDOING, ""),
        (Step.DONE, JobState.FINISHED, ""),
    ],
)
def test_what_a_person_can_do_with_a_job_is_what_its_page_offers(step: Step, state: JobState, expected: str) -> None:
    shown = job_pictures.picture_of(replace(at(step), state=state), NOW)
    offered = {"pause": shown.can_pause, "resume": shown.can_resume, "undo": shown.can_undo}
    assert " ".join(name for name, can in offered.items() if can) == expected
