"""The Jump Client at work: online, invited to sessions, asking which version to be, until stopped or struck off."""

import asyncio
import contextlib
import signal

from staffetta.clients.installed import InstalledClient, platform_facts, running_version
from staffetta.clients.jump_client.hosting import host
from staffetta.clients.runtime.link import Link
from staffetta.clients.runtime.network import Network, jitter
from staffetta.clients.runtime.presence import Presence
from staffetta.clients.updating.following import Follower
from staffetta.clients.updating.starting import Updates
from staffetta.kernel.log import get_logger
from staffetta.wire import messages, tickets

CAPABILITIES = ("shell", "files", "resume")
KINDS = frozenset(messages.SessionKind)
ROLE = "jump-client"
STATUS = "client-status"
STOP_SECONDS = 5.0

_log = get_logger(__name__)


class JumpClient:
    """One running Jump Client."""

    def __init__(self, client: InstalledClient, network: Network, updates: Updates | None) -> None:
        self._client = client
        self._network = network
        self._version = running_version()
        self._sessions: dict[str, asyncio.Task[None]] = {}
        self._presence = Presence(network, self._hello, self._welcomed, self._arrived)
        self._site_can: tuple[str, ...] = ()
        self._follower = Follower(
            client, network, ROLE, self._version, updates, lambda: bool(self._sessions), self._tell_status
        )

    async def run(self) -> None:
        """Work until cancelled, or until another release is to run. Raises AccessRevoked when the site has struck
        this client off."""
        tasks = [asyncio.create_task(self._presence.run()), asyncio.create_task(self._follower.run(jitter))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
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
        return {"sessions": str(len(self._sessions)), **platform_facts(), **self._follower.details()}

    def _tell_status(self) -> None:
        if STATUS in self._site_can:
            self._presence.say(messages.ClientStatus(self._status()))

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
        self._follower.site_is(welcome.site_version)

    def _arrived(self, message: messages.Message | messages.Unknown) -> None:
        if isinstance(message, messages.Invite):
            self._invited(message)

    def _invited(self, invite: messages.Invite) -> None:
        if self._follower.leaving or invite.session in self._sessions or invite.kind not in KINDS:
            return
        if len(self._sessions) >= self._client.settings.sessions:
            _log.warning("too many sessions; an invitation is not followed", extra={"session": invite.session})
            return
        task = asyncio.create_task(host(self._network, self._client.key, self._version, self._client.settings, invite))
        self._sessions[invite.session] = task
        task.add_done_callback(lambda ended: self._session_ended(invite.session, ended))

    def _session_ended(self, session: str, task: asyncio.Task[None]) -> None:
        del self._sessions[session]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a session failed", exc_info=error, extra={"session": session})
        self._follower.session_ended()


async def serve(client: InstalledClient, updates: Updates | None = None) -> bool:
    """Run a Jump Client until SIGTERM or SIGINT; True when another release of it is to run instead.

    Raises AccessRevoked when the site has struck it off.
    """
    async with Network(client.site.book(), client.remember, client.settings.dial_seconds) as network:
        work = asyncio.create_task(JumpClient(client, network, updates).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        _log.info("Jump Client starts", extra={"client": client.id, "version": running_version()})
        again = False
        with contextlib.suppress(asyncio.CancelledError):
            await work
            again = True
        _log.info("Jump Client stops", extra={"client": client.id})
    return again
