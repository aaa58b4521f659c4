"""The Jump Client at work: invited to sessions, asking which version to be, until stopped or struck off."""

import asyncio
import contextlib
import math
import signal

from staffetta.clients.installed import InstalledClient, platform_facts, running_version
from staffetta.clients.jump_client import schedule
from staffetta.clients.jump_client.attendance import Attendance, Habits
from staffetta.clients.jump_client.hosting import host
from staffetta.clients.jump_client.local_asking import CheckedIn, LocalAsking
from staffetta.clients.jump_client.schedule import Reason
from staffetta.clients.jump_client.waking import WakeListener
from staffetta.clients.runtime.link import Link
from staffetta.clients.runtime.network import Network, jitter
from staffetta.clients.runtime.presence import Presence
from staffetta.clients.updating.following import Follower
from staffetta.clients.updating.starting import Updates
from staffetta.kernel.log import get_logger
from staffetta.wire import messages, tickets
from staffetta.wire.vocabulary import ClientMode, SessionKind

CAPABILITIES = ("shell", "files", "resume", "passive")
KINDS = frozenset(SessionKind)
ROLE = "jump-client"
STATUS = "client-status"
PASSIVE = "passive"
STOP_SECONDS = 5.0
ASKED_SECONDS = 45.0

_log = get_logger(__name__)


class JumpClient:
    """One running Jump Client; ``once``: for one check-in alone."""

    def __init__(
        self, client: InstalledClient, network: Network, updates: Updates | None, *, once: bool = False
    ) -> None:
        self._client = client
        self._network = network
        self._version = running_version()
        self._sessions: dict[str, asyncio.Task[None]] = {}
        self._site_can: tuple[str, ...] = ()
        self._site_version = ""
        settings = client.settings
        self._every = schedule.interval(settings.check_in_hours)
        self._listener = WakeListener(
            settings.wake_port, client.site.key, client.id, lambda: self._attendance.come(Reason.WOKEN)
        )
        self._attendance = Attendance(
            Habits(self._every, settings.linger_seconds, once),
            client.mode is ClientMode.PASSIVE,
            lambda: Presence(network, self._hello, self._welcomed, self._arrived),
            lambda: len(self._sessions),
            lambda: self._follower.asking,
            self._listener,
            self._tell_status,
        )
        self._local = LocalAsking(client.state.root, self._asked)
        self._once = once
        self._follower = Follower(
            client, network, ROLE, self._version, updates, lambda: bool(self._sessions), self._tell_status
        )

    async def run(self) -> bool:
        """Work until cancelled, or until another release is to run (True), or the one check-in is over (False).

        Raises AccessRevoked when the site has struck this client off.
        """
        if not self._once:
            await self._local.start()
        tasks = [asyncio.create_task(self._attendance.run()), asyncio.create_task(self._follower.run(jitter))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return self._follower.leaving
        finally:
            await self._local.stop()
            everything = [*tasks, *self._sessions.values()]
            for task in everything:
                task.cancel()
            await asyncio.wait(everything, timeout=STOP_SECONDS)

    def _hello(self, link: Link) -> messages.JumpClientHello:
        return tickets.make_jump_client_hello(
            self._client.id,
            link.nonce,
            link.certificate,
            self._client.key,
            self._version,
            CAPABILITIES,
            self._status(),
        )

    def _status(self) -> dict[str, str]:
        told = {"sessions": str(len(self._sessions)), **platform_facts(), **self._follower.details()}
        if not self._attendance.passive:
            return {**told, "mode": ClientMode.ACTIVE.value}
        told |= {"mode": ClientMode.PASSIVE.value, "check_in_seconds": str(math.ceil(self._every))}
        return told if self._listener.port is None else {**told, "wake_port": str(self._listener.port)}

    def _tell_status(self) -> None:
        if not self._attendance.online:
            self._attendance.come(Reason.NEWS)  # what it is then told in `hello`
        elif STATUS in self._site_can:
            self._attendance.say(messages.ClientStatus(self._status()))

    def _welcomed(self, welcome: messages.Welcome) -> None:
        _log.info(
            "online",
            extra={
                "site_version": welcome.site_version,
                "generation": welcome.generation,
                "capabilities": list(welcome.capabilities),
            },
        )
        self._site_can = welcome.capabilities
        self._site_version = welcome.site_version
        self._follower.site_is(welcome.site_version)
        self._attendance.welcomed(PASSIVE in welcome.capabilities)
        if self._attendance.passive:
            self._follower.check_in()

    def _arrived(self, message: messages.Message | messages.Unknown) -> None:
        match message:
            case messages.Invite():
                self._invited(message)
            case messages.NewMode(mode):
                self._be(mode)
            case _:
                pass

    def _be(self, mode: ClientMode) -> None:
        """Be in the mode that the site says, now and after the next start."""
        passive = mode is ClientMode.PASSIVE
        if passive == self._attendance.passive:
            return
        _log.info("this client is %s from now on", mode.value)
        self._follower.checks_in = passive
        self._attendance.become(passive)
        self._tell_status()
        try:
            self._client.remember_mode(mode)
        except OSError as error:
            _log.error("the mode cannot be stored; the site will say it again", extra={"why": str(error)})

    async def _asked(self) -> CheckedIn:
        """Somebody on this computer wants it to check in."""
        self._follower.check_in()
        if not await self._attendance.come_and_wait(Reason.ASKED, ASKED_SECONDS):
            return CheckedIn(False, "The site was not reached; this Jump Client goes on trying. See its log.")
        return CheckedIn(
            True,
            f"Checked in with the site (version {self._site_version}); this Jump Client has version {self._version}.",
        )

    def _invited(self, invite: messages.Invite) -> None:
        if self._follower.leaving or invite.session in self._sessions or invite.kind not in KINDS:
            return
        if len(self._sessions) >= self._client.settings.sessions:
            _log.warning("too many sessions; an invitation is not followed", extra={"session": invite.session})
            return
        task = asyncio.create_task(host(self._network, self._client.key, self._version, self._client.settings, invite))
        self._sessions[invite.session] = task
        self._attendance.used()
        task.add_done_callback(lambda ended: self._session_ended(invite.session, ended))

    def _session_ended(self, session: str, task: asyncio.Task[None]) -> None:
        del self._sessions[session]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a session failed", exc_info=error, extra={"session": session})
        self._attendance.used()
        self._follower.session_ended()


async def serve(client: InstalledClient, updates: Updates | None = None, *, once: bool = False) -> bool:
    """Run a Jump Client until SIGTERM or SIGINT, or for one check-in; True when another release is to run instead.

    Raises AccessRevoked when the site has struck it off.
    """
    async with Network(client.site.book(), client.remember, client.settings.dial_seconds) as network:
        work = asyncio.create_task(JumpClient(client, network, updates, once=once).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        _log.info("Jump Client starts", extra={"client": client.id, "version": running_version()})
        again = False
        with contextlib.suppress(asyncio.CancelledError):
            again = await work
        _log.info("Jump Client stops", extra={"client": client.id})
    return again
