"""Status > Basics: one picture of the appliance, from keeper, the site's private socket, and base's own rooms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from staffetta.base.installs.service import Installs
from staffetta.base.installs.steps import Keeper, Probe
from staffetta.base.trust import clock_problem
from staffetta.base.updates.service import UpdateService
from staffetta.control.appliance import ApplianceStatus, Generation
from staffetta.control.measures import SiteMeasures
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.control.private import Facts
from staffetta.control.verbs import KeeperStatus
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.packages import Kind

_log = get_logger(__name__)

SITE_ANSWERS_SECONDS = 2.0
"""A site that does not tell its facts within this time is shown without them."""


class StatusService:
    """Gathers the picture at every question; nothing is remembered."""

    def __init__(
        self,
        paths: AppliancePaths,
        description: ApplianceDescription,
        keeper: Keeper,
        probe: Probe,
        installs: Installs,
        updates: UpdateService,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._paths = paths
        self._description = description
        self._keeper = keeper
        self._probe = probe
        self._installs = installs
        self._updates = updates
        self._clock = clock

    async def read(self) -> ApplianceStatus:
        """The appliance now. Raises KeeperUnreachable."""
        keeper = await self._keeper.status()
        facts = await self._facts(keeper)
        job = self._installs.under_way
        offset = self._updates.clock_offset
        return ApplianceStatus(
            name=self._description.name,
            base_version=active_version(keeper, Kind.BASE) or "",
            site_version=active_version(keeper, Kind.SITE),
            time=self._clock(),
            hostname=self._description.hostname,
            sessions_live=None if facts is None else facts.sessions_live,
            clients_online=None if facts is None else facts.clients_online,
            eula_accepted=self._updates.agreements.all_accepted(),
            generations=tuple(
                Generation(program, one.id, one.version, one.state.value, one.confirmed, one.failure)
                for program, status in keeper.programs.items()
                for one in status.generations
            ),
            appliance_url=self._description.appliance_url,
            site_url=self._description.site_url,
            own_site_url=self._description.own_site_url,
            update_server=self._description.update_server,
            clock_offset_seconds=offset,
            clock_problem=clock_problem(offset),
            job=None if job is None else job.id,
            device=self._updates.device,
            keeper_version=keeper.version,
            site_first_password=None if facts is None else facts.first_password,
            role=None if facts is None else facts.role,
        )

    async def keeper(self) -> KeeperStatus:
        """What keeper says. Raises KeeperUnreachable."""
        return await self._keeper.status()

    async def site_facts(self) -> Facts | None:
        """What the active generation of the site says of itself; None if there is none or it does not answer."""
        return await self._facts(await self._keeper.status())

    async def site_measures(self) -> SiteMeasures | None:
        """What the active generation of the site counts; None if there is none, or it does not tell."""
        keeper = await self._keeper.status()
        site = keeper.programs.get(Kind.SITE.value)
        if site is None or site.active is None:
            return None
        try:
            return await self._probe.measures(self._paths.private_socket(site.active), SITE_ANSWERS_SECONDS)
        except StaffettaError as error:
            _log.info("the site does not tell its numbers: %s", error.message)
            return None

    async def _facts(self, keeper: KeeperStatus) -> Facts | None:
        site = keeper.programs.get(Kind.SITE.value)
        if site is None or site.active is None:
            return None
        try:
            return await self._probe.facts(self._paths.private_socket(site.active), SITE_ANSWERS_SECONDS)
        except StaffettaError as error:
            _log.info("the site does not tell its facts: %s", error.message)
            return None


def active_version(keeper: KeeperStatus, kind: Kind) -> str | None:
    """The version of a program that has the sockets."""
    program = keeper.programs.get(kind.value)
    active = None if program is None else program.active_generation
    return None if active is None else active.version
