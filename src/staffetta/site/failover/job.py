"""The owner's turn at a pair job: look at both appliances, plan, do one thing, write down, tell the peer.

Everything it needs comes in through two small interfaces, so that the tests run this very code over a simulated pair.
Nothing is remembered between two processes but the stored job: counters only keep a process from trying for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.site.failover import job_record, plan
from staffetta.site.failover.errors import PeerRefused, PeerUnreachable
from staffetta.site.failover.job_command import Command, Reply, UnderWay, Verb
from staffetta.site.failover.job_errors import Fenced
from staffetta.site.failover.job_facts import (
    Again,
    ApplianceFacts,
    Decision,
    Do,
    Facts,
    GiveUp,
    HandOver,
    Limits,
    Need,
    StepDone,
    Undo,
    Wait,
)
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.job_states import JobState

_log = get_logger(__name__)

AT_ONCE: Final = 0.0
SOON: Final = 0.5
LATER: Final = 1.0
"""Seconds until the next turn: after progress, while something is under way, when something is missing."""


class Hands(Protocol):
    """One appliance, as the owner reaches it: its own at home, the other over the link."""

    def facts(self, job: PairJobRecord) -> ApplianceFacts:
        """Its facts. Raises ``PeerUnreachable`` or ``PeerRefused`` when it is the other one."""
        ...

    def do(self, command: Command) -> Reply:
        """Execute a command; raises what executing raises, ``PeerUnreachable``, ``PeerRefused``."""
        ...


class Shelf(Protocol):
    """Where the job is kept on this appliance, and how it is told to the other."""

    def load(self) -> PairJobRecord | None:
        """The job that is not over, or that the other appliance has not been told the end of."""
        ...

    def save(self, job: PairJobRecord) -> PairJobRecord | None:
        """Store the next revision; None when the stored one is no longer what this was made from."""
        ...

    def told(self, job: PairJobRecord) -> bool:
        """Whether the other appliance has this revision."""
        ...

    def tell(self, job: PairJobRecord) -> None:
        """Send it to the other appliance. Raises ``PeerUnreachable``, ``PeerRefused``."""
        ...


@dataclass(slots=True)
class _Memory:
    """What one process remembers of its own tries."""

    job: str = ""
    command: tuple[str, str, str] = ("", "", "")
    tried: int = 0
    refusal: str = ""
    heard: datetime | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one turn: the sentence for log and status, and when to look again (seconds)."""

    sentence: str
    again_in: float


@dataclass(slots=True)
class Owner:
    """Runs the turns of this appliance, ``own`` being its origin."""

    own: str
    home: Hands
    away: Hands
    shelf: Shelf
    clock: Callable[[], datetime]
    limits: Limits
    _memory: _Memory = field(default_factory=_Memory)

    def turn(self) -> Turn | None:
        """Do one thing; None when there is nothing to own here."""
        job = self.shelf.load()
        if job is None:
            return None
        if self._memory.job != job.id:
            self._memory = _Memory(job=job.id)
        if self._memory.heard is None:
            self._memory.heard = self.clock()
        if not self.shelf.told(job):
            try:
                self.shelf.tell(job)
            except PeerRefused as error:
                sentence = f"The other appliance refuses the job: {error.message}"
                if job.owner == self.own and job.state.acts:
                    self._write(job, job_record.held_up(job, sentence))
                return self._said(job, Turn(sentence, LATER))
            except PeerUnreachable:
                if job.owner != self.own or not job.state.acts:
                    return self._said(job, Turn("The other appliance could not be told yet.", LATER))
            else:
                self._memory.heard = self.clock()
        if job.owner != self.own or not job.state.acts:
            return None
        return self._said(job, self._act(job))

    def _act(self, job: PairJobRecord) -> Turn:
        try:
            facts = self._look(job)
        except Fenced as error:
            return Turn(error.message, LATER)
        decision = plan.plan(job, facts, self.limits)
        if not isinstance(decision, Wait) and job.state is JobState.WAITING:
            job = job_record.going_on(job)
        return self._carry_out(job, decision)

    def _look(self, job: PairJobRecord) -> Facts:
        """Ask both appliances. Raises ``Fenced`` when one knows of a higher rank."""
        mine = job.side(self.own)
        at_home = self.home.facts(job)
        asked = self.clock()
        difference, why = 0.0, ""
        away: ApplianceFacts | None
        try:
            away = self.away.facts(job)
        except StaffettaError as error:  # also facts that this release cannot read
            _log.debug("the other appliance gives no facts: %s", error.message)
            away, why = None, error.message
        now = self.clock()
        for one in (at_home, away):
            if one is not None and (one.job_term, one.job_owner) > job.rank:
                raise Fenced("The other appliance has taken this job over.")
        if away is not None:
            self._memory.heard = now
            took = (now - asked).total_seconds()
            difference = max(0.0, abs((away.time - asked).total_seconds() - took / 2) - took / 2)
        own_first = mine.value == "A"
        heard = self._memory.heard or now
        return Facts(
            a=at_home if own_first else away,
            b=away if own_first else at_home,
            now=now,
            clock_difference=difference,
            tried=self._memory.tried,
            refusal=self._memory.refusal,
            silent=max(0.0, (now - heard).total_seconds()),
            why=why,
            waited=max(0.0, (now - job.record.started).total_seconds()),
        )

    def _carry_out(self, job: PairJobRecord, decision: Decision) -> Turn:
        now = self.clock()
        match decision:
            case Do():
                return self._do(job, decision)
            case Wait(sentence, need):
                held = job_record.held_up(job, sentence) if need is not Need.NOTHING else job_record.going_on(job)
                self._write(job, replace(held, sentence=sentence))
                return Turn(sentence, SOON if need is Need.NOTHING else LATER)
            case StepDone(evidence):
                after = job_record.step_done(job, evidence, now)
                return self._next(
                    after, f"{job.step}: {evidence}", said=evidence if after.state.ended else "It begins."
                )
            case HandOver(side):
                after = job_record.handed_over(job, job.origin(side))
                return self._next(after, f"Appliance {side} owns the job from now on.")
            case Again(step, reason):
                return self._next(job_record.again(job, step, reason, now), f"{step} is tried anew: {reason}", SOON)
            case Undo(reason):
                return self._next(job_record.undo(job, reason, now), f"It is undone: {reason}")
            case GiveUp(reason):
                return self._next(job_record.give_up(job, reason), f"A person is needed: {reason}")

    def _next(self, job: PairJobRecord, sentence: str, again_in: float = AT_ONCE, said: str | None = None) -> Turn:
        """Store what has changed; ``said`` is the job's own sentence, if another one than the log's."""
        self._memory.tried, self._memory.refusal = 0, ""
        self._memory.command = ("", "", "")
        saved = self.shelf.save(replace(job, sentence=said or sentence))
        if saved is not None:
            self._tell(saved)
        return Turn(sentence, again_in)

    def _write(self, before: PairJobRecord, after: PairJobRecord) -> None:
        if before != after:
            saved = self.shelf.save(after)
            if saved is not None:
                self._tell(saved)

    def _tell(self, job: PairJobRecord) -> None:
        try:
            self.shelf.tell(job)
        except (PeerUnreachable, PeerRefused) as error:
            _log.info("the other appliance could not be told: %s", error.message, extra={"job": job.id})

    def _do(self, job: PairJobRecord, do: Do) -> Turn:
        """Send one command. What was refused, or had no effect, counts; what may still be under way does not.

        The sentence is stored afterwards: between stepping down and the promotion every write is felt.
        """
        turn, done = self._send(job, do)
        if done and do.then is not None:
            turn, _ = self._send(job, do.then)
        self._write(job, replace(job, sentence=do.sentence))
        return turn

    def _send(self, job: PairJobRecord, do: Do) -> tuple[Turn, bool]:
        """What is to be said of it, and whether it was done."""
        memory = self._memory
        key = (job.record.key, do.side.value, do.verb)
        if memory.command != key:
            memory.command, memory.tried, memory.refusal = key, 0, ""
        command = Command(job.id, job.record.key, job.term, job.owner, Verb(do.verb), dict(do.arguments))
        hands = self.home if job.origin(do.side) == self.own else self.away
        try:
            reply = hands.do(command)
        except PeerUnreachable:
            return Turn(do.sentence, SOON), False
        except StaffettaError as error:
            memory.tried, memory.refusal = memory.tried + 1, error.message
            return Turn(f"{do.sentence} Refused: {error.message}", LATER), False
        if isinstance(reply, UnderWay):
            return Turn(do.sentence, SOON), False
        memory.tried += 1
        memory.refusal = "" if reply.ok else reply.sentence
        return Turn(do.sentence, AT_ONCE), reply.ok

    def _said(self, job: PairJobRecord, turn: Turn) -> Turn:
        """Log each sentence once."""
        if turn.sentence != self._memory.said:
            self._memory.said = turn.sentence
            _log.info(turn.sentence, extra={"job": job.id, "step": job.step.value, "state": job.state.value})
        return turn
