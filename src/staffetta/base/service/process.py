"""The service process of base, as keeper moves it through its life: standby, active, reserve, draining.

Standby: the door answers on a private socket, nothing else. Active: it has the sockets, the control socket and the
install journal. Told to deactivate, it gives up all three and keeps what is established; told to drain, it ends that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from staffetta.base.certificates.service import CertificateService
from staffetta.base.installs.journal import InstallJournal
from staffetta.base.installs.plan import Limits
from staffetta.base.installs.record import JobRecord
from staffetta.base.installs.service import Installs, Wanted
from staffetta.base.installs.states import InstallState
from staffetta.base.installs.steps import ApplianceSteps
from staffetta.base.metrics.access import MetricsTokens
from staffetta.base.metrics.service import PATH as METRICS_PATH
from staffetta.base.metrics.service import MetricsService
from staffetta.base.pairing.service import Pairing
from staffetta.base.service import control, site_door
from staffetta.base.service.audit import AuditLog
from staffetta.base.service.control import ControlServer
from staffetta.base.service.proof import BaseProof
from staffetta.base.service.site_door import SiteDoorServer
from staffetta.base.status import StatusService
from staffetta.base.updates.service import UpdateService
from staffetta.control import private
from staffetta.control.child import KeeperChannel, KeptSocket
from staffetta.control.paths import AppliancePaths, ProcessEnvironment, read_description
from staffetta.control.private import Facts
from staffetta.control.verbs import KeeperVerbs, ListenOptions
from staffetta.front.certificates import CertificateStore
from staffetta.front.door import Door
from staffetta.front.passing import pages_to
from staffetta.front.settings import FrontSettings
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.journal import gate_from_environment
from staffetta.kernel.log import get_logger
from staffetta.kernel.settings import load_section
from staffetta.packages import Installed, Kind
from staffetta.releases import ReleaseTree

_log = get_logger(__name__)

LOCAL_SOCKETS: Final = frozenset({control.SOCKET, site_door.SOCKET})
PRIVATE_DOOR: Final = "door.sock"
WEB_SOCKET: Final = "web.sock"


class BaseService:
    """Everything the service process holds; keeper's handler (`control.child.ChildHandler`)."""

    def __init__(self, environment: ProcessEnvironment, channel: KeeperChannel) -> None:
        paths, self._environment = environment.paths, environment
        description = read_description(paths)
        self.certificates = CertificateService(paths, description, self._certificate_replaced)
        self.certificates.ensure()
        self._store = CertificateStore(self.certificates.path("appliance"))
        self._updates = UpdateService(
            paths.base,
            paths.trust_root.read_bytes(),
            description.update_server,
            lambda: read_installed(paths),
        )
        (paths.base / "journal").mkdir(mode=0o700, exist_ok=True)
        journal = InstallJournal(paths.base / "journal", gate_from_environment())
        self._keeper = keeper = KeeperVerbs(channel)
        steps = ApplianceSteps(paths, keeper, private, self._updates)
        limits = load_section(Limits, paths.settings, "installs")
        self._installs = Installs(journal, steps, limits, follow=self._next_from_bundle)
        status = StatusService(paths, description, keeper, private, self._installs, self._updates)
        self._pairing = Pairing.of(paths, description, keeper, status, self._installs, self._updates)
        tokens = MetricsTokens(paths.base / "metrics.json", f"{description.appliance_url}{METRICS_PATH}")
        self._metrics = MetricsService(paths, tokens, status, self._installs, self._updates, self.certificates)
        settings = load_section(FrontSettings, paths.settings, "front")
        app = web.Application(client_max_size=0)
        app.router.add_get(METRICS_PATH, self._metrics.handle)
        app.router.add_route("*", "/{path:.*}", pages_to(environment.run / WEB_SOCKET, settings))
        self._door = self._metrics.door = Door(app, self._store, settings)
        self._local = (
            ControlServer(
                status,
                self._installs,
                self._updates,
                self.certificates,
                self._pairing,
                tokens,
                AuditLog.of(paths.base),
            ),
            SiteDoorServer(self._pairing, AuditLog.of(paths.base, site_door.SOCKET)),
        )
        self._proof = BaseProof(paths, description, environment.run / PRIVATE_DOOR, self._updates, journal)
        self._private: web.AppRunner | None = None
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve the private sockets: this generation can be asked, and can prove itself."""
        self._metrics.lag.start()
        await self._door.add_private(self._environment.run / PRIVATE_DOOR)
        app = private.private_app(self._facts, self._proof.prove)
        self._private = await private.serve_private(
            app, self._environment.paths.private_socket(self._environment.generation)
        )

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        """Take the sockets; the journal as soon as the generation before has let go of it."""
        await self.sockets(sockets)
        self._installs.take_over()
        self._pairing.following.start()
        if not any(one.name == site_door.SOCKET for one in sockets):
            self._opening = asyncio.create_task(self._open_site_door())
        last = next(reversed(self._installs.journal.jobs.values()), None)
        await asyncio.to_thread(self._updates.forget_uploads, None if last is None else last.bundle)
        _log.info("active", extra={"sockets": [one.name for one in sockets]})

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        """Accept on exactly these."""
        for server in self._local:
            await server.accept_on([one.sock for one in sockets if one.name == server.name])
        await self._door.set_sockets([one.sock for one in sockets if one.name not in LOCAL_SOCKETS])

    async def deactivate(self) -> None:
        """Give up sockets and journal; streams of jobs end with `moved`."""
        await self._door.stop_accepting()
        for server in self._local:
            await server.stop_accepting()
        await self._pairing.following.stop()
        await self._installs.let_go()
        _log.info("no longer active")

    async def drain(self, seconds: float) -> None:
        """End what is established, in good order."""
        await self.deactivate()
        cut = await self._door.drain(seconds)
        for server in self._local:
            await server.close()
        _log.info("drained", extra={"cut": cut})

    async def _open_site_door(self) -> None:
        """Let keeper open the site door, on an appliance that was laid out before there was one."""
        paths = self._environment.paths
        options = ListenOptions(mode=0o660, group=paths.site.stat().st_gid or None)
        try:
            await self._keeper.listen(
                site_door.SOCKET, "base", "service", str(paths.site_door_socket), persist=True, options=options
            )
        except StaffettaError as error:
            _log.error("the site door cannot be opened: %s", error.message)

    async def _facts(self) -> Facts:
        return Facts(
            program=self._environment.program,
            generation=self._environment.generation,
            version=self._environment.version,
            requests_under_way=self._door.requests_under_way,
        )

    def _certificate_replaced(self) -> None:
        self._store.reload()

    async def _next_from_bundle(self, last: JobRecord) -> Wanted | None:
        """After a job from a bundle: the next package the bundle holds for this appliance (U4). Else tidy up."""
        if last.bundle is None or not self._updates.upload_path(last.bundle).exists():
            return None
        if last.state is InstallState.COMMITTED:
            try:
                return await asyncio.to_thread(self._updates.want_from_bundle, last.bundle, last.actor)
            except (StaffettaError, OSError) as error:
                _log.info("nothing more is installed from the bundle: %s", error)
        self._updates.upload_path(last.bundle).unlink(missing_ok=True)
        return None


def read_installed(paths: AppliancePaths) -> Installed:
    """What is on this appliance, by its `current` links. An appliance has always a base."""
    base = ReleaseTree(paths.releases(Kind.BASE.value)).current()
    if base is None:
        raise StaffettaError(f"{paths.releases(Kind.BASE.value)} has no current release; set the appliance up again.")
    return Installed(base=base, site=ReleaseTree(paths.releases(Kind.SITE.value)).current())


async def serve(environment: ProcessEnvironment, channel: KeeperChannel) -> None:
    """Run the service process until keeper ends it."""
    service = BaseService(environment, channel)
    await service.start()
    await channel.ready()
    await channel.run(service)
