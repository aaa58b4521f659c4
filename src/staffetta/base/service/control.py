"""The control socket: HTTP and JSON for base's own pages and the command line; translates, decides nothing.

Open to root and one group by the socket's mode; every request is audited with its peer, and nothing is changed that
cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from staffetta.base.certificates.service import CertificateService
from staffetta.base.installs.service import Installs
from staffetta.base.metrics.access import MetricsTokens
from staffetta.base.pairing.service import Pairing
from staffetta.base.service.audit import AuditLog
from staffetta.base.service.local_server import (
    ACTOR,
    LONGEST_ACTOR,
    InvalidRequest,
    LocalServer,
    json_answer,
    read_fields,
    read_flag,
    read_number,
)
from staffetta.base.status import StatusService
from staffetta.base.updates.service import UPLOAD_SUFFIX, UpdateService
from staffetta.control.appliance import Eula
from staffetta.control.local import to_json
from staffetta.kernel.clock import utc_now
from staffetta.kernel.files import sync_directory
from staffetta.kernel.ids import new_id
from staffetta.kernel.log import get_logger
from staffetta.releases.disk import require_space

_log = get_logger(__name__)

SOCKET: Final = "control"


class ControlServer(LocalServer):
    """The control socket's routes."""

    def __init__(
        self,
        status: StatusService,
        installs: Installs,
        updates: UpdateService,
        certificates: CertificateService,
        pairing: Pairing,
        metrics: MetricsTokens,
        audit: AuditLog,
    ) -> None:
        super().__init__(SOCKET, audit)
        self._status = status
        self._installs = installs
        self._updates = updates
        self._certificates = certificates
        self._pairing = pairing
        self._metrics = metrics
        router = self.router
        router.add_get("/v1/status", self._get_status)
        router.add_get("/v1/measures", self._get_measures)
        router.add_post("/v1/updates/check", self._check)
        router.add_get("/v1/updates", self._get_updates)
        router.add_get("/v1/eula", self._get_eula)
        router.add_post("/v1/eula", self._accept_eula)
        router.add_post("/v1/installs", self._install)
        router.add_post("/v1/installs/upload", self._upload)
        router.add_get("/v1/installs", self._get_jobs)
        router.add_get("/v1/installs/{job}", self._get_job)
        router.add_get("/v1/installs/{job}/events", self._events)
        router.add_get("/v1/certificates", self._get_certificates)
        router.add_post("/v1/certificates/{name}", self._replace_certificate)
        router.add_get("/v1/shared-address", self._get_shared)
        router.add_post("/v1/shared-address", self._enable_shared)
        router.add_get("/v1/metrics", self._get_metrics)
        router.add_post("/v1/metrics/token", self._make_metrics_token)
        router.add_post("/v1/metrics/token/withdraw", self._withdraw_metrics_token)
        router.add_get("/v1/pair/grant", self._get_grant)
        router.add_post("/v1/pair/grant", self._grant)
        router.add_post("/v1/pair/grant/withdraw", self._withdraw)

    async def _get_status(self, _: web.Request) -> web.Response:
        return json_answer(await self._status.read())

    async def _get_measures(self, _: web.Request) -> web.Response:
        return json_answer(await self._status.site_measures())

    async def _check(self, request: web.Request) -> web.Response:
        await read_fields(request, ("actor",))
        return json_answer(await asyncio.to_thread(self._updates.check))

    async def _get_updates(self, _: web.Request) -> web.Response:
        return json_answer(await asyncio.to_thread(self._updates.updates))

    async def _get_eula(self, _: web.Request) -> web.Response:
        shown = await asyncio.to_thread(self._updates.agreements.to_show)
        return json_answer(Eula(shown.text, shown.sha256, shown.is_accepted, shown.accepted_by, shown.accepted_at))

    async def _accept_eula(self, request: web.Request) -> web.Response:
        sha256, actor = await read_fields(request, ("sha256", "actor"))
        await asyncio.to_thread(self._updates.agreements.accept, sha256, actor, utc_now())
        _log.info("licence agreement accepted", extra={"actor": actor, "sha256": sha256})
        return json_answer({})

    async def _install(self, request: web.Request) -> web.Response:
        target, actor = await read_fields(request, ("target", "actor"))
        self._installs.require_free()
        wanted = await asyncio.to_thread(self._updates.want, target, actor)
        return json_answer({"job": await self._installs.begin(wanted)})

    async def _upload(self, request: web.Request) -> web.Response:
        actor = request.query.get("actor", "")
        request[ACTOR] = actor[:LONGEST_ACTOR]
        if not actor:
            raise InvalidRequest("Say who installs: the query lacks `actor`.")
        self._installs.require_free()
        bundle = f"{new_id('upload')}{UPLOAD_SUFFIX}"
        path = self._updates.upload_path(bundle)
        try:
            await _store(request, path)
            wanted = await asyncio.to_thread(self._updates.want_from_bundle, bundle, actor)
            job = await self._installs.begin(wanted)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        _log.info("bundle uploaded", extra={"actor": actor, "file": request.query.get("name", ""), "job": job})
        return json_answer({"job": job})

    async def _get_jobs(self, _: web.Request) -> web.Response:
        return json_answer({"jobs": [to_json(job) for job in self._installs.feed.jobs()]})

    async def _get_job(self, request: web.Request) -> web.Response:
        return json_answer(self._installs.feed.job(request.match_info["job"]))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after", "0")
        if not after.isascii() or not after.isdigit():
            raise InvalidRequest("`after` must be a sequence number.")
        job = request.match_info["job"]
        self._installs.feed.job(job)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the watcher went away
            async for event in self._installs.feed.watch(job, int(after)):
                line = b"" if event is None else json.dumps(to_json(event)).encode()
                await response.write(line + b"\n")
            await response.write_eof()
        return response

    async def _get_certificates(self, _: web.Request) -> web.Response:
        return json_answer(list(await asyncio.to_thread(self._certificates.shown)))

    async def _replace_certificate(self, request: web.Request) -> web.Response:
        pem, actor = await read_fields(request, ("pem", "actor"))
        name = request.match_info["name"]
        certificate = await asyncio.to_thread(self._certificates.replace, name, pem)
        _log.info("certificate replaced", extra={"actor": actor, "door": name, "sha256": certificate.sha256})
        return json_answer(certificate)

    async def _get_shared(self, _: web.Request) -> web.Response:
        return json_answer(await self._pairing.shared.read())

    async def _enable_shared(self, request: web.Request) -> web.Response:
        (actor,) = await read_fields(request, ("actor",))
        enabled = await read_flag(request, "enabled")
        shared = await self._pairing.shared.enable(enabled)
        self._pairing.following.wake()
        _log.info("shared address %s", "enabled" if enabled else "disabled", extra={"actor": actor})
        return json_answer(shared)

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return json_answer(await asyncio.to_thread(self._metrics.access))

    async def _make_metrics_token(self, request: web.Request) -> web.Response:
        (actor,) = await read_fields(request, ("actor",))
        token = await asyncio.to_thread(self._metrics.make, actor, utc_now())
        _log.info("a token for the metrics is made", extra={"actor": actor})
        return json_answer({"token": token})

    async def _withdraw_metrics_token(self, request: web.Request) -> web.Response:
        (actor,) = await read_fields(request, ("actor",))
        await asyncio.to_thread(self._metrics.withdraw)
        _log.info("the token for the metrics is withdrawn", extra={"actor": actor})
        return json_answer({})

    async def _get_grant(self, _: web.Request) -> web.Response:
        return json_answer({"grant": to_json(await asyncio.to_thread(self._pairing.grants.current))})

    async def _grant(self, request: web.Request) -> web.Response:
        (actor,) = await read_fields(request, ("actor",))
        hours = await read_number(request, "hours")
        grant = await asyncio.to_thread(self._pairing.grants.give, hours, actor)
        _log.info("a pair upgrade is permitted", extra={"actor": actor, "until": grant.until.isoformat()})
        return json_answer(grant)

    async def _withdraw(self, request: web.Request) -> web.Response:
        (actor,) = await read_fields(request, ("actor",))
        await asyncio.to_thread(self._pairing.grants.withdraw)
        _log.info("the permission of a pair upgrade is withdrawn", extra={"actor": actor})
        return json_answer({})


async def _store(request: web.Request, path: Path) -> None:
    """Stream a body into a file; it has its name only when it is whole and on the disk. Raises DiskFull."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_space(path.parent, request.content_length or 0)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            async for chunk in request.content.iter_chunked(1 << 18):
                await asyncio.to_thread(_write, file, path.parent, chunk)
            await asyncio.to_thread(_sync, file)
        part.replace(path)
        await asyncio.to_thread(sync_directory, path.parent)
    finally:
        part.unlink(missing_ok=True)


def _write(file: BinaryIO, folder: Path, chunk: bytes) -> None:
    """Write a piece if it leaves room to spare; a body need not say its length beforehand."""
    require_space(folder, len(chunk))
    file.write(chunk)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
