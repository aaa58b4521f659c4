"""All that base does for a pair, in one place: what the site door and the control socket translate to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from staffetta.base.installs.service import Installs
from staffetta.base.pairing.following import Following
from staffetta.base.pairing.grants import Grants
from staffetta.base.pairing.installs import PairInstalls
from staffetta.base.pairing.shared import SharedAddressService, SocketKeeper
from staffetta.base.status import StatusService, active_version
from staffetta.base.trust import clock_problem
from staffetta.base.updates.service import UpdateService
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.control.site_door import DoorStatus
from staffetta.kernel.clock import utc_now
from staffetta.packages import Kind


@dataclass(frozen=True, slots=True)
class Pairing:
    """The parts, each acting by itself, and the picture of them."""

    name: str
    shared: SharedAddressService
    following: Following
    grants: Grants
    installs: PairInstalls
    jobs: Installs
    updates: UpdateService
    keeper: SocketKeeper
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def of(
        cls,
        paths: AppliancePaths,
        description: ApplianceDescription,
        keeper: SocketKeeper,
        status: StatusService,
        installs: Installs,
        updates: UpdateService,
        clock: Callable[[], datetime] = utc_now,
    ) -> Pairing:
        """The parts for one appliance."""
        shared = SharedAddressService(paths, description, keeper)
        grants = Grants(paths.base / "pair-grant.json", lambda: updates.floor.now(clock()))
        return cls(
            name=description.name,
            shared=shared,
            following=Following(shared, status),
            grants=grants,
            installs=PairInstalls(installs, updates, grants),
            jobs=installs,
            updates=updates,
            keeper=keeper,
            clock=clock,
        )

    async def status(self) -> DoorStatus:
        """What the pair job may know of this appliance. Raises KeeperUnreachable."""
        keeper = await self.keeper.status()
        updates = await asyncio.to_thread(self.updates.updates)
        offset = self.updates.clock_offset
        job = self.jobs.under_way
        return DoorStatus(
            name=self.name,
            base_version=active_version(keeper, Kind.BASE) or "",
            site_version=active_version(keeper, Kind.SITE),
            time=self.clock(),
            shared=await self.shared.read(),
            grant=await asyncio.to_thread(self.grants.current),
            clock_offset_seconds=offset,
            clock_problem=clock_problem(offset),
            offers=updates.offers,
            checked_at=updates.checked_at,
            updates_error=updates.error,
            job=None if job is None else self.jobs.feed.job(job.id),
        )
