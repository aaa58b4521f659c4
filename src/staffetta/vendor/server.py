"""The update server: hands out the repository, answers appliances, keeps the timestamp fresh.

    GET  /metadata/<name>   signed metadata
    GET  /targets/<path>    packages; with Range, so that a download can be taken up again
    POST /v1/offers         what is on offer for a device, and the time, signed (packages.offers)

It holds the online keys only; nothing it could be made to say gets a package installed that was not signed off line.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.packages.offers import LARGEST_REQUEST, PRODUCT, OfferRequest, read_request, sign_statement
from staffetta.packages.selection import is_newer
from staffetta.vendor.keys import KeyFolder, KeyName
from staffetta.vendor.repository import Repository

RENEW_SECONDS: Final = 600.0
PIECE: Final = 1 << 16
_METADATA: Final = re.compile(r"timestamp\.json|[1-9][0-9]*\.(?:root|snapshot|targets|clients)\.json")
_TARGET: Final = re.compile(r"[a-z]+/[0-9a-f]{64}\.[A-Za-z0-9][A-Za-z0-9.+!_-]*")
_IMMUTABLE: Final = {hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable"}
_FRESH: Final = {hdrs.CACHE_CONTROL: "no-cache"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerOrder:
    """What to serve: the repository, the keys (online ones are enough), and a limit in bytes/s per download or None."""

    repository: Repository
    keys: KeyFolder
    rate: int | None = None


def make_server(order: ServerOrder) -> web.Application:
    """Return the update server as an application; it renews the timestamp from its start to its end."""
    server = _UpdateServer(order)
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app.router.add_get("/metadata/{name}", server.metadata)
    app.router.add_get("/targets/{name:.+}", server.target)
    app.router.add_post("/v1/offers", server.offers)
    app.cleanup_ctx.append(server.renewing)
    return app


class _UpdateServer:
    def __init__(self, order: ServerOrder) -> None:
        self._repository = order.repository
        self._keys = order.keys
        self._rate = order.rate
        self._statement_key = order.keys.private(KeyName.STATEMENT)

    async def metadata(self, request: web.Request) -> web.StreamResponse:
        """Answer with a metadata file; the timestamp is the one that must not be cached."""
        name = request.match_info["name"]
        path = self._repository.metadata / name
        if not _METADATA.fullmatch(name) or not await asyncio.to_thread(path.is_file):
            raise web.HTTPNotFound(text="There is no such metadata.\n")
        headers = _FRESH if name == "timestamp.json" else _IMMUTABLE
        return web.Response(
            body=await asyncio.to_thread(path.read_bytes), content_type="application/json", headers=headers
        )

    async def target(self, request: web.Request) -> web.StreamResponse:
        """Answer with a package or an agreement, whole or from where a Range asks."""
        name = request.match_info["name"]
        path = self._repository.targets / name
        if not _TARGET.fullmatch(name) or not await asyncio.to_thread(path.is_file):
            raise web.HTTPNotFound(text="There is no such target.\n")
        if self._rate is None:
            return web.FileResponse(path, headers=_IMMUTABLE)
        return await _send_at_rate(request, path, self._rate)

    async def offers(self, request: web.Request) -> web.StreamResponse:
        """Answer a signed question with a signed statement; a refusal says why (400 malformed, 403 not allowed)."""
        body = await request.read()
        try:
            question = read_request(body)
        except StaffettaError as error:
            # What cannot be understood is a bad request; a signature that does not hold is a refusal.
            status = 400 if error.http_status == 400 else 403
            return web.json_response({"code": error.code, "message": error.message}, status=status)
        if question.product != PRODUCT:
            return web.json_response(
                {"code": "unknown-product", "message": f"The product {question.product!r} is not known here."},
                status=403,
            )
        targets = await asyncio.to_thread(self._on_offer, question)
        _log.info("offered", extra={"device": question.device, "targets": len(targets)})
        answer = sign_statement(self._statement_key, targets, utc_now(), question.nonce)
        return web.Response(body=answer, content_type="application/json", headers=_FRESH)

    async def renewing(self, app: web.Application) -> AsyncIterator[None]:
        """Renew before the first request, then from time to time until the server ends."""
        await asyncio.to_thread(self._renew)
        task = asyncio.create_task(self._renew_for_ever())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def _on_offer(self, question: OfferRequest) -> tuple[str, ...]:
        return tuple(info.target for info in self._repository.infos() if is_newer(question.installed, info))

    def _renew(self) -> None:
        if self._repository.renew(self._keys, utc_now()):
            _log.info("signed the timestamp anew")

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await asyncio.to_thread(self._renew)
            except (StaffettaError, OSError):
                # The next try may work; appliances go on with the present timestamp until it expires.
                _log.exception("could not sign the timestamp anew")


async def _send_at_rate(request: web.Request, path: Path, rate: int) -> web.StreamResponse:
    size = (await asyncio.to_thread(path.stat)).st_size
    try:
        wanted = request.http_range
        start, end, _ = wanted.indices(size)
    except ValueError:
        raise web.HTTPRequestRangeNotSatisfiable(headers={hdrs.CONTENT_RANGE: f"bytes */{size}"}) from None
    partial = wanted.start is not None or wanted.stop is not None
    if partial and start >= end:
        raise web.HTTPRequestRangeNotSatisfiable(headers={hdrs.CONTENT_RANGE: f"bytes */{size}"})
    response = web.StreamResponse(status=206 if partial else 200, headers={**_IMMUTABLE, hdrs.ACCEPT_RANGES: "bytes"})
    response.content_type = "application/octet-stream"
    response.content_length = end - start
    if partial:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{size}"
    await response.prepare(request)
    clock = asyncio.get_running_loop().time
    began, sent = clock(), 0
    piece_size = max(1, min(PIECE, rate // 20))
    with path.open("rb") as file:
        file.seek(start)
        while sent < end - start:
            piece = await asyncio.to_thread(file.read, min(piece_size, end - start - sent))
            if not piece:
                break
            await response.write(piece)
            sent += len(piece)
            await asyncio.sleep(max(0.0, began + sent / rate - clock()))
    await response.write_eof()
    return response
