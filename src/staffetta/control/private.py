"""The private socket of a generation: where it is asked what it is doing, and to prove itself before it is trusted.

HTTP with JSON on `run/<generation>/private.sock`, which the program's group may open: base asks a generation of the
site in standby to prove itself (log in, write and read a record, hold a probe session) before keeper gives it any
public socket. `GET /v1/facts` answers facts, `POST /v1/prove` runs the checks and answers with each; a gateway of
the site answers `GET /v1/measures` too.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from staffetta.control.appliance import from_json
from staffetta.control.measures import MEASURES_PATH, SiteMeasures
from staffetta.kernel.errors import Damaged, Unavailable
from staffetta.kernel.log import get_logger

T = TypeVar("T")
_log = get_logger(__name__)
_SOCKET_MODE = 0o660
_ANSWER_BYTES = 1 << 20
_CLEANUP_SECONDS = 1.0  # a question under way when a generation leaves is not worth waiting for


class PrivateUnreachable(Unavailable):
    """A generation does not answer on its private socket, or not in time."""

    code = "private-unreachable"


class BadPrivateAnswer(Damaged):
    """A generation answered on its private socket with something else than the contract says."""

    code = "bad-private-answer"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a generation is and does now; a number is None where it does not apply."""

    program: str
    generation: str
    version: str
    sessions_live: int | None = None
    clients_online: int | None = None
    requests_under_way: int | None = None
    database_bytes: int | None = None  # what a copy of its database takes on the appliance's disk
    role: str | None = None  # what the site's appliance is in a failover pair: alone, primary or backup
    role_term: int | None = None
    peer_role: str | None = None  # that of the other appliance, while it is heard
    first_password: bool | None = None  # whether the site's first account still has the password that the guide prints


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried; `detail` is a sentence for people, most of all when it went wrong."""

    name: str
    ok: bool
    detail: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Proof:
    """What a generation could show. `ok` is true only if every check is."""

    ok: bool
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, checks: tuple[Check, ...]) -> "Proof":
        """The proof that these checks make; none at all prove nothing."""
        return cls(bool(checks) and all(check.ok for check in checks), checks)


AskFacts = Callable[[], Awaitable[Facts]]
AskProof = Callable[[], Awaitable[Proof]]


def private_app(facts: AskFacts, prove: AskProof) -> web.Application:
    """The application behind the private socket. A check that raises is a failed check, never a broken answer."""

    async def get_facts(_: web.Request) -> web.Response:
        return web.json_response(asdict(await facts()))

    async def post_prove(_: web.Request) -> web.Response:
        started = asyncio.get_running_loop().time()
        try:
            proof = await prove()
        except Exception as error:  # noqa: BLE001 - what a check raises is its result
            _log.exception("proving failed")
            milliseconds = (asyncio.get_running_loop().time() - started) * 1000
            proof = Proof.of((Check("prove", False, f"{type(error).__name__}: {error}", milliseconds),))
        return web.json_response(asdict(proof))

    app = web.Application()
    app.router.add_get("/v1/facts", get_facts)
    app.router.add_post("/v1/prove", post_prove)
    return app


async def serve_private(app: web.Application, path: Path) -> web.AppRunner:
    """Serve on the socket at `path`, open to its owner and group. Stop it with `await runner.cleanup()`."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLEANUP_SECONDS)
    await runner.setup()
    listening = _listen(path)
    try:
        await web.SockSite(runner, listening).start()
    except BaseException:
        listening.close()
        await runner.cleanup()
        raise
    return runner


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A process that is started again finds the socket of the one before; keeper runs one of each at a time.
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        path.chmod(_SOCKET_MODE)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


async def facts(socket_path: Path, timeout: float = 5.0) -> Facts:  # noqa: ASYNC109 - for the whole answer
    """Ask a generation for its facts. Raises PrivateUnreachable and BadPrivateAnswer."""
    return _understood(Facts, await _ask("GET", socket_path, "/v1/facts", timeout), socket_path)


async def prove(socket_path: Path, timeout: float = 30.0) -> Proof:  # noqa: ASYNC109 - for the whole answer
    """Let a generation prove itself. Raises PrivateUnreachable and BadPrivateAnswer; a bad proof is an answer."""
    proof = _understood(Proof, await _ask("POST", socket_path, "/v1/prove", timeout), socket_path)
    # `ok` is judged again here, so that a generation cannot be better than its checks.
    return Proof(proof.ok and Proof.of(proof.checks).ok, proof.checks)


async def measures(socket_path: Path, timeout: float = 5.0) -> SiteMeasures:  # noqa: ASYNC109 - for the whole answer
    """Ask a generation of the site for its numbers. Raises PrivateUnreachable, and BadPrivateAnswer also when its
    release does not tell any."""
    return _understood(SiteMeasures, await _ask("GET", socket_path, MEASURES_PATH, timeout), socket_path)


async def _ask(method: str, socket_path: Path, path: str, seconds: float) -> Mapping[str, Any]:
    limit = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(socket_path)), timeout=limit, auto_decompress=False
            ) as session,
            session.request(method, f"http://private{path}", allow_redirects=False) as response,
        ):
            body = await response.content.read(_ANSWER_BYTES)
            if response.status != 200:
                raise BadPrivateAnswer(f"{socket_path} answered {path} with status {response.status}.")
    except TimeoutError:
        raise PrivateUnreachable(f"{socket_path} did not answer {path} within {seconds:g} s.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise PrivateUnreachable(f"{socket_path} does not answer {path}: {error}") from error
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadPrivateAnswer(f"{socket_path} answered {path} with what is not JSON.") from error
    if not isinstance(raw, dict):
        raise BadPrivateAnswer(f"{socket_path} answered {path} with what is not an object.")
    return raw


def _understood(kind: type[T], raw: Mapping[str, Any], socket_path: Path) -> T:
    try:
        return from_json(kind, raw)
    except Damaged as error:
        raise BadPrivateAnswer(f"What {socket_path} answered cannot be understood: {error.message}") from error
