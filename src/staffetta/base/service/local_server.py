"""A local socket that base answers on: HTTP and JSON, each request audited with its peer, errors in words.

What a socket offers is its routes (`control`, `site_door`). Nothing is changed that the audit log cannot tell of.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

from aiohttp import web

from staffetta.base.service.audit import AuditLog, Peer
from staffetta.control.local import to_json
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import InvalidInput, NoSpace, StaffettaError
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

LARGEST_BODY: Final = 1 << 20
"""Bytes of a JSON body; an uploaded bundle is not bounded by this but by the disk."""

LONGEST_ACTOR: Final = 200
ACTOR: Final = web.RequestKey("actor", str)
_SERVED_AFTER_DRAIN_SECONDS: Final = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class InvalidRequest(InvalidInput):
    """A request on a local socket that cannot be understood."""

    code = "invalid-request"


class LocalServer:
    """Answers on one of keeper's local sockets while this generation is active; `name` is the socket's.

    No more than `MOST_CONNECTIONS` are held at a time: each costs a descriptor that base needs for its own files.
    """

    MOST_CONNECTIONS: ClassVar[int] = 256

    def __init__(self, name: str, audit: AuditLog) -> None:
        self.name = name
        self._audit = audit
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._leaving, self._audited, _in_words])
        self.router = app.router
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SERVED_AFTER_DRAIN_SECONDS)
        self._server: asyncio.AbstractServer | None = None

    async def accept_on(self, sockets: list[socket.socket]) -> None:
        """Accept on keeper's socket (one, or none after it was closed there)."""
        if self._runner.server is None:
            await self._runner.setup()
        await self.stop_accepting()
        for sock in sockets:
            # A descriptor of our own: the loop closes it when we stop, keeper's stays as it is.
            own = sock.dup()
            own.setblocking(False)
            self._server = await asyncio.get_running_loop().create_unix_server(self._answering, sock=own)

    def _answering(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= self.MOST_CONNECTIONS:
            _log.warning("%s: too many connections; one is closed unheard", self.name)
            return _Closed()
        return server()

    async def stop_accepting(self) -> None:
        """Take no new connection; established ones are answered."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Let requests under way end, then close what is left."""
        await self.stop_accepting()
        await self._runner.cleanup()

    @web.middleware
    async def _leaving(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """While another generation has the socket, an answer is a connection's last: the next question goes there."""
        response = await handler(request)
        if self._server is None:
            response.force_close()
        return response

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
                utc_now(),
                _peer(request),
                request[ACTOR],
                request.method,
                request.path_qs,
                status,
                durable=changes,
            )
        except OSError as error:
            _log.error("the audit log cannot be written: %s", error)
            return error
        return None


class _Closed(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of ours become their status with code and sentence."""
    try:
        return await handler(request)
    except StaffettaError as error:
        return json_answer({"code": error.code, "message": error.message}, error.http_status)
    except web.HTTPException as error:
        return json_answer({"code": "invalid-request", "message": f"{error.reason}."}, error.status)
    except OSError as error:
        _log.exception("a request could not use the disk or a socket")
        full = NoSpace(f"The disk or a local socket answered: {error.strerror or error}.")
        return json_answer({"code": full.code, "message": full.message}, full.http_status)
    except Exception:  # noqa: BLE001 - logged with its trace; the asker gets a sentence instead of a broken connection
        _log.exception("a request failed")
        return json_answer({"code": "error", "message": "Base met an unexpected error; see its log."}, 500)


async def read_fields(request: web.Request, names: tuple[str, ...]) -> tuple[str, ...]:
    """The text fields of a JSON body, all of them there; notes the actor for the audit."""
    body = await _body(request)
    values = [body.get(name) for name in names]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, str) or not value or (name == "actor" and len(value) > LONGEST_ACTOR):
            raise InvalidRequest(f"The body lacks the text `{name}`.")
        if name == "actor":
            request[ACTOR] = value
    return tuple(str(value) for value in values)


async def read_number(request: web.Request, name: str) -> int:
    """A whole number of a JSON body, not below 0."""
    value = (await _body(request)).get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise InvalidRequest(f"The body lacks the number `{name}`.")
    return value


async def read_flag(request: web.Request, name: str) -> bool:
    """A truth value of a JSON body."""
    value = (await _body(request)).get(name)
    if not isinstance(value, bool):
        raise InvalidRequest(f"The body lacks `{name}`, true or false.")
    return value


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"null")
    except ValueError:
        raise InvalidRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body is not a JSON object.")
    return body


def json_answer(value: object, status: int = 200) -> web.Response:
    """A value of the contract as an answer."""
    return web.json_response(to_json(value), status=status)


def _unaudited(error: OSError, outcome: str) -> web.Response:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = f"The audit log cannot be written: {error.strerror or error}. {outcome}"
    return json_answer({"code": "no-space" if full else "not-audited", "message": message}, 507 if full else 500)


def _peer(request: web.Request) -> Peer | None:
    sock = None if request.transport is None else request.transport.get_extra_info("socket")
    try:
        return None if sock is None else Peer.of(sock)
    except OSError:
        return None
