"""Two appliances in memory that execute the commands of a pair job, with everything that can go wrong between them.

What decides is the project's own code (`job.Owner`, `plan`, `undoing`, `job_record`); simulated are the appliances, the
cable and the clock. After every effect the appliances are looked at: both primary, two owners, clients let go.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from staffetta.site.data.roles import Role
from staffetta.site.failover import job_record
from staffetta.site.failover.errors import PeerRefused, PeerUnreachable
from staffetta.site.failover.job import Owner, Turn
from staffetta.site.failover.job_command import WORK, Command, Reply, UnderWay, Verb
from staffetta.site.failover.job_errors import Fenced, NoSuchPairJob, NotNow
from staffetta.site.failover.job_facts import (
    Answered,
    ApplianceFacts,
    BaseFacts,
    InstallFact,
    InstallState,
    Limits,
    OfferFact,
)
from staffetta.site.failover.job_record import PairJobRecord, Targets
from staffetta.site.failover.job_states import JobState, Side

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD, NEW = "1.0", "2.0"


class Broken(AssertionError):
    """Something happened that never may."""


@dataclass
class Appliance:
    """One simulated appliance: what is on its disk, and what is on its way."""

    side: Side
    role: Role
    world: "World"
    term: int = 1
    site: str = OLD
    base: str = OLD
    shared: str = "released"
    shared_term: int = 0
    suspended_by: str | None = None
    frozen_by: str | None = None
    frozen_until: datetime | None = None
    held_by: str | None = None
    document: PairJobRecord | None = None
    told: tuple[tuple[int, str], int] | None = None
    journal: dict[tuple[str, str], Answered] = field(default_factory=dict)
    pending: dict[tuple[str, str], Command] = field(default_factory=dict)
    installs: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    install_states: dict[str, InstallState] = field(default_factory=dict)
    up_at: datetime = START
    deaf_until: datetime = START
    granted: bool = True
    refuses: str = ""
    failing: set[str] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return f"origin-{self.side.lower()}"

    @property
    def up(self) -> bool:
        return self.world.now >= self.up_at

    def frozen(self) -> bool:
        return self.frozen_until is not None and self.world.now < self.frozen_until

    # What it says

    def facts(self, job: PairJobRecord) -> ApplianceFacts:
        self.pass_time()
        kept = self.document
        offers = tuple(
            OfferFact(f"{kind}-{NEW}", kind, NEW, True)
            for kind, has in (("base", self.base), ("site", self.site))
            if has != NEW
        )
        running = next((key for key, state in self.install_states.items() if state is InstallState.RUNNING), None)
        base = BaseFacts(
            self.base,
            self.site,
            self.shared,
            offers,
            granted_until=self.world.now + timedelta(hours=1) if self.granted else None,
            install=running,
            shared_term=self.shared_term,
        )
        return ApplianceFacts(
            origin=self.origin,
            host=f"host-{self.side.lower()}",
            role=self.role,
            term=self.term,
            site_version=self.site,
            time=self.world.now,
            base=base,
            related=True,
            covers_shared_name=True,
            suspended_by=self.suspended_by,
            frozen_by=self.frozen_by if self.frozen() else None,
            frozen_until=self.frozen_until,
            held_by=self.held_by,
            sync_finished=self.world.now,
            job_term=kept.term if kept and kept.id == job.id else 0,
            job_owner=kept.owner if kept and kept.id == job.id else "",
            installs=tuple(
                InstallFact(key, state, "the release is unhealthy") for key, state in self.install_states.items()
            ),
            answers=tuple(self.journal.values()),
        )

    def pass_time(self) -> None:
        """Let installs end."""
        for key, (kind, ends) in self.installs.items():
            if self.install_states[key] is InstallState.RUNNING and self.world.now >= ends:
                if f"install-{kind}" in self.failing:
                    self.failing.discard(f"install-{kind}")
                    self.install_states[key] = InstallState.UNDONE
                    continue
                self.install_states[key] = InstallState.COMMITTED
                setattr(self, kind, NEW)
                self.world.look()

    # What it executes

    def execute(self, command: Command) -> Reply:
        kept = self.document
        if kept is None or kept.id != command.job:
            raise NoSuchPairJob("unknown job")
        if kept.state.ended:
            raise NotNow("the job has ended")
        if command.rank < kept.rank:
            raise Fenced("an earlier owner")
        if command.rank > kept.rank:
            self.document = replace(kept, term=command.term, owner=command.owner)
        key = (command.step, command.verb.value)
        if key in self.journal:
            return self.journal[key]
        if command.verb in WORK:
            self.pending[key] = command
            return UnderWay()
        return self._done(command)

    def work(self) -> None:
        """The worker does what was taken down."""
        for key, command in list(self.pending.items()):
            del self.pending[key]
            self._done(command)

    def _done(self, command: Command) -> Answered:
        self.world.acted(command)
        refused = f"{command.verb}" in self.failing or not self._sees_what_it_shall(command)
        self.failing.discard(command.verb.value)
        if refused and command.verb not in WORK:
            raise NotNow(f"{command.verb} fails")
        if not refused and (command.step, command.verb.value) in self.journal:
            raise Broken(f"{command} is executed twice")
        value = "" if refused else self._effect(command)
        answer = Answered(command.step, command.verb.value, not refused, f"{command.verb} on {self.side}", value)
        self.journal[command.step, command.verb.value] = answer
        self.world.look()
        return answer

    def _sees_what_it_shall(self, command: Command) -> bool:
        """Whether the one that is looked for is alone at the shared address."""
        if command.verb is not Verb.SWING_CHECK:
            return True
        return [one.origin for one in (self.world.a, self.world.b) if one.shared == "held"] == [command.text("origin")]

    def _effect(self, command: Command) -> str:
        if command.verb.startswith("shared-"):
            if command.number("term") < self.shared_term:
                raise NotNow("the shared address was moved for a later term")
            self.shared_term = command.number("term")
        match command.verb:
            case Verb.SUSPEND:
                self.suspended_by = command.job
            case Verb.RESUME:
                self.suspended_by = None
            case Verb.FREEZE:
                self.frozen_by = command.job
                self.frozen_until = self.world.now + timedelta(seconds=command.number("seconds"))
            case Verb.THAW:
                self.frozen_by = self.frozen_until = None
            case Verb.HOLD_CLIENTS:
                self.held_by = command.job
            case Verb.RELEASE_CLIENTS:
                self.held_by = None
            case Verb.STEP_DOWN:
                self._role(Role.BACKUP, command.number("term"))
            case Verb.TAKE_PRIMARY:
                self._role(Role.PRIMARY, command.number("term"))
            case Verb.BEGIN_INSTALL:
                kind = command.text("target").split("-")[0]
                self.installs[command.step] = (kind, self.world.now + timedelta(seconds=3))
                self.install_states[command.step] = InstallState.RUNNING
            case Verb.SHARED_JOIN | Verb.SHARED_CLAIM:
                self.shared = "held"
            case Verb.SHARED_LEAVE | Verb.SHARED_RELEASE:
                self.shared = "released"
            case _:
                pass
        return ""

    def _role(self, role: Role, term: int) -> None:
        if term < self.term or (term == self.term and role is not self.role):
            raise NotNow("an earlier role term")
        self.role, self.term = role, term

    # The shelf

    def take(self, document: PairJobRecord) -> None:
        """The other appliance tells its document."""
        if self.refuses:
            raise NotNow(self.refuses)
        kept = self.document
        if kept is not None and kept.id == document.id and not document.supersedes(kept):
            if (document.rank, document.revision) == (kept.rank, kept.revision):
                return
            raise Fenced("an earlier document")
        self.document = document
        self.told = (document.rank, document.revision)
        if document.state.ended:
            if self.suspended_by == document.id:
                self.suspended_by = None
            if self.frozen_by == document.id:
                self.frozen_by = self.frozen_until = None


class Cable:
    """The other appliance over the link; what is lost is lost on the way there or on the way back."""

    def __init__(self, world: "World", asker: Appliance) -> None:
        self._world, self._asker = world, asker

    @property
    def _far(self) -> Appliance:
        return self._world.of(self._asker.side.other)

    def _reach(self) -> Appliance:
        if not self._far.up or self._world.now < self._world.cut_until:
            raise PeerUnreachable("no answer")
        return self._far

    def facts(self, job: PairJobRecord) -> ApplianceFacts:
        return self._reach().facts(job)

    def do(self, command: Command) -> Reply:
        far = self._reach()
        self._world.sent.append((far.side, command))
        loss = self._world.losses.pop(0) if self._world.losses else ""
        if loss == "request":
            raise PeerUnreachable("lost on the way")
        try:
            reply = far.execute(command)
        except (Fenced, NotNow, NoSuchPairJob) as error:
            raise PeerRefused(error.message, error.code) from None
        if loss == "answer":
            raise PeerUnreachable("the answer was lost")
        return reply

    def tell(self, document: PairJobRecord) -> None:
        if self._world.now < self._far.deaf_until:
            raise PeerUnreachable("the document was lost")
        try:
            self._reach().take(document)
        except (Fenced, NotNow) as error:
            raise PeerRefused(error.message, error.code) from None


class Home:
    """The owner's own appliance."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance

    def facts(self, job: PairJobRecord) -> ApplianceFacts:
        return self._appliance.facts(job)

    def do(self, command: Command) -> Reply:
        return self._appliance.execute(command)


class Shelf:
    """The job on one appliance's disk."""

    def __init__(self, appliance: Appliance, cable: Cable) -> None:
        self._appliance, self._cable = appliance, cable

    def load(self) -> PairJobRecord | None:
        kept = self._appliance.document
        return None if kept is None or (kept.state.ended and self.told(kept)) else kept

    def save(self, job: PairJobRecord) -> PairJobRecord | None:
        kept = self._appliance.document
        if kept is None or kept.revision != job.revision or kept.rank > job.rank:
            return None
        if job_record.newsworthy(kept, job):
            self._appliance.world.audited.append(job.state)
        self._appliance.document = replace(job, revision=job.revision + 1)
        return self._appliance.document

    def told(self, job: PairJobRecord) -> bool:
        return self._appliance.told == (job.rank, job.revision)

    def tell(self, job: PairJobRecord) -> None:
        self._cable.tell(job)
        self._appliance.told = (job.rank, job.revision)


class World:
    """The pair, its clock, and what a test does to it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now = START
        self.cut_until = START
        self.losses: list[str] = []
        self.sent: list[tuple[Side, Command]] = []
        self.turns: list[tuple[Side, Turn]] = []
        self.audited: list[JobState] = []
        self.rank = (0, "")
        self.limits = limits or Limits()
        self.a = Appliance(Side.A, Role.PRIMARY, self, shared="held")
        self.b = Appliance(Side.B, Role.BACKUP, self)
        self._owners: dict[Side, Owner] = {}
        targets = Targets(NEW, NEW)
        self.a.document = job_record.begin(
            "job-1", a=self.a.origin, b=self.b.origin, targets=targets, actor="admin", now=START
        )

    def of(self, side: Side) -> Appliance:
        return self.a if side is Side.A else self.b

    @property
    def job(self) -> PairJobRecord:
        """The newest document there is."""
        kept = [one.document for one in (self.a, self.b) if one.document is not None]
        return max(kept, key=lambda one: (one.state.ended, one.rank, one.revision))

    def look(self) -> None:
        """What must hold after every effect."""
        a, b = self.a, self.b
        if a.shared == b.shared == "released":
            raise Broken("nobody listens at the shared address")
        if a.role is Role.PRIMARY and b.role is Role.PRIMARY:
            raise Broken("both are primary")
        for one, other in ((a, b), (b, a)):
            if one.role is Role.PRIMARY and one.site == NEW != other.site and one.held_by is None:
                raise Broken(f"clients are let go by {one.side} while {other.side} runs {other.site}")

    def acted(self, command: Command) -> None:
        """An owner has had an effect: no earlier owner may have one after it."""
        if command.rank < self.rank:
            raise Broken(f"{command} of an owner before {self.rank}")
        self.rank = command.rank

    def restart(self, side: Side) -> None:
        """The worker is killed and started again: it remembers nothing."""
        self._owners.pop(side, None)

    def kill(self, side: Side, seconds: float) -> None:
        """The whole appliance is away for a while."""
        self.restart(side)
        self.of(side).up_at = self.now + timedelta(seconds=seconds)

    def cut(self, seconds: float) -> None:
        """The cable is out for a while."""
        self.cut_until = self.now + timedelta(seconds=seconds)

    def deafen(self, side: Side, seconds: float) -> None:
        """Documents do not arrive there for a while; commands do."""
        self.of(side).deaf_until = self.now + timedelta(seconds=seconds)

    def repeat(self, number: int) -> None:
        """A command that was sent earlier arrives once more."""
        if self.sent:
            side, command = self.sent[number % len(self.sent)]
            try:
                self.of(side).execute(command)
            except (Fenced, NotNow, NoSuchPairJob):
                return

    def take_over(self, side: Side) -> None:
        """A person has this appliance take the job over."""
        one = self.of(side)
        kept = one.document
        if one.up and kept is not None and not kept.state.ended and kept.owner != one.origin:
            one.document = replace(job_record.handed_over(kept, one.origin), revision=kept.revision + 1)

    def resume(self) -> None:
        """A person lets a job go on that waits for one."""
        owner = self.of(self.job.side(self.job.owner))
        kept = owner.document
        if owner.up and kept is not None and kept.state in (JobState.NEEDS_A_PERSON, JobState.PAUSED):
            resumed = job_record.resume(kept, "admin", self.now)
            owner.document = replace(resumed, revision=kept.revision + 1)

    def tick(self) -> None:
        """Each worker that is up has its turn."""
        for side in Side:
            one = self.of(side)
            if not one.up:
                continue
            one.work()
            turn = self._owner(side).turn()
            if turn is not None:
                self.turns.append((side, turn))
        self.now += timedelta(seconds=0.5)

    def _owner(self, side: Side) -> Owner:
        if side not in self._owners:
            one = self.of(side)
            cable = Cable(self, one)
            self._owners[side] = Owner(one.origin, Home(one), cable, Shelf(one, cable), lambda: self.now, self.limits)
        return self._owners[side]

    def run(self, turns: int = 2000) -> Iterator[int]:
        """Ticks until the end is known on both appliances."""
        for number in range(turns):
            documents = (self.a.document, self.b.document)
            if all(one is not None and one.state.ended for one in documents):
                return
            yield number
            self.tick()
        raise Broken(f"no end: {self.job.state} at {self.job.step}: {self.job.sentence} {self.turns[-3:]}")

    def check_end(self) -> None:
        """It is finished, or everything is as before."""
        a, b, job = self.a, self.b, self.job
        assert [one for one in self.audited if one.ended] == [job.state], "the audit log has the end once"
        assert a.suspended_by is None and b.suspended_by is None
        assert not a.frozen() and not b.frozen()
        if job.state is JobState.FINISHED:
            assert (a.site, b.site, a.base, b.base) == (NEW,) * 4
            assert (a.role, b.role) == (Role.BACKUP, Role.PRIMARY) and a.term == b.term
            assert (a.shared, b.shared) == ("released", "held")
            assert a.held_by is None and b.held_by is None
        else:
            assert job.state is JobState.UNDONE
            assert (a.role, b.role) == (Role.PRIMARY, Role.BACKUP) and a.term == b.term
            assert (a.site, a.base) == (OLD, OLD)
            assert (a.shared, b.shared) == ("held", "released")
            assert a.held_by is None
            assert b.held_by is None or b.site == NEW
