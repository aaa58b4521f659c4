"""The site door: what the site's pair job may ask of base, a closed list; translates, decides nothing.

Its socket is open to the site's group, which the control socket is not. Who asks is audited with the user that the
kernel vouches for; on whose behalf is only what the site says. A site that asks without end takes no more of base than
a few descriptors, one thread and its own part of the audit log.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from staffetta.base.pairing.service import Pairing
from staffetta.base.service.audit import AuditLog
from staffetta.base.service.local_server import (
    ACTOR,
    InvalidRequest,
    LocalServer,
    json_answer,
    read_fields,
    read_number,
)
from staffetta.control.site_door import SharedPhase
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

SOCKET: Final = "site-door"


class SiteDoorServer(LocalServer):
    """The site door's routes."""

    MOST_CONNECTIONS = 16

    def __init__(self, pairing: Pairing, audit: AuditLog) -> None:
        super().__init__(SOCKET, audit)
        self._pairing = pairing
        self._checking = asyncio.Lock()
        self.router.add_get("/v1/status", self._get_status)
        self.router.add_post("/v1/shared/{phase}", self._shared)
        self.router.add_post("/v1/updates/check", self._check)
        self.router.add_post("/v1/installs", self._install)
        self.router.add_get("/v1/installs/{job}", self._get_install)

    async def _get_status(self, _: web.Request) -> web.Response:
        return json_answer(await self._pairing.status())

    async def _shared(self, request: web.Request) -> web.Response:
        (actor,) = await read_fields(request, ("actor",))
        term = await read_number(request, "term")
        try:
            phase = SharedPhase(request.match_info["phase"])
        except ValueError:
            raise InvalidRequest(f"The shared address is moved by {', '.join(SharedPhase)}.") from None
        answer = await self._pairing.shared.do(phase, term)
        _log.info("the site moved the shared address", extra={"actor": actor, "phase": phase.value, "term": term})
        return json_answer(answer)

    async def _check(self, request: web.Request) -> web.Response:
        await read_fields(request, ("actor",))
        async with self._checking:
            return json_answer(await asyncio.to_thread(self._pairing.updates.check))

    async def _install(self, request: web.Request) -> web.Response:
        job, step, target = await read_fields(request, ("job", "step", "target"))
        request[ACTOR] = f"pair job {job}, step {step}"[:200]
        return json_answer({"job": await self._pairing.installs.begin(job, step, target)})

    async def _get_install(self, request: web.Request) -> web.Response:
        return json_answer(self._pairing.installs.job(request.match_info["job"]))
