"""The journal of a pair job's commands, its storage and its holds, over the site's own tables."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Unavailable
from staffetta.kernel.ids import new_id
from staffetta.kernel.journal import GATE_VARIABLE
from staffetta.site.data import identity
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.failover import (
    commands,
    holds,
    job_effects,
    job_look,
    job_record,
    job_service,
    job_store,
    rules,
)
from staffetta.site.failover.answers import ANSWERS, Asked
from staffetta.site.failover.errors import PeerUnreachable, StaleTerm
from staffetta.site.failover.job_command import Command, UnderWay, Verb
from staffetta.site.failover.job_errors import BadPairJob, Fenced, NoSuchPairJob, NotNow
from staffetta.site.failover.job_record import PairJobRecord, Targets
from staffetta.site.failover.job_states import JobState, Step
from staffetta.site.failover.models import PairCommand, PairJob, Relationship
from staffetta.site.management import audit_log

pytestmark = [pytest.mark.django_db, pytest.mark.req("F7")]

PEER = "peerpeerpeerpeerpeerpeerpe"
_HOLD = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
sys.stdout.write("."); sys.stdout.flush(); sys.stdin.read()
"""
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, settings: Any) -> None:
    settings.STAFFETTA_SITE_FOLDER = tmp_path


@pytest.fixture
def job(db: None) -> PairJobRecord:
    """A job that the other appliance owns; this one is its backup B, role term 1."""
    Relationship.objects.create(
        peer_origin=PEER,
        peer_key=b"k" * 32,
        peer_host="peer",
        peer_port=443,
        own_host="own",
        own_port=443,
        peer_leaf="00",
        established_at=START,
    )
    SiteInstance.objects.update(role=Role.BACKUP, role_term=1)
    made = job_record.begin(
        new_id(), a=PEER, b=identity.origin(), targets=Targets("2.0", "2.0"), actor="admin", now=START
    )
    job_service.receive(made, PEER)
    return job_store.load(made.id)


def told(job: PairJobRecord, verb: Verb, step: str = "suspend.1", term: int = 1, **arguments: str | int) -> Command:
    return Command(job.id, step, term, PEER, verb, arguments)


def test_a_repeated_command_is_answered_from_the_journal(job: PairJobRecord) -> None:
    first = commands.execute(told(job, Verb.SUSPEND))
    assert holds.suspended_by() == job.id
    holds.resume(job.id)
    assert commands.execute(told(job, Verb.SUSPEND)) == first
    assert holds.suspended_by() is None, "it was executed twice"
    commands.execute(told(job, Verb.SUSPEND, step="suspend.2"))
    assert holds.suspended_by() == job.id


def test_one_that_is_being_executed_is_told_so_and_one_that_was_killed_is_executed_again(
    job: PairJobRecord, tmp_path: Path
) -> None:
    PairCommand.objects.create(job_id=job.id, step="suspend.1", verb="suspend", began_at=utc_now())
    holding = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / commands.LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holding.stdout is not None and holding.stdout.read(1) == b"."
    assert commands.execute(told(job, Verb.SUSPEND)) == UnderWay()
    assert holds.suspended_by() is None
    holding.kill()
    holding.communicate()
    assert not isinstance(commands.execute(told(job, Verb.SUSPEND)), UnderWay)
    assert holds.suspended_by() == job.id


def test_what_was_refused_is_not_journalled(job: PairJobRecord) -> None:
    with pytest.raises(StaleTerm):
        commands.execute(_take(job, 1))
    assert not PairCommand.objects.exists()
    commands.execute(_take(job, 2))
    assert (identity.role(), identity.role_term()) == (Role.PRIMARY, 2)
    commands.execute(replace(_take(job, 2), step="swing.2"))  # primary of that term already: done
    assert (identity.role(), identity.role_term()) == (Role.PRIMARY, 2)


def _take(job: PairJobRecord, term: int) -> Command:
    return Command(job.id, "swing.1", 1, PEER, Verb.TAKE_PRIMARY, {"term": term})


def test_a_backup_that_has_seen_a_later_term_refuses_an_earlier_promotion(job: PairJobRecord) -> None:
    commands.execute(Command(job.id, "undo.1", 1, PEER, Verb.STEP_DOWN, {"term": 3}))
    assert (identity.role(), identity.role_term()) == (Role.BACKUP, 3)
    with pytest.raises(StaleTerm):
        commands.execute(_take(job, 2))
    assert identity.role() is Role.BACKUP


def test_an_earlier_owner_is_refused_and_a_later_one_fences(job: PairJobRecord) -> None:
    commands.execute(told(job, Verb.SUSPEND, term=4))
    assert job_store.load(job.id).rank == (4, PEER)
    with pytest.raises(Fenced):
        commands.execute(told(job, Verb.RESUME, term=3))
    assert holds.suspended_by() == job.id
    with pytest.raises(Fenced):
        job_service.receive(replace(job, revision=99), PEER)  # the document of the earlier term
    with pytest.raises(Fenced):
        job_service.steer_here(job.id, "pause", "admin")


def test_commands_of_jobs_that_are_unknown_or_over_are_refused(job: PairJobRecord) -> None:
    with pytest.raises(NoSuchPairJob):
        commands.execute(Command(new_id(), "suspend.1", 1, PEER, Verb.SUSPEND))
    over = job_record.abandoned(job, "over", START)
    job_service.receive(replace(over, revision=2), PEER)
    with pytest.raises(NotNow):
        commands.execute(told(job, Verb.SUSPEND))


def test_the_end_of_a_job_lets_go_of_everything_here(job: PairJobRecord) -> None:
    commands.execute(told(job, Verb.SUSPEND))
    commands.execute(told(job, Verb.HOLD_CLIENTS))
    commands.execute(told(job, Verb.FREEZE, "final-sync.1", seconds=30))
    assert (holds.suspended_by(), holds.clients_held_by(), holds.frozen_by()) == (job.id,) * 3
    finished = replace(job, state=JobState.FINISHED, step=Step.DONE, ended=START, revision=2)
    job_service.receive(finished, PEER)
    assert (holds.suspended_by(), holds.clients_held_by(), holds.frozen_by()) == (None,) * 3
    assert not identity.frozen()


def test_a_freeze_ends_by_itself_and_has_a_longest(job: PairJobRecord) -> None:
    commands.execute(told(job, Verb.FREEZE, "final-sync.1", seconds=30))
    until = identity.frozen_until()
    assert until is not None and until <= utc_now() + timedelta(seconds=30)
    with pytest.raises(BadPairJob):
        commands.execute(told(job, Verb.FREEZE, "final-sync.2", seconds=3600))
    identity.freeze(utc_now() - timedelta(seconds=1))
    assert holds.frozen_by() is None


def test_a_command_that_waited_while_the_job_was_taken_over_or_ended_does_nothing(
    job: PairJobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = commands._alone

    @contextlib.contextmanager
    def slow() -> Iterator[bool]:
        with alone() as has:
            meanwhile()
            yield has

    monkeypatch.setattr(commands, "_alone", slow)
    meanwhile: Callable[[], object] = lambda: job_service.take_over(job.id, "admin")  # noqa: E731 - two of them
    with pytest.raises(Fenced):
        commands.execute(told(job, Verb.FREEZE, "final-sync.1", seconds=30))
    taken = job_store.load(job.id)
    meanwhile = lambda: job_store.change(job.id, lambda one: job_record.abandoned(one, "over", START))  # noqa: E731
    with pytest.raises(NotNow):
        commands.execute(replace(told(job, Verb.SUSPEND), term=taken.term, owner=taken.owner))
    assert holds.suspended_by() is None and not identity.frozen()


@pytest.mark.parametrize("related", [True, False], ids=["with the peer", "alone"])
@pytest.mark.parametrize("peer_version", ["0.0.1", configured.STAFFETTA_VERSION])
def test_what_is_held_for_a_job_that_has_ended_is_let_go(job: PairJobRecord, peer_version: str, related: bool) -> None:
    """Killed between storing the end and letting go; and clients once no peer is left that has an older version."""
    commands.execute(told(job, Verb.SUSPEND))
    commands.execute(told(job, Verb.HOLD_CLIENTS))
    commands.execute(told(job, Verb.FREEZE, "final-sync.1", seconds=30))
    job_service.Runner().run()
    assert (holds.suspended_by(), holds.clients_held_by(), holds.frozen_by()) == (job.id,) * 3
    over = replace(job_record.abandoned(job, "over", START), revision=2)
    job_store.receive(over)
    Relationship.objects.update(peer_version=peer_version, broken_at=None if related else START)
    job_service.Runner().run()
    assert (holds.suspended_by(), holds.frozen_by()) == (None, None)
    older = related and peer_version == "0.0.1"
    assert holds.clients_held_by() == (job.id if older else None)


def test_a_broken_relationship_ends_the_job_and_lets_clients_go(job: PairJobRecord) -> None:
    commands.execute(told(job, Verb.SUSPEND))
    commands.execute(told(job, Verb.HOLD_CLIENTS))
    Relationship.objects.update(broken_at=START)
    runner = job_service.Runner()
    runner.run(lambda: 0.0)
    runner.run(lambda: 100.0)
    assert job_store.load(job.id).state is JobState.UNDONE
    assert (holds.suspended_by(), holds.clients_held_by()) == (None, None)
    why = "The failover relationship was broken at preflight: each appliance keeps what it has."
    detail = {"site": "2.0", "base": "2.0", "why": why}
    assert _ends_told() == [("failover.upgrade-undone", f"pair job {job.id}", detail)]


def _ends_told() -> list[tuple[str, str, object]]:
    """What the audit log has of jobs that ended, or came to a person."""
    told = [one for one in audit_log.entries() if one.actor.startswith("pair job ")]
    return [(one.action, one.actor, one.detail) for one in reversed(told)]


@pytest.mark.req("F7", "S5")
def test_the_audit_log_has_the_end_of_a_job_once_whatever_is_killed(
    job: PairJobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned = job_service.take_over(job.id, "admin")
    stuck = job_store.save(job_record.give_up(owned, "the release is unhealthy"))
    assert stuck is not None
    assert job_store.save(replace(stuck, sentence="It still is.")) is not None
    resumed = job_service.steer_here(job.id, "resume", "admin")
    last = replace(resumed, step=Step.RELEASE_CLIENTS)
    finished = job_record.step_done(last, "Clients may follow.", START + timedelta(minutes=9))
    assert finished.state is JobState.FINISHED

    def killed(*_: object) -> None:
        raise SystemExit

    for what in ("_write", "_note"):  # before the job is stored, and before the whole is committed
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(job_store, what, killed)
            job_store.save(finished)
        assert job_store.load(job.id).state is JobState.RUNNING
    assert job_store.save(finished) is not None
    assert job_store.save(finished) is None, "a step that is done again ends nothing again"
    with pytest.raises(Fenced):
        job_store.receive(replace(finished, revision=finished.revision + 5))
    name, versions = f"pair job {job.id}", {"site": "2.0", "base": "2.0"}
    assert _ends_told() == [
        ("failover.upgrade-needs-a-person", name, {**versions, "why": "the release is unhealthy"}),
        ("failover.upgrade-finished", name, versions),
    ]


def test_the_end_that_the_other_appliance_tells_is_its_to_write_down(job: PairJobRecord) -> None:
    assert job_store.receive(job_record.abandoned(job, "over", START))
    assert _ends_told() == [], "it comes by data-sync"


def test_an_end_is_taken_even_with_the_number_of_a_revision_that_is_known(job: PairJobRecord) -> None:
    """The other side ended the job while this one wrote a revision of its own."""
    assert job_store.receive(job_record.abandoned(job, "over", START))
    assert job_store.load(job.id).state is JobState.UNDONE
    with pytest.raises(Fenced):
        job_store.receive(job)


def test_work_that_cannot_be_done_is_told_in_the_end(job: PairJobRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Exception] = [PeerUnreachable("no answer")] * 3 + [OSError(28, "No space left on device")]

    def sync(*_: object) -> job_effects.Done:
        raise outcomes.pop(0)

    monkeypatch.setattr(job_effects, "_EFFECTS", {**job_effects._EFFECTS, Verb.SYNC: sync})
    began = utc_now()
    commands.execute(told(job, Verb.SYNC, "sync.1"))
    commands.work(began)
    commands.work(began + commands.PATIENCE - timedelta(seconds=1))
    assert commands.execute(told(job, Verb.SYNC, "sync.1")) == UnderWay()
    commands.work(began + commands.PATIENCE)
    answer = job_look.own_facts(job.id).answer("sync.1", "sync")
    assert answer is not None and not answer.ok and answer.sentence == "no answer"
    commands.execute(told(job, Verb.SYNC, "sync.2"))
    commands.work(began)
    answer = job_look.own_facts(job.id).answer("sync.2", "sync")
    assert answer is not None and not answer.ok and "No space left" in answer.sentence


def test_work_is_taken_down_and_done_by_the_worker(job: PairJobRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Exception | job_effects.Done] = [
        Unavailable("not now"),
        NotNow("the probe failed"),
        job_effects.Done("proved"),
    ]

    def probe(*_: object) -> job_effects.Done:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(job_effects, "_EFFECTS", {**job_effects._EFFECTS, Verb.PROBE: probe})
    asked = told(job, Verb.PROBE, "probe-b.1")
    assert commands.execute(asked) == UnderWay()
    commands.work(utc_now())  # what is unavailable is tried again
    assert commands.execute(asked) == UnderWay()
    commands.work(utc_now())
    answer = commands.execute(asked)
    assert not isinstance(answer, UnderWay) and not answer.ok and answer.sentence == "the probe failed"
    again = told(job, Verb.PROBE, "probe-b.2")
    commands.execute(again)
    commands.work(utc_now())
    assert job_look.own_facts(job.id).answer("probe-b.2", "probe") == commands.execute(again)
    assert outcomes == []


def test_a_document_is_stored_whole_and_only_forwards(job: PairJobRecord) -> None:
    later = replace(job_record.step_done(job, "8 checks passed.", START + timedelta(seconds=2)), revision=2)
    assert job_store.receive(later)
    assert not job_store.receive(later)
    assert job_store.load(job.id) == later
    assert job_record.from_document(job_record.to_document(later)) == later
    with pytest.raises(Fenced):
        job_store.receive(job)
    row = PairJob.objects.get()
    assert [(one.step, one.appliance, one.state) for one in row.steps.order_by("number")] == [
        ("preflight", "A+B", "done"),
        ("backup", "A", "running"),
    ]


def test_only_the_pairs_own_jobs_are_taken_and_one_at_a_time(job: PairJobRecord) -> None:
    other = replace(job, id=new_id())
    with pytest.raises(NotNow):
        job_service.receive(other, PEER)
    with pytest.raises(BadPairJob):
        job_service.receive(replace(other, a="stranger"), PEER)
    with pytest.raises(BadPairJob):
        ANSWERS["POST", "job"](Asked(PEER, body={"id": "x"}))


def test_a_person_takes_a_job_over_and_the_peer_is_fenced(job: PairJobRecord) -> None:
    taken = job_service.take_over(job.id, "admin")
    assert (taken.owner, taken.term) == (identity.origin(), 2)
    assert not job_store.is_told(taken)
    with pytest.raises(Fenced):
        commands.execute(told(job, Verb.SUSPEND))
    paused = job_service.steer_here(job.id, "pause", "admin")
    assert paused.state is JobState.PAUSED
    assert job_service.steer_here(job.id, "resume", "admin").state is JobState.RUNNING
    assert job_service.steer_here(job.id, "undo", "admin").state is JobState.UNDOING


def test_an_owner_that_was_overtaken_stores_nothing(job: PairJobRecord) -> None:
    taken = job_service.take_over(job.id, "admin")
    job_service.steer_here(job.id, "pause", "admin")
    assert job_store.save(replace(taken, sentence="from before the pause")) is None
    assert job_store.load(job.id).state is JobState.PAUSED


def test_answers_tell_commands_and_facts_as_json(job: PairJobRecord) -> None:
    answer = ANSWERS["POST", "command"]
    body = {"job": job.id, "step": "suspend.1", "term": 1, "verb": "suspend", "args": {}}
    assert answer(Asked(PEER, body=body)) == {
        "state": "done",
        "ok": True,
        "sentence": "The role's automatic behaviour is off.",
        "value": "",
    }
    facts = answer(Asked(PEER, body={**body, "verb": "facts"}))
    assert isinstance(facts, dict)
    assert facts["facts"]["suspended_by"] == job.id
    assert facts["facts"]["base"] is None  # there is no base here
    with pytest.raises(BadPairJob):
        answer(Asked(PEER, body={**body, "verb": "erase"}))


def test_suspended_roles_follow_a_higher_term_and_do_nothing_else() -> None:
    for verdict in rules.Verdict:
        left = rules.suspended(rules.Finding(verdict, (rules.Alarm.SILENT,)))
        follows = verdict in (rules.Verdict.STEP_DOWN, rules.Verdict.FOLLOW, rules.Verdict.OUTRANK)
        assert left == rules.Finding(verdict if follows else rules.Verdict.STAY)


def test_backups_are_kept_three_deep_and_encrypted_when_a_password_is_given(job: PairJobRecord, tmp_path: Path) -> None:
    for number in range(4):
        commands.execute(told(job, Verb.BACKUP, f"backup.{number}"))
        (folder := tmp_path / "backups").mkdir(exist_ok=True)
        (folder / f"pair-upgrade-2020010{number}T000000Z-x.backup").write_bytes(b"old")
    for _ in range(4):
        commands.work(utc_now())
    kept = sorted(folder.iterdir())
    assert len(kept) == 3
    assert kept[-1].stat().st_mode & 0o777 == 0o600
    answer = commands.execute(told(job, Verb.BACKUP, "backup.0"))
    assert not isinstance(answer, UnderWay) and answer.ok and "MB" in answer.sentence


class Gate:
    """Lets everything pass, and remembers it."""

    def __init__(self, path: Path) -> None:
        self.passed: list[dict[str, Any]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile() as lines:
                self.passed.append(json.loads(lines.readline()))
                connection.sendall(b"go\n")


@pytest.mark.req("U10")
def test_each_write_passes_the_gate_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(tmp_path / "gate.sock")
    monkeypatch.setenv(GATE_VARIABLE, str(tmp_path / "gate.sock"))
    made = job_record.begin(new_id(), a="a", b="b", targets=Targets("2.0"), actor="admin", now=utc_now())
    job_store.add(made, None)
    job_store.change(made.id, lambda job: job_record.step_done(job, "all well", utc_now()))
    told = [(one["when"], one["entry"]["program"], one["entry"]["job"], one["entry"]["step"]) for one in gate.passed]
    assert told == [(when, "pair", made.id, Step.PREFLIGHT.value) for when in ("before", "after")] * 2
