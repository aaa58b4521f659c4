"""Answers `GET /metrics` at the door of /appliance, which is on this appliance's own address and never on the shared.

Base answers, so that there is an answer when the site is down; the site's numbers come over its private socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Final

from aiohttp import web

from staffetta.base.certificates.service import CertificateService
from staffetta.base.errors import CertificateRefused
from staffetta.base.installs.service import Installs
from staffetta.base.metrics.access import MetricsTokens
from staffetta.base.metrics.exposition import OwnDoor, Picture, Room, exposition
from staffetta.base.status import StatusService
from staffetta.base.updates.service import UpdateService
from staffetta.control.appliance import Certificate
from staffetta.control.paths import AppliancePaths
from staffetta.control.verbs import KeeperStatus
from staffetta.front.door import Door
from staffetta.front.lag import LoopLag
from staffetta.kernel.errors import StaffettaError

PATH: Final = "/metrics"
_SCHEME: Final = "bearer "
_HEADERS: Final = {"Cache-Control": "no-store"}


class MetricsService:
    """The handler, and what it gathers from. ``lag`` runs in the loop that serves."""

    def __init__(
        self,
        paths: AppliancePaths,
        tokens: MetricsTokens,
        status: StatusService,
        installs: Installs,
        updates: UpdateService,
        certificates: CertificateService,
    ) -> None:
        self.tokens = tokens
        self.lag = LoopLag()
        self._paths = paths
        self._status = status
        self._installs = installs
        self._updates = updates
        self._certificates = certificates
        self._turn = asyncio.Semaphore(1)  # scrapes in a herd are answered one after the other
        self.door: Door | None = None

    async def handle(self, request: web.Request) -> web.Response:
        """404 while no token was made, 401 without the right one, else the metrics."""
        try:
            permitted = self.tokens.permits(_shown(request))  # a stat(2); in a thread, strangers could use them up
            if permitted is None:
                return web.Response(status=404, headers=_HEADERS, text="Metrics are off on this appliance.\n")
            if not permitted:
                wanted = {**_HEADERS, "WWW-Authenticate": 'Bearer realm="metrics"'}
                return web.Response(status=401, headers=wanted, text="Show the bearer token of the metrics.\n")
            async with self._turn:
                picture = await self._picture()
        except StaffettaError as error:
            return web.Response(status=error.http_status, headers=_HEADERS, text=f"{error.message}\n")
        text, content_type = exposition(picture, request.headers.get("Accept", ""))
        return web.Response(body=text, headers={**_HEADERS, "Content-Type": content_type})

    async def _picture(self) -> Picture:
        keeper, site = await self._status.keeper(), await self._status.site_measures()
        updates = await asyncio.to_thread(self._updates.updates)
        certificates = await asyncio.to_thread(self._shown_certificates)
        room = await asyncio.to_thread(os.statvfs, self._paths.root)
        door = self.door
        return Picture(
            keeper=keeper,
            started=await asyncio.to_thread(self._started, keeper),
            site=site,
            door=OwnDoor({}, 0, 0.0) if door is None else OwnDoor(door.answers, door.connections, self.lag.seconds),
            jobs=self._installs.feed.jobs(),
            updates=updates,
            certificates=certificates,
            room=Room(room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize),
            clock_offset_seconds=await asyncio.to_thread(lambda: self._updates.clock_offset),
        )

    def _shown_certificates(self) -> tuple[Certificate, ...]:
        found = []
        for name in ("site", "appliance"):
            with contextlib.suppress(CertificateRefused):  # one that cannot be read has no expiry; the doctor names it
                found.append(self._certificates.read(name))
        return tuple(found)

    def _started(self, keeper: KeeperStatus) -> dict[str, float]:
        """When the private socket of each active generation was made."""
        started = {}
        for name, program in keeper.programs.items():
            if program.active is not None:
                with contextlib.suppress(OSError):
                    started[name] = self._paths.private_socket(program.active).stat().st_mtime
        return started


def _shown(request: web.Request) -> str:
    header = request.headers.get("Authorization", "")
    return header[len(_SCHEME) :].strip() if header.lower().startswith(_SCHEME) else ""
