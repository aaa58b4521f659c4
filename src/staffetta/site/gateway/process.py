"""The gateway process: its parts put together, and keeper's orders to it.

In standby it serves two private sockets: ``private.sock`` (facts, prove, move, role) and ``front.sock`` (the whole
door, TLS, for the proof). Activated, the door opens on keeper's sockets. Deactivated it accepts nothing new and keeps
what it has. Drained, it has moved everybody and finished every request. When its appliance becomes the backup of a pair
it moves everybody to the primary and goes on otherwise; when it becomes the primary it serves at once.
"""

import asyncio
import contextlib
import json
import math
import threading
from collections.abc import Sequence
from functools import partial
from typing import Final

from aiohttp import web
from django.conf import settings

from staffetta.control.child import KeeperChannel, KeptSocket
from staffetta.control.local import to_json
from staffetta.control.measures import MEASURES_PATH, SiteMeasures
from staffetta.control.paths import ProcessEnvironment, read_description
from staffetta.control.private import Facts, private_app, serve_private
from staffetta.front.certificates import CertificateStore
from staffetta.front.door import Door
from staffetta.front.lag import LoopLag
from staffetta.front.passing import Pages
from staffetta.front.settings import FrontSettings
from staffetta.kernel.log import get_logger
from staffetta.kernel.settings import load_section
from staffetta.site.accounts.models import Account
from staffetta.site.data import identity
from staffetta.site.data.database import in_database
from staffetta.site.failover import service as failover
from staffetta.site.failover.rules import Alarm
from staffetta.site.fleet import check_ins
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.bundle import ClientBundle
from staffetta.site.gateway import standing as standings
from staffetta.site.gateway.connect import Connect, Place
from staffetta.site.gateway.errors import Leaves
from staffetta.site.gateway.joining import Joining
from staffetta.site.gateway.letting_go import LettingGo
from staffetta.site.gateway.measuring import Counting, answer_measures
from staffetta.site.gateway.moving import Moving
from staffetta.site.gateway.neighbours import MOVE_PATH, PRIVATE_SOCKET, Neighbours
from staffetta.site.gateway.peer import PairDoor
from staffetta.site.gateway.presence import Presence
from staffetta.site.gateway.prove import Prover
from staffetta.site.gateway.recordings import FOLDER, Recordings
from staffetta.site.gateway.requests import BODY_LIMIT, Requests
from staffetta.site.gateway.sessions import Sessions
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.site.gateway.signing import ELSEWHERE, Signer
from staffetta.site.gateway.standing import Standing
from staffetta.site.processes.child import check_database, obey
from staffetta.site.processes.errors import OtherDatabase
from staffetta.site.processes.tasks import snapshot_bytes
from staffetta.site.processes.web import WEB_SOCKET
from staffetta.ui.signin.accounts import first_password_stands
from staffetta.wire.errors import CloseCode
from staffetta.wire.identity import SigningKey

_log = get_logger(__name__)

FRONT_SOCKET: Final = "front.sock"
_LOOK_SECONDS: Final = 0.5
_GOODBYE_SECONDS: Final = 0.5
_PUT_AWAY_SECONDS: Final = 3.0
_TAKE_OVER_SECONDS: Final = 60.0
_ROLE_SECONDS: Final = 2.0
_COMING_SECONDS: Final = 60.0
ROLE_PATH: Final = "/v1/role"


class Gateway:
    """All parts of one gateway process. ``start`` before anything else, ``leave`` at the end."""

    def __init__(
        self,
        environment: ProcessEnvironment,
        signer: Signer,
        certificates: CertificateStore,
        bundle: ClientBundle | None,
        site_url: str,
        appliance_url: str,
    ) -> None:
        paths = environment.paths
        front = load_section(FrontSettings, paths.settings, "front")
        limits = load_section(GatewaySettings, paths.settings, "gateway")
        place = Place(environment.generation, environment.version)
        self._environment = environment
        self._signer = signer
        self._told = signer.content()
        self._looking = asyncio.Lock()
        self._stepping_down: asyncio.Task[None] | None = None
        self._limits = limits
        self._appliance_url = appliance_url
        self._certificates = certificates
        self._neighbours = Neighbours(environment.run)
        self._presence = Presence(place.generation, place.version, limits)
        self._recordings = Recordings(paths.site / FOLDER, place.generation)
        self._sessions = Sessions(
            place.generation, place.version, signer, self._recordings, limits, self._neighbours.move_session
        )
        self._moving = Moving(signer, self._presence, self._sessions, limits)
        self._connect = Connect(place, signer, self._presence, self._neighbours, limits)
        self._joining = Joining(signer, self._sessions, limits)
        self._pages = Pages(environment.run / WEB_SOCKET, front)
        self._requests = Requests(signer, bundle, limits)
        self._prover = Prover(environment.run / FRONT_SOCKET, signer, site_url)
        self._door = Door(self._app(), certificates, front)
        self._counting = Counting(None if bundle is None else bundle.version)
        self._lag = LoopLag()
        self._private: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the private sockets and begin to look after sessions and presence."""
        await self._door.add_private(self._environment.run / FRONT_SOCKET)
        app = private_app(self._facts, self._prover.prove)
        app.router.add_get(MEASURES_PATH, self._measured)
        app.router.add_post(MOVE_PATH, self._move_asked)
        app.router.add_post(ROLE_PATH, self._role_told)
        self._private = await serve_private(app, self._environment.run / PRIVATE_SOCKET)
        self._lag.start()
        loop = asyncio.get_running_loop()
        self._tasks = {
            loop.create_task(work)
            for work in (
                self._presence.tell_database(),
                self._sessions.write(),
                self._look_after(),
                self._recheck(),
                self._watch_role(),
            )
        }

    # Keeper's orders

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        """Accept on keeper's sockets, and take over what dead generations left of recordings."""
        await self.sockets(sockets)
        if self._beating is None:
            self._beating = asyncio.get_running_loop().create_task(self._presence.beat())
        self._recordings.take_over(self._sessions.later)

    async def _note_served(self) -> None:
        """Remember since when this version serves clients: who has not come since then is listed apart (C12)."""
        if self._signer.serves and self._door.accepting:
            await in_database(check_ins.note_served, self._environment.version)

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        """Accept on exactly these. Keeper's channel closes its own descriptors, so the door gets copies."""
        await self._door.set_sockets([kept.sock.dup() for kept in sockets])

    async def deactivate(self) -> None:
        """Accept nothing new; sessions, the connected and requests under way stay."""
        await self._door.stop_accepting()

    async def drain(self, seconds: float) -> None:
        """Move sessions, then the idle, finish requests, seal recordings; at the latest after ``seconds``."""
        started = asyncio.get_running_loop().time()
        self._connect.draining = self._joining.draining = True
        draining = asyncio.ensure_future(self._door.drain(seconds))
        left = await self._moving.empty(seconds)
        cut = await draining
        _log.info(
            "drained",
            extra={
                "seconds": round(asyncio.get_running_loop().time() - started, 3),
                "connections_cut": cut,
                "session_ends_closed": left.session_ends,
                "clients_closed": left.clients,
                "consoles_closed": left.consoles,
            },
        )
        await self._put_away()

    async def leave(self) -> None:
        """End everything here: recordings sealed, the database told, sockets closed."""
        self._sessions.close_all(CloseCode.MOVED, "this gateway leaves")
        deadline = asyncio.get_running_loop().time() + _GOODBYE_SECONDS
        while self._sessions.ends and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(_GOODBYE_SECONDS / 20)
        await self._put_away()
        self._lag.stop()
        tasks = {*self._tasks, *({self._stepping_down} if self._stepping_down is not None else ())}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._private is not None:
            await self._private.cleanup()
        await self._door.close()
        await self._pages.close()

    async def _put_away(self) -> None:
        """Seal every open recording and write everything that has happened."""
        if self._beating is not None:
            self._beating.cancel()
        self._recordings.seal_all(self._sessions.later)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PUT_AWAY_SECONDS):
                await self._sessions.written()
                await self._presence.leave()

    # The pair

    async def look_at_role(self) -> None:
        """Read role, term, addresses, certificates and the site's key anew, and act on what has changed."""
        async with self._looking:  # an older answer must not come after a newer one
            key = await in_database(identity.site_identity)
            standing = await in_database(standings.read, self._signer.standing.configured)
            self._meet(standing, key)

    def _meet(self, standing: Standing, key: SigningKey) -> None:
        served = self._signer.serves
        self._signer.adopt(standing, key)
        told, self._told = self._told, self._signer.content()
        if served and not standing.serves:
            _log.info("stepping down", extra={"term": standing.term, "primary": standing.elsewhere})
            self._stepping_down = asyncio.get_running_loop().create_task(self._step_down())
        elif standing.serves and not served:
            _log.info("serving from now on", extra={"term": standing.term})
            if self._stepping_down is not None:
                self._stepping_down.cancel()
        if standing.serves and self._told != told:
            self._moving.tell_statement()

    async def _step_down(self) -> None:
        """Move everybody to the primary, sessions first; pages and everything else go on."""
        left = await self._moving.empty(math.inf, ELSEWHERE)
        self._recordings.seal_all(self._sessions.later)
        _log.info(
            "stepped down",
            extra={
                "session_ends_closed": left.session_ends,
                "clients_closed": left.clients,
                "consoles_closed": left.consoles,
            },
        )

    async def _role_told(self, _: web.Request) -> web.Response:
        """POST /v1/role: the role may have changed in the database."""
        await self.look_at_role()
        standing = self._signer.standing
        return web.json_response({"role": standing.role, "role_term": standing.role_term})

    async def _watch_role(self) -> None:
        """Look every two seconds. Who has not come here some time after this appliance began to serve is offline."""
        clock = asyncio.get_running_loop().time
        since: float | None = clock()
        while True:
            await asyncio.sleep(_ROLE_SECONDS)
            try:
                await self.look_at_role()
                await self._note_served()
                if not self._signer.serves:
                    since = clock()
                elif since is not None and clock() - since >= _COMING_SECONDS and self._door.accepting:
                    await in_database(fleet.forget_unknown_holders)
                    since = None
            except Exception:  # noqa: BLE001 - asked again in two seconds
                _log.exception("this appliance's role could not be read")

    # What goes on all the time

    async def _look_after(self) -> None:
        clock = asyncio.get_running_loop().time
        taken_over = clock()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._door.accepting and clock() - taken_over >= _TAKE_OVER_SECONDS:
                taken_over = clock()
                self._recordings.take_over(self._sessions.later)
            self._presence.close_silent(clock())
            self._sessions.look_after(clock())

    async def _recheck(self) -> None:
        """Revoked clients and disabled reps are out within seconds (the bound is 5 s)."""
        while True:
            await asyncio.sleep(self._limits.recheck_seconds)
            try:
                await self._connect.close_disallowed()
                await self._sessions.end_what_is_over()
            except Exception:  # noqa: BLE001 - asked again in two seconds
                _log.exception("the connected could not be checked against revocations")

    # HTTP

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_get("/client/connect", self._connect.handle)
        app.router.add_get("/client/session", self._joining.handle)
        self._requests.add_to(app)
        PairDoor(self._certificates.sha256, self._limits.establish_attempts).add_to(app)
        app.router.add_route("*", "/appliance", self._to_appliance)
        app.router.add_route("*", "/appliance/{rest:.*}", self._to_appliance)
        app.router.add_route("*", "/{path:.*}", self._pages.handle)
        app.on_response_prepare.append(LettingGo(self._signer))
        return app

    async def _to_appliance(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(self._appliance_url)

    async def _facts(self) -> Facts:
        try:
            copy = snapshot_bytes()
        except OtherDatabase:
            copy = None  # copied by its own tools, elsewhere
        return Facts(
            program=self._environment.program,
            generation=self._environment.generation,
            version=self._environment.version,
            sessions_live=len(self._sessions.live),
            clients_online=len(self._presence.clients),
            requests_under_way=self._door.requests_under_way,
            database_bytes=copy,
            role=self._signer.standing.role,
            role_term=self._signer.standing.role_term,
            peer_role=self._signer.standing.peer_role,
            first_password=await in_database(first_password_stands, Account),
        )

    async def _measured(self, _: web.Request) -> web.Response:
        """GET /v1/measures: what the doctor and the metrics need of the site."""
        counted = await self._counting.read()
        measures = SiteMeasures(
            version=self._environment.version,
            generation=self._environment.generation,
            role=self._signer.standing.role,
            role_term=self._signer.standing.role_term,
            sessions_live=len(self._sessions.live),
            connections=self._door.connections,
            fleet=counted.fleet,
            reps_online=counted.reps_online,
            pauses=self._sessions.pauses.measures(),
            answers=answer_measures(self._door.answers),
            loop_lag_seconds=self._lag.seconds,
            backup_at=counted.backup_at,
            pair=counted.pair,
        )
        return web.json_response(to_json(measures))

    async def _move_asked(self, request: web.Request) -> web.Response:
        """POST /v1/move {"client": id} or {"session": id}: another generation needs it over there now."""
        try:
            asked = json.loads(await request.read())
            client, session = asked.get("client"), asked.get("session")
        except (ValueError, AttributeError):
            raise web.HTTPBadRequest(text='Give {"client": id} or {"session": id}.\n') from None
        moved = False
        if not self._door.accepting:
            if isinstance(client, str):
                moved = self._moving.move_client(client)
            elif isinstance(session, str):
                moved = self._sessions.move("another generation serves it", session)
        return web.json_response({"moved": moved})


async def _settled(leave: asyncio.Event) -> tuple[Alarm, ...]:
    """Find out by the peer, if need be, which role this appliance has. Raises ``Leaves`` when told to end meanwhile."""
    told = threading.Event()

    def pause(seconds: float) -> None:
        if told.wait(seconds):
            raise Leaves("The gateway was told to end before it had begun.")

    watching = asyncio.ensure_future(leave.wait())
    watching.add_done_callback(lambda _: told.set())
    try:
        return await in_database(partial(failover.settle, pause))
    finally:
        watching.cancel()


async def serve_gateway(environment: ProcessEnvironment, channel: KeeperChannel, leave: asyncio.Event) -> None:
    """Serve until ``leave`` is set."""
    await in_database(check_database)
    try:
        alarms = await _settled(leave)
    except Leaves:
        return
    for alarm in alarms:
        _log.warning("starting as the primary all the same: %s", alarm)
    key = await in_database(identity.site_identity)
    standing = await in_database(standings.read, tuple(settings.STAFFETTA_ADDRESSES))
    certificates = CertificateStore(environment.paths.certificates / "site.pem")
    description = read_description(environment.paths)
    bundle = await asyncio.to_thread(ClientBundle.find, environment.release)
    signer = Signer(key, standing, certificates)
    gateway = Gateway(environment, signer, certificates, bundle, description.site_url, description.appliance_url)
    await gateway.start()
    try:
        await obey(channel, gateway, leave)
    finally:
        await gateway.leave()
