"""This appliance's own facts for a pair job: the database, base behind the site door, the certificate."""

from typing import Final

import httpx
from django.conf import settings

from staffetta.control.appliance import JobState as BaseJobState
from staffetta.control.site_door import DoorStatus, SiteDoor
from staffetta.front.certificates import UnusableCertificate
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError, Unavailable
from staffetta.kernel.log import get_logger
from staffetta.site.data import identity as instance
from staffetta.site.failover import holds, identity, job_store, roles, syncing
from staffetta.site.failover.job_command import Verb
from staffetta.site.failover.job_errors import NoSuchPairJob
from staffetta.site.failover.job_facts import (
    Answered,
    ApplianceFacts,
    BaseFacts,
    InstallFact,
    InstallState,
    OfferFact,
)
from staffetta.site.failover.models import PairCommand
from staffetta.site.failover.rules import covers
from staffetta.site.support.models import LiveSession

_log = get_logger(__name__)

_STATES: Final = {BaseJobState.COMMITTED: InstallState.COMMITTED, BaseJobState.UNDONE: InstallState.UNDONE}


class _Door(SiteDoor):
    """Asked in a thread of the gateway's database pool: a base that hangs must not take all of them."""

    TIMEOUT = httpx.Timeout(12.0, connect=2.0)


class _FactsDoor(SiteDoor):
    """The same for what is asked every second."""

    TIMEOUT = httpx.Timeout(4.0, connect=2.0)


def site_door(kind: type[SiteDoor] = _Door) -> SiteDoor:
    """Return base's door for the site, to be closed by the caller. Raises ``Unavailable`` when there is none."""
    paths = settings.STAFFETTA_PATHS
    if paths is None:
        raise Unavailable("This site runs without an appliance: there is no base to ask.")
    return kind(paths.site_door_socket)


def own_facts(job: str) -> ApplianceFacts:
    """What the owner of a pair job needs to know of this appliance."""
    relationship, now = roles.held(), utc_now()
    sync = syncing.own_sync()
    shared_name = str(settings.STAFFETTA_SHARED_HOST)
    base, installs = _base(job)
    other = job_store.under_way()
    try:
        kept = job_store.load(job)
        rank = kept.rank
    except NoSuchPairJob:
        rank = (0, "")
    return ApplianceFacts(
        origin=instance.origin(),
        host="this appliance" if relationship is None else relationship.own.authority,
        role=instance.role(),
        term=instance.role_term(),
        site_version=identity.installed_version(),
        time=now,
        base=base,
        related=relationship is not None,
        covers_shared_name=_covers(shared_name),
        shared_name=shared_name,
        suspended_by=holds.suspended_by(),
        frozen_by=holds.frozen_by(),
        frozen_until=holds.frozen_until(),
        held_by=holds.clients_held_by(),
        sync_finished=sync.finished_at,
        behind=sync.records_behind + sync.blobs_behind,
        sync_error=sync.trouble,
        sessions_live=LiveSession.objects.filter(ended_at=None, probe=False).count(),
        other_job=None if other is None or other.id == job else f"The pair job {other.id}",
        job_term=rank[0],
        job_owner=rank[1],
        installs=installs,
        answers=tuple(
            Answered(one.step, one.verb, one.ok, one.sentence, one.value)
            for one in PairCommand.objects.filter(job_id=job).exclude(done_at=None)
        ),
    )


def _covers(shared_name: str) -> bool:
    try:
        return covers(identity.shown_leaf()[1], shared_name)
    except UnusableCertificate:
        return False


def _base(job: str) -> tuple[BaseFacts | None, tuple[InstallFact, ...]]:
    """What base says, or None while it does not answer; the installs of this job as far as base tells."""
    begun = PairCommand.objects.filter(job_id=job, verb=Verb.BEGIN_INSTALL.value, ok=True).exclude(value="")
    try:
        with site_door(_FactsDoor) as door:
            facts = _facts(door.status())
            installs = tuple(_install(door, one) for one in begun)
    except StaffettaError as error:
        _log.debug("base gives no facts: %s", error.message)
        return None, tuple(InstallFact(one.step, InstallState.RUNNING, "base is asked again") for one in begun)
    return facts, installs


def _install(door: SiteDoor, begun: PairCommand) -> InstallFact:
    said = door.install(begun.value)
    state = _STATES.get(said.state, InstallState.RUNNING)
    return InstallFact(begun.step, state, said.error or said.text or f"at {said.step}")


def _facts(said: DoorStatus) -> BaseFacts:
    return BaseFacts(
        base_version=said.base_version,
        site_version=said.site_version or "",
        shared=said.shared.state.value,
        shared_term=said.shared.term,
        offers=tuple(
            OfferFact(
                one.target,
                one.kind,
                one.version,
                one.selectable,
                one.needs,
                eula_missing=one.eula is not None and not one.eula_accepted,
            )
            for one in said.offers
            if not one.installed
        ),
        granted_until=None if said.grant is None else said.grant.until,
        grant_job=None if said.grant is None else said.grant.job,
        clock_problem=said.clock_problem,
        install=None if said.job is None else f"The install of {said.job.kind} {said.job.version}",
        updates_error=said.updates_error,
        checked_at=said.checked_at,
    )
