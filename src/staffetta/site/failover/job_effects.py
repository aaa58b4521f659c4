"""What each verb of a pair job does on this appliance; done twice, every one is the same as once."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings

from staffetta.control.pairing import SharedPhase
from staffetta.control.private import prove
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Unavailable
from staffetta.kernel.files import sync_directory
from staffetta.site.backup import service as backup
from staffetta.site.data import identity as instance
from staffetta.site.data.roles import Role
from staffetta.site.failover import holds, job_store, link, roles
from staffetta.site.failover.errors import StaleTerm
from staffetta.site.failover.job_command import Command, Verb
from staffetta.site.failover.job_errors import BadPairJob, NotNow, SwingFailed
from staffetta.site.failover.job_look import site_door
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.swing import seeing
from staffetta.site.failover.sync import service as sync
from staffetta.wire.pair import Endpoint

BACKUPS: Final = "backups"
BACKUPS_KEPT: Final = 3
_BACKUP_NAME: Final = "pair-upgrade-"
_LONGEST_FREEZE: Final = 300
_SYNC_SECONDS: Final = 3600.0
_PROVE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: the evidence, and what the owner needs of it (an install job's id)."""

    sentence: str
    value: str = ""


Effect = Callable[[PairJobRecord, Command], Done]


def do(job: PairJobRecord, command: Command) -> Done:
    """Do it. Raises what hinders it."""
    return _EFFECTS[command.verb](job, command)


def actor(command: Command) -> str:
    """Who acts, as audit logs name it."""
    return f"pair job {command.job}"


# The state of this appliance


def _suspend(_: PairJobRecord, command: Command) -> Done:
    holds.suspend(command.job)
    return Done("The role's automatic behaviour is off.")


def _resume(_: PairJobRecord, command: Command) -> Done:
    holds.resume(command.job)
    return Done("The role's automatic behaviour is on again.")


def _freeze(_: PairJobRecord, command: Command) -> Done:
    seconds = command.number("seconds")
    if not 0 < seconds <= _LONGEST_FREEZE:
        raise BadPairJob(f"Configuration may be read-only for 1 to {_LONGEST_FREEZE} seconds.")
    holds.freeze(command.job, utc_now() + timedelta(seconds=seconds))
    return Done(f"Configuration is read-only for {seconds} seconds at most.")


def _thaw(_: PairJobRecord, command: Command) -> Done:
    holds.thaw(command.job)
    return Done("Configuration is no longer read-only for this job.")


def _hold_clients(_: PairJobRecord, command: Command) -> Done:
    holds.hold_clients(command.job)
    return Done("Clients keep their version.")


def _release_clients(_: PairJobRecord, command: Command) -> Done:
    holds.release_clients(command.job)
    return Done("Clients may follow.")


def _step_down(_: PairJobRecord, command: Command) -> Done:
    term, own = command.number("term"), instance.role_term()
    if instance.role() is Role.PRIMARY:
        roles.step_down(term, actor(command))
    elif term < own:
        raise StaleTerm(f"Role term {term} is below this appliance's own, {own}.")
    else:
        roles.follow(term)
    return Done(f"This appliance is backup, role term {term}.")


def _take_primary(_: PairJobRecord, command: Command) -> Done:
    term = command.number("term")
    if not (instance.role() is Role.PRIMARY and instance.role_term() == term):
        roles.promote(term, actor(command), {"job": command.job})
    return Done(f"This appliance is primary, role term {term}.")


# Base


def _begin_install(_: PairJobRecord, command: Command) -> Done:
    with site_door() as door:
        install = door.begin_install(command.job, command.step, command.text("target"))
    return Done(f"Base installs {command.text('target')}.", install)


def _shared(phase: SharedPhase) -> Effect:
    def move(_: PairJobRecord, command: Command) -> Done:
        with site_door() as door:
            state = door.shared(phase, command.number("term"), actor(command)).state
        return Done(f"The shared address is {state}.")

    return move


# Work


def _swing_check(_: PairJobRecord, command: Command) -> Done:
    with site_door() as door:
        shared = door.status().shared
    if shared.address is None or shared.port is None:
        raise SwingFailed("This appliance was made without a shared address: there is nobody to look for.")
    return Done(seeing.check(Endpoint(shared.address, shared.port), command.text("origin")))


def _backup(job: PairJobRecord, command: Command) -> Done:
    folder = Path(settings.STAFFETTA_SITE_FOLDER) / BACKUPS
    folder.mkdir(mode=0o700, exist_ok=True)
    password = job_store.backup_password(job.id)
    path = folder / f"{_BACKUP_NAME}{utc_now():%Y%m%dT%H%M%SZ}-{job.id}.backup"
    began = time.monotonic()
    backup.create_file(path, backup.Wanted(), password, actor(command))
    for old in sorted(folder.glob(f"{_BACKUP_NAME}*.backup"))[:-BACKUPS_KEPT]:
        old.unlink(missing_ok=True)
    sync_directory(folder)
    job_store.forget_password(job.id)
    kind = "encrypted" if password is not None else "not encrypted, for this appliance alone"
    size, took = path.stat().st_size / 1e6, time.monotonic() - began
    return Done(f"{BACKUPS}/{path.name}, {size:.1f} MB in {took:.1f} s, {kind}.")


def _sync(final: bool) -> Effect:
    def pull(_: PairJobRecord, command: Command) -> Done:
        """Rounds until nothing is behind; with ``final``, one that leaves nothing."""
        began = time.monotonic()
        documents = records = blobs = 0
        with link.peer_of(roles.required()) as peer:
            while True:
                result = sync.pull(peer, final=final)
                documents, records, blobs = (
                    documents + result.documents,
                    records + result.records,
                    blobs + result.blobs,
                )
                took = time.monotonic() - began
                if result.complete:
                    return Done(
                        f"{documents} documents, {records} records, {blobs} files in {took:.2f} s; nothing is behind."
                    )
                if final or took > _SYNC_SECONDS:
                    raise NotNow(f"Data-sync is still {result.blobs_behind} files behind after {took:.0f} s.")

    return pull


def _probe(_: PairJobRecord, command: Command) -> Done:
    """The active generation's own probe: pages, signing in, a session with a console and a Jump Client of its own."""
    paths = settings.STAFFETTA_PATHS
    if paths is None or not settings.STAFFETTA_GENERATION:
        raise Unavailable("This process is not run by keeper: it has no generation to probe.")
    proof = asyncio.run(prove(paths.private_socket(settings.STAFFETTA_GENERATION), _PROVE_SECONDS))
    bad = [one for one in proof.checks if not one.ok]
    if not proof.ok:
        raise NotNow("The probe failed: " + "; ".join(f"{one.name}: {one.detail}" for one in bad))
    told = ", ".join(f"{one.name} {one.milliseconds:.0f} ms" for one in proof.checks)
    return Done(f"Site {settings.STAFFETTA_VERSION} proved itself: {told}.")


_EFFECTS: Final[Mapping[Verb, Effect]] = {
    Verb.BACKUP: _backup,
    Verb.SYNC: _sync(final=False),
    Verb.FINAL_SYNC: _sync(final=True),
    Verb.PROBE: _probe,
    Verb.BEGIN_INSTALL: _begin_install,
    Verb.SUSPEND: _suspend,
    Verb.RESUME: _resume,
    Verb.FREEZE: _freeze,
    Verb.THAW: _thaw,
    Verb.STEP_DOWN: _step_down,
    Verb.TAKE_PRIMARY: _take_primary,
    Verb.HOLD_CLIENTS: _hold_clients,
    Verb.RELEASE_CLIENTS: _release_clients,
    Verb.SHARED_HOLD: _shared(SharedPhase.HOLD),
    Verb.SHARED_JOIN: _shared(SharedPhase.JOIN),
    Verb.SHARED_TURN: _shared(SharedPhase.TURN),
    Verb.SHARED_LEAVE: _shared(SharedPhase.LEAVE),
    Verb.SHARED_SETTLE: _shared(SharedPhase.SETTLE),
    Verb.SHARED_CLAIM: _shared(SharedPhase.CLAIM),
    Verb.SHARED_RELEASE: _shared(SharedPhase.RELEASE),
    Verb.SWING_CHECK: _swing_check,
}
