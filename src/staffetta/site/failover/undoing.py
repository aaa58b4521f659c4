"""Pure: how a pair job that failed before B was primary is taken back, to everything as it was before.

- A is primary again if it had stepped down; B first takes note of the higher term, so that a promotion that is still
  on its way to it is refused.
- What base of B has committed stays: the pair then has a newer backup, data-sync goes on, and clients stay held there
  until a later pair upgrade has brought A to the same version.
"""

from staffetta.site.data.roles import Role
from staffetta.site.failover import preflight
from staffetta.site.failover.job_facts import (
    ApplianceFacts,
    Decision,
    Do,
    Facts,
    GiveUp,
    InstallState,
    Limits,
    Need,
    StepDone,
    Wait,
)
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.job_states import Side, Step
from staffetta.site.failover.swing.choice import swing_of


def plan_undo(job: PairJobRecord, facts: Facts, limits: Limits) -> Decision:
    """The next thing to do for a job that is undone. One appliance's own hindrances go even while the other is away."""
    for side in (Side.A, Side.B):
        one = facts.of(side)
        if one is not None and one.frozen_by == job.id:
            return _ask(side, "thaw", f"{one.host} is no longer read-only for this job.", facts, limits)
    a, b = facts.a, facts.b
    if a is None or b is None:
        side = Side.A if a is None else Side.B
        sentence = f"Appliance {side} has not answered for {facts.silent:.0f} s; the undo waits for it. {facts.why}"
        return Wait(sentence.rstrip(), Need.PEER)
    running = next((one for one in (*b.installs, *a.installs) if one.state is InstallState.RUNNING), None)
    if running is not None:
        return Wait(f"An install is under way and ends first: {running.text}")
    return _roles(a, b, facts, limits) or _loosen(job, a, b, facts, limits)


def _roles(a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision | None:
    """Whoever is primary stays so; when nobody is, A becomes it again."""
    if Role.PRIMARY in (a.role, b.role) or Role.ALONE in (a.role, b.role):
        return None
    if b.term > a.term:
        return _ask(Side.A, "take-primary", f"{a.host} is primary again.", facts, limits, term=b.term)
    term = a.term + 1
    return _ask(Side.B, "step-down", f"{b.host} stays backup.", facts, limits, term=term)


def _loosen(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Decision:
    primary = b if b.role is Role.PRIMARY else a
    side = Side.B if primary is b else Side.A
    backup = a if primary is b else b
    if primary.role is Role.PRIMARY and (primary.base is None or backup.base is None) and _swing_begun(job, a, b):
        one = primary if primary.base is None else backup
        return Wait(f"Base of {one.host} does not answer; the undo waits to give the shared address back.", Need.BASE)
    move = swing_of(a, b).back(job.record.key, side)
    if move is not None:
        return _asked(move, facts, limits)
    newer = preflight.version(b.site_version) > preflight.version(a.site_version)
    for side, one in ((Side.B, b), (Side.A, a)):
        if one.suspended_by == job.id:
            return _ask(side, "resume", f"{one.host} acts on its role by itself again.", facts, limits)
        if one.held_by == job.id and not (newer and side is Side.B):
            return _ask(side, "release-clients", f"Clients on {one.host} are no longer held.", facts, limits)
    roles = f"{primary.host} is primary"
    if newer:
        return StepDone(
            f"Undone: {roles}. {b.host} keeps site {b.site_version}, which is newer than {a.site_version} on {a.host}; "
            "data-sync goes on. Start the upgrade again to bring both to one version."
        )
    return StepDone(f"Undone: {roles}, both appliances are as before.")


def _swing_begun(job: PairJobRecord, a: ApplianceFacts, b: ApplianceFacts) -> bool:
    moved = any(one.verb.startswith("shared-") for one in (*a.answers, *b.answers))
    return moved or any(one.step is Step.SWING for one in job.steps)


def _ask(side: Side, verb: str, sentence: str, facts: Facts, limits: Limits, **arguments: int) -> Decision:
    return _asked(Do(side, verb, sentence, tuple(sorted(arguments.items()))), facts, limits)


def _asked(do: Do, facts: Facts, limits: Limits) -> Decision:
    """Ask for it, unless it was asked for too often."""
    if facts.tried >= limits.tries:
        return GiveUp(facts.refusal or f"It had no effect: {do.sentence}")
    return do
