"""Pure: facts of a pair upgrade to its next step, with the sentence that pages and logs show (F7).

Rules:
- What can be seen decides, not what was asked: a command whose effect shows is not sent again; one without a visible
  effect counts once its answer is in the executing appliance's journal.
- Nothing is asked of one appliance while the other does not answer; so two owners in a cut network do nothing.
- A steps down before B is promoted, and B is promoted only while A is seen as backup of a higher term.
- Until B is primary, what fails is undone. Afterwards it is tried anew, then a person is waited for.
- Clients are let go only when both appliances have the job's site version.
"""

from dataclasses import replace

from staffetta.site.data.roles import Role
from staffetta.site.failover import preflight, undoing
from staffetta.site.failover.job_facts import (
    DEFAULTS,
    Again,
    ApplianceFacts,
    Decision,
    Do,
    Facts,
    GiveUp,
    HandOver,
    InstallState,
    Limits,
    Need,
    StepDone,
    Undo,
    Wait,
)
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.job_states import JobState, Side, Step, after_swing, before_swing
from staffetta.site.failover.swing.choice import swing_of


def plan(job: PairJobRecord, facts: Facts, limits: Limits = DEFAULTS) -> Decision:
    """The next thing to do for a job that acts (running, waiting or undoing)."""
    if job.state is JobState.UNDOING:
        return undoing.plan_undo(job, facts, limits)
    a, b = facts.a, facts.b
    if a is None or b is None:
        return _peer_missing(job, a, b, facts)
    if before_swing(job.step) and _swing_unknown(job, a):
        return Again(Step.SWING, "The swing had begun already.")  # who took the job over had an older document
    if before_swing(job.step) and not (a.role is Role.PRIMARY and b.role is Role.BACKUP):
        return Undo(f"The roles were changed meanwhile: {a.host} is {a.role}, {b.host} is {b.role}.")
    if after_swing(job.step) and not (b.role is Role.PRIMARY and a.role is Role.BACKUP):
        return GiveUp(
            f"The roles were changed meanwhile: {a.host} is {a.role}, {b.host} is {b.role}. "
            f"Make {b.host} primary again, or break the relationship and update {a.host} by itself."
        )
    return _step(job, a, b, facts, limits)


def _swing_unknown(job: PairJobRecord, a: ApplianceFacts) -> bool:
    """Whether A has answered to a swing that this document does not have; one whose freeze ran out it does have."""
    known = {one.key for one in job.steps}
    return any(one.step.startswith(f"{Step.SWING}.") and one.step not in known for one in a.answers)


def _step(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    match job.step:
        case Step.PREFLIGHT:
            return _preflight(job, a, facts, limits)
        case Step.BACKUP:
            return _answered(job, Side.A, a, "backup", f"{a.host} makes a backup of the site.", facts, limits)
        case Step.SYNC:
            return _answered(job, Side.B, b, "sync", f"{b.host} fetches what is new.", facts, limits)
        case Step.SUSPEND:
            return _suspend(job, a, b, facts, limits)
        case Step.UPDATE_BASE_B | Step.UPDATE_SITE_B:
            return _update(job, Side.B, b, facts, limits)
        case Step.UPDATE_BASE_A | Step.UPDATE_SITE_A:
            return _update(job, Side.A, a, facts, limits)
        case Step.PROBE_B:
            return _answered(
                job, Side.B, b, "probe", f"{b.host} proves itself with a session of its own.", facts, limits
            )
        case Step.PROBE_A:
            return _answered(
                job, Side.A, a, "probe", f"{a.host} proves itself with a session of its own.", facts, limits
            )
        case Step.FINAL_SYNC:
            return _final_sync(job, a, b, facts, limits)
        case Step.SWING:
            return _swing(job, a, b, facts, limits)
        case Step.HAND_OVER:
            if job.owner != job.b:
                return HandOver(Side.B)
            return StepDone(f"{b.host} owns the job from now on, job term {job.term}.")
        case Step.RESTORE_ROLES:
            return _restore_roles(job, a, b, facts, limits)
        case Step.LAST_SYNC:
            return _answered(job, Side.A, a, "sync", f"{a.host} fetches what is new.", facts, limits)
        case Step.RELEASE_CLIENTS:
            return _release(job, a, b, facts, limits)
        case _:
            return GiveUp(f"This release knows no step {job.step}: let the other appliance take the job over.")


def _peer_missing(job: PairJobRecord, a: ApplianceFacts | None, b: ApplianceFacts | None, facts: Facts) -> Decision:
    side = Side.A if a is None else Side.B
    sentence = f"Appliance {side} has not answered for {facts.silent:.0f} s, at {job.step}. {facts.why}".rstrip()
    if job.step is Step.SWING and a is not None and a.role is Role.BACKUP and b is None:
        sentence += f" Nobody is primary. If it stays away, make {a.host} primary by hand."
    return Wait(sentence, Need.PEER)


def _preflight(job: PairJobRecord, a: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    found = preflight.checks(job.id, job.targets, facts, limits)
    hard = [one for one in found if not one.ok and one.need is None]
    if hard:
        return Undo(" ".join(one.detail for one in hard))
    soft = [one for one in found if not one.ok]
    if not soft:
        return StepDone(f"{len(found)} checks passed. Sessions live now: {a.sessions_live}.")
    missing = next((one for one in soft if one.need is not Need.NOTHING), None)
    if missing is not None:
        return Wait(missing.detail, missing.need or Need.NOTHING)
    if facts.waited > limits.sync_patience_seconds:
        return Undo(soft[0].detail)
    return Wait(soft[0].detail)


def _do(side: Side, verb: str, sentence: str, facts: Facts, limits: Limits, **arguments: str | int) -> Do | None:
    """Ask for it, or None when it was asked for too often."""
    if facts.tried >= limits.tries:
        return None
    return Do(side, verb, sentence, tuple(sorted(arguments.items())))


def _failed(job: PairJobRecord, reason: str, limits: Limits) -> Decision:
    """What becomes of a failure at this step."""
    if before_swing(job.step):
        return Undo(reason)
    if job.record.attempt % limits.attempts and job.step is not Step.PROBE_A:
        return Again(job.step, reason)
    return GiveUp(reason)


def _answered(
    job: PairJobRecord, side: Side, one: ApplianceFacts, verb: str, sentence: str, facts: Facts, limits: Limits
) -> Decision:
    """A step that is done when the appliance has answered one command."""
    answer = one.answer(job.record.key, verb)
    if answer is None:
        return _do(side, verb, sentence, facts, limits) or _failed(job, facts.refusal or sentence, limits)
    if answer.ok:
        return StepDone(answer.sentence)
    if job.record.attempt % (limits.probes if verb == "probe" else limits.attempts):
        return Again(job.step, answer.sentence)
    return _failed(job, answer.sentence, limits)


def _ensure(
    job: PairJobRecord,
    wanted: tuple[tuple[bool, Side, str, str], ...],
    done: str,
    facts: Facts,
    limits: Limits,
) -> Decision:
    """A step that is done when several things show on the appliances; the first that does not is asked for."""
    for shows, side, verb, sentence in wanted:
        if not shows:
            return _do(side, verb, sentence, facts, limits) or _failed(job, facts.refusal or sentence, limits)
    return StepDone(done)


def _suspend(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    wanted = (
        (b.suspended_by == job.id, Side.B, "suspend", f"{b.host} stops acting on its role by itself."),
        (a.suspended_by == job.id, Side.A, "suspend", f"{a.host} stops acting on its role by itself."),
        (b.held_by == job.id, Side.B, "hold-clients", "Clients keep their version until both appliances have it."),
        (a.held_by == job.id, Side.A, "hold-clients", "Clients keep their version until both appliances have it."),
    )
    done = "Both appliances act on their roles only as this job says; data-sync goes on; clients are held."
    return _ensure(job, wanted, done, facts, limits)


def _restore_roles(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    wanted = (
        (b.suspended_by != job.id, Side.B, "resume", f"{b.host} acts on its role by itself again."),
        (a.suspended_by != job.id, Side.A, "resume", f"{a.host} acts on its role by itself again."),
        (a.frozen_by != job.id, Side.A, "thaw", f"{a.host} is no longer read-only for this job."),
    )
    done = f"{b.host} is primary, {a.host} its backup, term {b.term}; both act on it by themselves."
    return _ensure(job, wanted, done, facts, limits)


def _update(job: PairJobRecord, side: Side, one: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    """Let base install the target; base does its own checks and undoes what fails."""
    kind = "base" if job.step.what == "update-base" else "site"
    wanted = job.targets.base if kind == "base" else job.targets.site
    if wanted is None:
        return StepDone("There is no newer base to install.")
    install = one.install(job.record.key)
    if one.base is None:
        return Wait(
            f"Base of {one.host} is being replaced, or does not answer.", Need.NOTHING if install else Need.BASE
        )
    installed = one.base.base_version if kind == "base" else one.base.site_version
    running = one.base.base_version if kind == "base" else one.site_version
    there = preflight.version(installed) == preflight.version(running) == preflight.version(wanted)
    if there and (install is None or install.state is InstallState.COMMITTED):
        return StepDone(f"{one.host} runs {kind} {wanted}." if install else f"{one.host} had {kind} {wanted}.")
    if install is None:
        offer = preflight.offer_of(one.base, kind, wanted)
        if offer is None:
            return _failed(job, f"{kind} {wanted} is no longer on offer on {one.host}.", limits)
        if one.base.granted_until is None or one.base.granted_until <= facts.now:
            return Wait(f"An administrator of {one.host} must permit the pair upgrade again.", Need.GRANT)
        sentence = f"{one.host} installs {kind} {wanted}."
        asked = _do(side, "begin-install", sentence, facts, limits, target=offer.target)
        return asked or _failed(job, facts.refusal or sentence, limits)
    if install.state is InstallState.UNDONE:
        return _failed(job, f"{kind} {wanted} on {one.host} was undone: {install.text}", limits)
    return Wait(f"{one.host} installs {kind} {wanted}: {install.text}")


def _final_sync(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    """Configuration is read-only from the freeze to the swing; the deadline thaws it should this job die."""
    answer = b.answer(job.record.key, "final-sync")
    if answer is not None and not answer.ok:
        return _failed(job, answer.sentence, limits)
    if not _frozen(job, a, facts, limits):
        if a.answer(job.record.key, "freeze") is not None:
            if job.record.attempt % limits.attempts:
                return Again(Step.FINAL_SYNC, "The final data-sync took longer than configuration may be read-only.")
            return _failed(job, "The final data-sync takes longer than configuration may be read-only.", limits)
        sentence = f"Configuration on {a.host} is read-only for some seconds."
        seconds = int(limits.freeze_seconds)
        asked = _do(Side.A, "freeze", sentence, facts, limits, seconds=seconds)
        return asked or _failed(job, facts.refusal or sentence, limits)
    if answer is None:
        sentence = f"{b.host} fetches the last of it."
        return _do(Side.B, "final-sync", sentence, facts, limits) or _failed(job, facts.refusal or sentence, limits)
    return StepDone(answer.sentence)


def _frozen(job: PairJobRecord, a: ApplianceFacts, facts: Facts, limits: Limits) -> bool:
    if a.frozen_by != job.id or a.frozen_until is None:
        return False
    return (a.frozen_until - facts.now).total_seconds() > limits.freeze_left_seconds


def _swing(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    """The moves of traffic before the roles change, the roles, the moves after; then what came of it.

    Whoever still reaches A when it has stepped down is pointed to B.
    """
    if a.role is Role.PRIMARY and b.role is Role.PRIMARY:
        return GiveUp(f"Both appliances are primary ({a.host} term {a.term}, {b.host} term {b.term}).")
    if a.base is None or b.base is None:
        one = b if b.base is None else a
        return Wait(f"Base of {one.host} does not answer in the middle of the swing.", Need.BASE)
    term = max(a.term, b.term) + (1 if a.role is Role.PRIMARY else 0)
    swing = swing_of(a, b)
    hindered = _moves(job, a, b, swing.before(term), facts, limits)
    hindered = hindered or _swing_roles(job, a, b, term, facts, limits)
    hindered = hindered or _moves(job, a, b, swing.after(term), facts, limits)
    if hindered is not None:
        return hindered
    seen = swing.moved(job.record.key)
    if not seen.ok:
        return _failed(job, seen.sentence, limits)
    if a.frozen_by == job.id:
        asked = _do(Side.A, "thaw", f"{a.host} is no longer read-only for this job.", facts, limits)
        return asked or _failed(job, facts.refusal, limits)
    return StepDone(f"{b.host} is primary, term {b.term}; sessions live: {b.sessions_live}. {seen.sentence}")


def _moves(
    job: PairJobRecord,
    a: ApplianceFacts,
    b: ApplianceFacts,
    moves: tuple[Do, ...],
    facts: Facts,
    limits: Limits,
) -> Decision | None:
    """The first of these moves that is not done yet, or None. One that fails before B is primary has it all undone."""
    for move in moves:
        answer = (a if move.side is Side.A else b).answer(job.record.key, move.verb)
        if answer is not None and answer.ok:
            continue
        if answer is None and facts.tried < limits.tries:
            return move
        reason = (facts.refusal if answer is None else answer.sentence) or move.sentence
        return _failed(job, reason, limits) if b.role is Role.PRIMARY else Undo(reason)
    return None


def _swing_roles(
    job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, term: int, facts: Facts, limits: Limits
) -> Decision | None:
    """A steps down, then B is promoted; None when both are done."""
    if b.role is Role.PRIMARY:
        return None
    if a.role is Role.PRIMARY:
        if not _frozen(job, a, facts, limits):
            if job.record.attempt > limits.attempts:
                return Undo(f"{a.host} could not step down while its configuration was read-only.")
            return Again(Step.FINAL_SYNC, "Configuration could have been changed since the final data-sync.")
        sentence = f"{a.host} steps down."
        asked = _do(Side.A, "step-down", sentence, facts, limits, term=term)
        if asked is None:
            return Undo(facts.refusal or sentence)
        return replace(asked, then=Do(Side.B, "take-primary", f"{b.host} becomes primary.", (("term", term),)))
    if a.term <= b.term:
        return Undo(f"{b.host} has seen a later role term than this swing's.")
    sentence = f"{b.host} becomes primary."
    return _do(Side.B, "take-primary", sentence, facts, limits, term=term) or Undo(facts.refusal or sentence)


def _release(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    for one in (a, b):
        if preflight.version(one.site_version) != preflight.version(job.targets.site):
            return GiveUp(f"{one.host} runs site {one.site_version}, not {job.targets.site}: clients stay held.")
    wanted = (
        (b.held_by != job.id, Side.B, "release-clients", "Clients may follow to the new version."),
        (a.held_by != job.id, Side.A, "release-clients", "Clients may follow to the new version."),
    )
    done = f"Both appliances run site {job.targets.site}; clients follow within their limit."
    return _ensure(job, wanted, done, facts, limits)
