"""What pages, commands and the worker do with pair jobs: begin one, look, pause, resume, undo, take over, run it."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from staffetta.control.local import from_json
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.ids import new_id
from staffetta.kernel.log import get_logger
from staffetta.site.data import audit
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import commands, job_look, job_record, job_store, link, preflight, roles
from staffetta.site.failover.errors import FailoverError, WrongRole
from staffetta.site.failover.job import LATER, Owner
from staffetta.site.failover.job_command import Command, Reply, Verb, reply_from, to_document
from staffetta.site.failover.job_errors import BadPairJob, Fenced, NotNow, NotReady
from staffetta.site.failover.job_facts import DEFAULTS, ApplianceFacts, BaseFacts, Facts
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.peer import HttpsPeer, Peer
from staffetta.site.failover.preflight import Check
from staffetta.site.failover.reaching import Limits as LinkLimits

_log = get_logger(__name__)

_LINK: Final = LinkLimits(connect=2.0, silence=15.0, whole=20.0)
_TURN_SECONDS: Final = 5.0
"""So long the worker goes from turn to turn without a pause, so that it can be asked to leave between two."""

jobs = job_store.newest
job = job_store.load
under_way = job_store.under_way


# The two appliances as the owner reaches them


class Home:
    """This appliance."""

    def facts(self, record: PairJobRecord) -> ApplianceFacts:
        """Its own facts."""
        return job_look.own_facts(record.id)

    def do(self, command: Command) -> Reply:
        """Execute it here."""
        return commands.execute(command)


class Away:
    """The other appliance."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def facts(self, record: PairJobRecord) -> ApplianceFacts:
        """What it says of itself."""
        return facts_of(self._peer, record.id, record.term)

    def do(self, command: Command) -> Reply:
        """Have it execute the command."""
        return reply_from(self._peer.post("command", to_document(command)), command)


class Shelf:
    """The job in this appliance's database, and the other appliance that is told of it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def load(self) -> PairJobRecord | None:
        """The job to look after."""
        return job_store.to_look_after()

    def save(self, record: PairJobRecord) -> PairJobRecord | None:
        """Store the next revision; an end lets go of what was held on this appliance."""
        saved = job_store.save(record)
        if saved is not None and saved.state.ended:
            commands.settle(saved)
        return saved

    def told(self, record: PairJobRecord) -> bool:
        """Whether the other appliance has it."""
        return job_store.is_told(record)

    def tell(self, record: PairJobRecord) -> None:
        """Send it."""
        self._peer.post("job", job_record.to_document(record))
        job_store.note_told(record)


def facts_of(peer: Peer, job_id: str, term: int) -> ApplianceFacts:
    """Ask the other appliance for its facts."""
    asked = Command(job_id, Verb.FACTS.value, term, instance.origin(), Verb.FACTS)
    return from_json(ApplianceFacts, peer.post("command", to_document(asked)).get("facts"))


# Beginning


def check_updates(actor: str) -> None:
    """Have both bases ask the update server, so that a job goes to what is newest; then ``prepare``.

    What hinders one of them hinders nobody here: its facts say so. Nothing is asked where no job can begin.
    """
    relationship = roles.held()
    if relationship is None or instance.role() is not Role.PRIMARY or job_store.under_way() is not None:
        return
    check_updates_here(actor)
    try:
        with link.peer_of(relationship, _LINK) as peer:
            peer.post("updates/check", {"actor": actor})
    except FailoverError as error:
        # Unreachable, as `prepare` will find; or of a release that does not know the question.
        _log.info("the other appliance did not check for updates: %s", error.message)


def check_updates_here(actor: str) -> None:
    """Have this appliance's base ask the update server."""
    try:
        with job_look.site_door() as door:
            door.check_updates(actor)
    except StaffettaError as error:
        _log.info("base did not check for updates: %s", error.message)


def prepare(wanted: str | None) -> tuple[PairJobRecord, tuple[Check, ...]]:
    """The job that would be begun now, and every check of its pre-flight; changes nothing.

    Raises ``WrongRole``, ``NoRelationship``, ``NotReady`` when there is nothing to go to, ``PeerUnreachable``.
    """
    relationship = roles.required()
    if instance.role() is not Role.PRIMARY:
        raise WrongRole("This appliance is the backup: begin the upgrade on the primary.")
    other = job_store.under_way()
    if other is not None:
        raise NotNow(f"The pair job {other.id} is under way ({other.state} at {other.step}).")
    job_id = new_id()
    asked = utc_now()
    with link.peer_of(relationship, _LINK) as peer:
        b = facts_of(peer, job_id, 1)
    now = utc_now()
    a = job_look.own_facts(job_id)
    apart = max(0.0, abs((b.time - asked).total_seconds() - (now - asked).total_seconds() / 2) - 0.5)
    targets = preflight.choose_targets(_base(a), _base(b), wanted)
    record = job_record.begin(job_id, a=a.origin, b=b.origin, targets=targets, actor="", now=now)
    return record, preflight.checks(job_id, targets, Facts(a, b, now, clock_difference=apart), DEFAULTS)


def begin(actor: str, *, wanted: str | None = None, backup_password: bytes | None = None) -> PairJobRecord:
    """Begin an asynchronous upgrade of the pair to the newest site (or ``wanted``) that both appliances can have.

    What only has to be waited for (a grant, data-sync) is waited for by the job. Raises ``NotReady`` for the rest.
    """
    record, checks = prepare(wanted)
    hindered = [one.detail for one in checks if not one.ok and one.need is None]
    if hindered:
        raise NotReady(" ".join(hindered))
    if backup_password is not None and not backup_password:
        raise NotReady("The backup's password is empty; choose one, or give none.")
    record = job_record.begun_by(record, actor)
    audit.note(actor, "failover.upgrade-begun", record.id, record.targets.told)
    job_store.add(record, backup_password)
    return record


def _base(one: ApplianceFacts) -> BaseFacts:
    if one.base is None:
        raise NotReady(f"Base of {one.host} does not answer: see `staffetta appliance status` there.")
    return one.base


# Steering


def steer(job_id: str, verb: str, actor: str) -> PairJobRecord:
    """``pause``, ``resume`` or ``undo`` a job, here or on the appliance that owns it. Raises ``NotNow``."""
    record = job_store.load(job_id)
    if record.owner == instance.origin():
        return steer_here(job_id, verb, actor)
    with link.peer_of(roles.required(), _LINK) as peer:
        told = peer.post("job/steer", {"job": job_id, "verb": verb, "actor": actor})
    return job_record.from_document(told)


def steer_here(job_id: str, verb: str, actor: str) -> PairJobRecord:
    """The same on the owner. Raises ``Fenced`` when this appliance does not own the job."""
    now = utc_now()

    def how(record: PairJobRecord) -> PairJobRecord:
        if record.owner != instance.origin():
            raise Fenced("The other appliance owns this pair job.")
        match verb:
            case "pause":
                return _paused(record, actor)
            case "resume":
                if not record.resumable:
                    raise NotNow(f"The job is {record.state}: only one that is paused or needs a person is resumed.")
                return job_record.resume(record, actor, now)
            case "undo":
                return _undone(record, actor, now)
            case _:
                raise BadPairJob("A pair job can be told: pause, resume, undo.")

    after = job_store.change(job_id, how)
    audit.note(actor, f"failover.upgrade-{verb}", job_id)
    return after


def _paused(record: PairJobRecord, actor: str) -> PairJobRecord:
    if not record.pausable:
        raise NotNow(
            f"The job is {record.state} at {record.step}: one that runs or waits can be paused, but not in the seconds "
            "in which traffic moves. Pause it afterwards."
        )
    return job_record.pause(record, actor)


def _undone(record: PairJobRecord, actor: str, now: datetime) -> PairJobRecord:
    if not record.undoable:
        raise NotNow(f"The job is {record.state} at {record.step}: it can be undone only before traffic moves.")
    return job_record.undo(record, f"{actor} has it undone.", now)


def take_over(job_id: str, actor: str) -> PairJobRecord:
    """Own the job from now on, since the other appliance is gone or its release cannot go on; that one is fenced."""
    origin = instance.origin()

    def how(record: PairJobRecord) -> PairJobRecord:
        if record.state.ended:
            raise NotNow(f"The job has ended: {record.state}.")
        if record.owner == origin:
            raise NotNow("This appliance owns the job already.")
        return job_record.handed_over(record, origin)

    after = job_store.change(job_id, how)
    audit.note(actor, "failover.upgrade-taken-over", job_id, {"job_term": after.term})
    return after


def receive(told: PairJobRecord, sender: str) -> None:
    """Store what the other appliance tells of a job; at its end nothing here is hindered for it any more."""
    if {told.a, told.b} != {sender, instance.origin()}:
        raise BadPairJob("That is a job of another pair.")
    if job_store.receive(told) and told.state.ended:
        commands.settle(told)


# Running


class Runner:
    """The worker's: keeps the owner and its connection between two runs."""

    def __init__(self) -> None:
        self._kept = link.KeptPeer(_LINK)
        self._peer: HttpsPeer | None = None
        self._owner: Owner | None = None
        self._next = 0.0

    def run(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Turn after turn while there is progress."""
        began = monotonic()
        if began < self._next:
            return
        while monotonic() - began < _TURN_SECONDS:
            owner = self._current()
            turn = None if owner is None else owner.turn()
            if turn is None or turn.again_in > 0:
                self._next = monotonic() + (LATER if turn is None else turn.again_in)
                return

    def _current(self) -> Owner | None:
        record = job_store.to_look_after()
        if record is None or record.state.ended:
            commands.settle_ended()
        if record is None:
            self._close()
            return None
        relationship = roles.held()
        if relationship is None or relationship.peer_origin not in (record.a, record.b):
            self._close()
            if not record.state.ended:
                _abandon(record)
            return None
        peer = self._kept.of(relationship)
        if self._owner is None or peer is not self._peer:
            self._peer = peer
            self._owner = Owner(instance.origin(), Home(), Away(peer), Shelf(peer), utc_now, DEFAULTS)
        return self._owner

    def _close(self) -> None:
        self._owner = None
        self._kept.close()


def _abandon(record: PairJobRecord) -> None:
    """The relationship is broken: each appliance keeps what it has, and nothing is hindered any more."""
    reason = f"The failover relationship was broken at {record.step}: each appliance keeps what it has."
    after = job_store.change(record.id, lambda one: job_record.abandoned(one, reason, utc_now()))
    commands.settle(after)
    _log.warning(reason, extra={"job": record.id})


RUNNER: Final = Runner()


def run(now: datetime) -> None:
    """The worker's job: what this appliance owns."""
    RUNNER.run()


def work(now: datetime) -> None:
    """The worker's job: what the owner has asked this appliance to do."""
    commands.work(now)
