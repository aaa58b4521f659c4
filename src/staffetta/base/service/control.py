"""The control socket: HTTP and JSON for base's own pages and the command line; translates, decides nothing.

Open to root and one group by the socket's mode; every request is audited with its peer, and nothing is changed that
cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from staffetta.base.certificates.service import CertificateService
from staffetta.base.installs.service import Installs
from staffetta.base.service.audit import AuditLog, Peer
from staffetta.base.status import StatusService
from staffetta.base.updates.service import UPLOAD_SUFFIX, UpdateService
from staffetta.control.appliance import Eula, to_json
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import InvalidInput, NoSpace, StaffettaError
from staffetta.kernel.files import sync_directory
from staffetta.kernel.ids import new_id
from staffetta.kernel.log import get_logger
from staffetta.releases.disk import require_space

_log = get_logger(__name__)

LARGEST_BODY: Final = 1 << 20
"""Bytes of a JSON body; an uploaded bundle is not bounded by this but by the disk."""

LONGEST_ACTOR: Final = 200
ACTOR: Final = web.RequestKey("actor", str)
_SERVED_AFTER_DRAIN_SECONDS: Final = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class InvalidRequest(InvalidInput):
    """A request on the control socket that cannot be understood."""

    code = "invalid-request"


class ControlServer:
    """Answers on the control socket while this generation is active."""

    def __init__(
        self,
        status: StatusService,
        installs: Installs,
        updates: UpdateService,
        certificates: CertificateService,
        audit: AuditLog,
    ) -> None:
        self._status = status
        self._installs = installs
        self._updates = updates
        self._certificates = certificates
        self._audit = audit
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._audited, _in_words])
        app.router.add_get("/v1/status", self._get_status)
        app.router.add_post("/v1/updates/check", self._check)
        app.router.add_get("/v1/updates", self._get_updates)
        app.router.add_get("/v1/eula", self._get_eula)
        app.router.add_post("/v1/eula", self._accept_eula)
        app.router.add_post("/v1/installs", self._install)
        app.router.add_post("/v1/installs/upload", self._upload)
        app.router.add_get("/v1/installs", self._get_jobs)
        app.router.add_get("/v1/installs/{job}", self._get_job)
        app.router.add_get("/v1/installs/{job}/events", self._events)
        app.router.add_get("/v1/certificates", self._get_certificates)
        app.router.add_post("/v1/certificates/{name}", self._replace_certificate)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SERVED_AFTER_DRAIN_SECONDS)
        self._server: asyncio.AbstractServer | None = None
        self._served: set[int] = set()

    async def accept_on(self, sockets: list[socket.socket]) -> None:
        """Accept on keeper's socket (one, or none after it was closed there)."""
        if self._runner.server is None:
            await self._runner.setup()
        await self.stop_accepting()
        for sock in sockets:
            assert self._runner.server is not None
            # A descriptor of our own: the loop closes it when we stop, keeper's stays as it is.
            own = sock.dup()
            own.setblocking(False)
            self._server = await asyncio.get_running_loop().create_unix_server(self._runner.server, sock=own)

    async def stop_accepting(self) -> None:
        """Take no new connection; established ones are answered."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Let requests under way end, then close what is left."""
        await self.stop_accepting()
        await self._runner.cleanup()

    async def _get_status(self, _: web.Request) -> web.Response:
        return _json(await self._status.read())

    async def _check(self, request: web.Request) -> web.Response:
        await _read_fields(request, ("actor",))
        return _json(await asyncio.to_thread(self._updates.check))

    async def _get_updates(self, _: web.Request) -> web.Response:
        return _json(await asyncio.to_thread(self._updates.updates))

    async def _get_eula(self, _: web.Request) -> web.Response:
        shown = await asyncio.to_thread(self._updates.agreements.to_show)
        return _json(Eula(shown.text, shown.sha256, shown.is_accepted, shown.accepted_by, shown.accepted_at))

    async def _accept_eula(self, request: web.Request) -> web.Response:
        sha256, actor = await _read_fields(request, ("sha256", "actor"))
        await asyncio.to_thread(self._updates.agreements.accept, sha256, actor, utc_now())
        _log.info("licence agreement accepted", extra={"actor": actor, "sha256": sha256})
        return _json({})

    async def _install(self, request: web.Request) -> web.Response:
        target, actor = await _read_fields(request, ("target", "actor"))
        self._installs.require_free()
        wanted = await asyncio.to_thread(self._updates.want, target, actor)
        return _json({"job": await self._installs.begin(wanted)})

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
        return _json({"job": job})

    async def _get_jobs(self, _: web.Request) -> web.Response:
        return _json({"jobs": [to_json(job) for job in self._installs.feed.jobs()]})

    async def _get_job(self, request: web.Request) -> web.Response:
        return _json(self._installs.feed.job(request.match_info["job"]))

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
        return _json(list(await asyncio.to_thread(self._certificates.shown)))

    async def _replace_certificate(self, request: web.Request) -> web.Response:
        pem, actor = await _read_fields(request, ("pem", "actor"))
        name = request.match_info["name"]
        certificate = await asyncio.to_thread(self._certificates.replace, name, pem)
        _log.info("certificate replaced", extra={"actor": actor, "door": name, "sha256": certificate.sha256})
        return _json(certificate)

    @web.middleware
    async def _audited(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What changes something is refused if the log cannot say that it was asked for, and fails if not its end."""
        request[ACTOR] = ""
        changes = request.method not in ("GET", "HEAD")
        if changes and (error := self._note(request, None)) is not None:
            return _unaudited(error, "Nothing was done.")
        try:
            response = await handler(request)
        except BaseException:
            self._note(request, 500)
            raise
        error = self._note(request, response.status)
        if changes and error is not None:
            return _unaudited(error, "What was asked may have been done; look before you ask again.")
        return response

    def _note(self, request: web.Request, status: int | None) -> OSError | None:
        """Write a line; what hindered it, if something did, is logged and given back."""
        changes = request.method not in ("GET", "HEAD")
        try:
            self._audit.write(
                utc_now(), _peer(request), request[ACTOR], request.method, request.path_qs, status, durable=changes
            )
        except OSError as error:
            _log.error("the audit log cannot be written: %s", error)
            return error
        return None


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of ours become their status with code and sentence."""
    try:
        return await handler(request)
    except StaffettaError as error:
        return _json({"code": error.code, "message": error.message}, error.http_status)
    except web.HTTPException as error:
        return _json({"code": "invalid-request", "message": f"{error.reason}."}, error.status)
    except OSError as error:
        _log.exception("a request could not use the disk or a socket")
        full = NoSpace(f"The disk or a local socket answered: {error.strerror or error}.")
        return _json({"code": full.code, "message": full.message}, full.http_status)
    except Exception:  # noqa: BLE001 - logged with its trace; the asker gets a sentence instead of a broken connection
        _log.exception("a request failed")
        return _json({"code": "error", "message": "Base met an unexpected error; see its log."}, 500)


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


async def _read_fields(request: web.Request, names: tuple[str, ...]) -> tuple[str, ...]:
    """The text fields of a JSON body, all of them there; notes the actor for the audit."""
    try:
        body = json.loads(await request.read() or b"null")
    except ValueError:
        raise InvalidRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body is not a JSON object.")
    values = [body.get(name) for name in names]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, str) or not value or (name == "actor" and len(value) > LONGEST_ACTOR):
            raise InvalidRequest(f"The body lacks the text `{name}`.")
        if name == "actor":
            request[ACTOR] = value
    return tuple(str(value) for value in values)


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(to_json(value), status=status)


def _unaudited(error: OSError, outcome: str) -> web.Response:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = f"The audit log cannot be written: {error.strerror or error}. {outcome}"
    return _json({"code": "no-space" if full else "not-audited", "message": message}, 507 if full else 500)


def _peer(request: web.Request) -> Peer | None:
    sock = None if request.transport is None else request.transport.get_extra_info("socket")
    try:
        return None if sock is None else Peer.of(sock)
    except OSError:
        return None
