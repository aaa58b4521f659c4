"""What the other appliance of the pair asks: ``/pair/v1/…``, in every role; proven first, then answered by the table.

- Nothing of a request is read before its token holds, except for the few paths that prove what they need themselves;
  those are answered one at a time and only so often.
- Answers run in database threads, few at a time: sessions must not wait for data-sync.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from staffetta.front.connections import DoorConnection
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import InvalidInput, NotFound, Refused, StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.site.data.database import in_database
from staffetta.site.failover.answering import prove
from staffetta.site.failover.answers import ANSWERS, OPEN, Answer, Asked
from staffetta.site.failover.errors import NotEstablished, PeerNotProven
from staffetta.site.gateway.errors import GatewayError
from staffetta.wire.frames import read_object

_log = get_logger(__name__)

PREFIX: Final = "/pair/v1/"
BODY_LIMIT: Final = 8 * 1024**2
OPEN_BODY_LIMIT: Final = 16 * 1024
ANSWERS_AT_ONCE: Final = 2
ATTEMPT_SECONDS: Final = 60.0
"""So many messages of establishing as the settings say are answered in so many seconds."""

_BODY_SECONDS: Final = 20.0
_WAIT_SECONDS: Final = 15.0


class NoSuchQuestion(GatewayError, NotFound):
    """The peer asks for something that this release does not know."""

    code = "no-such-question"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class TooLong(GatewayError, InvalidInput):
    """The body of a request is too long, or does not end."""

    code = "too-long"
    http_status = 413
    exit_status = InvalidInput.exit_status


class TooOften(GatewayError, Refused):
    """Establishing is tried too often, or another try is under way."""

    code = "too-often"
    http_status = 429
    exit_status = Refused.exit_status


class PairDoor:
    """The handler of everything below ``/pair/v1/``. ``certificate`` says (hex) what a connection without one shows."""

    def __init__(
        self, certificate: Callable[[], str], attempts: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``attempts``: how many messages of establishing are answered in ``ATTEMPT_SECONDS``."""
        self._certificate = certificate
        self._most_attempts = attempts
        self._clock = clock
        self._establishing = asyncio.Semaphore(1)
        self._greeting = asyncio.Semaphore(1)
        self._answering = asyncio.Semaphore(ANSWERS_AT_ONCE)
        self._attempts: deque[float] = deque()

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_route("*", PREFIX + "{path:.*}", self.handle)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; a refusal is ``{"code", "message"}`` with the status of its error class."""
        try:
            answer = await self._answer(request)
        except NotEstablished as error:
            checks = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in error.checks]
            return _json(_refusal(error) | {"checks": checks}, error.http_status)
        except StaffettaError as error:
            return _json(_refusal(error), error.http_status)
        if isinstance(answer, Path):
            if not answer.is_file():
                return _json({"code": "not-found", "message": "There are no such bytes here."}, 404)
            return web.FileResponse(answer, headers={"Content-Type": "application/octet-stream", **_UNSTORED})
        return _json(answer)

    async def _answer(self, request: web.Request) -> dict[str, Any] | Path:
        path = request.match_info["path"]
        entry, rest = _find(request.method, path)
        answer = ANSWERS[entry]
        protocol = request.protocol
        shown = protocol.certificate if isinstance(protocol, DoorConnection) else self._certificate()
        asked = Asked("", dict(request.query), rest=rest, leaf=bytes.fromhex(shown), at=utc_now())
        if entry in OPEN:
            return await self._answer_open(request, answer, asked, entry[1] == "hello")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise PeerNotProven("Only the other appliance of this pair may ask this: there is no token.")
        origin = await in_database(prove, token.strip(), asked)
        body = await _body(request, BODY_LIMIT)
        async with self._answering:
            return await in_database(answer, _with(asked, origin, body))

    async def _answer_open(
        self, request: web.Request, answer: Answer, asked: Asked, greeting: bool
    ) -> dict[str, Any] | Path:
        if not greeting:
            self._count_attempt()
        body = await _body(request, OPEN_BODY_LIMIT)
        turn = self._greeting if greeting else self._establishing
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await turn.acquire()
        except TimeoutError:
            raise TooOften("Another one is being answered; try again in a moment.") from None
        try:
            return await in_database(answer, _with(asked, "", body))
        finally:
            turn.release()

    def _count_attempt(self) -> None:
        now = self._clock()
        while self._attempts and now - self._attempts[0] >= ATTEMPT_SECONDS:
            self._attempts.popleft()
        if len(self._attempts) >= self._most_attempts:
            raise TooOften("Establishing was tried too often; wait a minute and try again.")
        self._attempts.append(now)


_UNSTORED: Final = {"Cache-Control": "no-store"}


def _find(method: str, path: str) -> tuple[tuple[str, str], str]:
    """The entry of the table for a path, and what is left of the path. Raises ``NoSuchQuestion``."""
    if (method, path) in ANSWERS:
        return (method, path), ""
    head, slash, rest = path.rpartition("/")
    while slash:
        if (method, head + "/") in ANSWERS and rest:
            return (method, head + "/"), rest
        head, slash, more = head.rpartition("/")
        rest = f"{more}/{rest}"
    raise NoSuchQuestion(f"This release knows no {method[:16]} {path[:80]} of the pair.")


async def _body(request: web.Request, limit: int) -> dict[str, Any]:
    """The JSON object of a request; nothing is one without fields."""
    if (request.content_length or 0) > limit:
        raise TooLong(f"A request has at most {limit} bytes.")
    pieces = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.content.iter_any():
                pieces += piece
                if len(pieces) > limit:
                    raise TooLong(f"A request has at most {limit} bytes.")
    except TimeoutError:
        raise TooLong("The request does not come to its end.") from None
    return read_object(bytes(pieces)) if pieces else {}


def _with(asked: Asked, origin: str, body: dict[str, Any]) -> Asked:
    return Asked(origin, asked.parameters, body, asked.rest, asked.leaf, asked.at)


def _refusal(error: StaffettaError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message}


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    raw = json.dumps(value, allow_nan=False).encode()
    return web.Response(body=raw, status=status, content_type="application/json", headers=_UNSTORED)
