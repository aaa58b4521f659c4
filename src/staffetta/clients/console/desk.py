"""The console online: asks the gateway for the list of computers and for sessions."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator

from staffetta.clients.console.account import SignedIn
from staffetta.clients.errors import ClientError, SiteRefused, SiteUnreachable, UnreadableAnswer
from staffetta.clients.installed import running_version
from staffetta.clients.runtime.link import Link, LinkClosed
from staffetta.clients.runtime.network import STAGGER_SECONDS, Network, jitter
from staffetta.clients.runtime.presence import Hello, come_online
from staffetta.kernel.errors import Conflict, NotFound
from staffetta.wire import frames, messages, tickets
from staffetta.wire.errors import CloseCode, FrameError
from staffetta.wire.liveness import Reconnect

ANSWER_SECONDS = 20.0
PATIENCE_SECONDS = 3.0
PAUSE_SECONDS = 0.5
CAPABILITIES = ("shell", "files", "resume")


class NoSuchComputer(ClientError):
    """No Jump Client has this name or id."""

    code = "no-such-computer"
    http_status = NotFound.http_status
    exit_status = NotFound.exit_status


class AmbiguousName(ClientError):
    """Several Jump Clients have this name."""

    code = "ambiguous-name"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class Desk:
    """A console that was welcomed by a site that has these ``capabilities``."""

    def __init__(self, link: Link, capabilities: tuple[str, ...]) -> None:
        self._link = link
        self._capabilities = capabilities
        self._numbers: Iterator[int] = itertools.count(1)

    async def computers(self) -> tuple[messages.ListedClient, ...]:
        """Return every Jump Client the rep may see."""
        number = next(self._numbers)
        self._link.send(messages.encode(messages.ListClients(number)))
        found: list[messages.ListedClient] = []
        while True:
            page = await self._answer(number)
            if not isinstance(page, messages.Clients):
                raise UnreadableAnswer("The site answered the list with something else.")
            found.extend(page.clients)
            if not page.more:
                return tuple(found)

    async def open(
        self,
        client: str,
        options: messages.ShellOptions | None = None,
        kind: messages.SessionKind = messages.SessionKind.SHELL,
    ) -> messages.Opened:
        """Open a session on a Jump Client. Raises SiteRefused (offline, not allowed, too old for this kind)."""
        if kind is not messages.SessionKind.SHELL and kind not in self._capabilities:
            raise SiteRefused("site-lacks-capability", f"This site has no sessions of kind {kind.value!r} yet.")
        number = next(self._numbers)
        wish = messages.Open(number, client, kind.value, options or messages.ShellOptions())
        self._link.send(messages.encode(wish))
        opened = await self._answer(number)
        if not isinstance(opened, messages.Opened):
            raise UnreadableAnswer("The site answered the wish for a session with something else.")
        return opened

    async def _answer(self, number: int) -> messages.Message:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    frame = frames.decode(await self._link.receive())
                    if isinstance(frame, frames.Ping):
                        self._link.send(frames.encode(frames.Pong(frame.token)))
                    if not isinstance(frame, frames.Control):
                        continue
                    match messages.parse(frame):
                        case messages.Refused(request, code, reason) if request == number:
                            raise SiteRefused(code, reason or f"The site refuses ({code}).")
                        case messages.Clients() | messages.Opened() as answer if answer.request == number:
                            return answer
                        case _:
                            continue
        except TimeoutError:
            raise UnreadableAnswer(f"The site did not answer within {ANSWER_SECONDS:.0f} s; try again.") from None
        except FrameError as error:
            raise UnreadableAnswer(f"The site's answer breaks the protocol: {error.message}") from None


@contextlib.asynccontextmanager
async def desk(network: Network, account: SignedIn) -> AsyncIterator[Desk]:
    """Come online for as long as the context lasts. Raises what the site's refusal means."""

    def hello(link: Link) -> messages.ConsoleHello:
        return tickets.make_console_hello(
            account.credential, link.nonce, link.certificate, account.key, running_version(), CAPABILITIES
        )

    link, welcome = await _first_link(network, hello)
    try:
        yield Desk(link, welcome.capabilities)
    finally:
        link.close(CloseCode.ENDED, "done")
        await asyncio.wait([asyncio.create_task(link.closed())], timeout=1.0)


async def _first_link(network: Network, hello: Hello) -> tuple[Link, messages.Welcome]:
    """Come online; a site that is just being restarted is given a moment."""
    route = network.route()
    reconnect = Reconnect(time.monotonic(), give_up_after=PATIENCE_SECONDS)
    while True:
        await asyncio.sleep(reconnect.delay(jitter()))
        try:
            return await come_online(network, route, hello, STAGGER_SECONDS)
        except (SiteUnreachable, UnreadableAnswer):
            if reconnect.given_up(time.monotonic()) is not None:
                raise


async def open_session(
    network: Network,
    account: SignedIn,
    wish: str,
    options: messages.ShellOptions | None = None,
    kind: messages.SessionKind = messages.SessionKind.SHELL,
) -> tuple[messages.ListedClient, messages.Opened]:
    """Open a session on the computer with this id or name. Asked again where the site moves or restarts meanwhile."""
    give_up = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            async with desk(network, account) as place:
                computer = chosen(await place.computers(), wish)
                return computer, await place.open(computer.id, options, kind)
        except (LinkClosed, SiteRefused) as error:
            passing = isinstance(error, LinkClosed) or error.refusal == "elsewhere"
            if not passing or time.monotonic() > give_up:
                raise
            await asyncio.sleep(PAUSE_SECONDS)


def chosen(computers: tuple[messages.ListedClient, ...], wish: str) -> messages.ListedClient:
    """Return the computer with this id, else the only one with this name. Raises NoSuchComputer, AmbiguousName."""
    for computer in computers:
        if computer.id == wish:
            return computer
    named = [computer for computer in computers if computer.name == wish]
    if not named:
        raise NoSuchComputer(f"There is no computer {wish!r}; see: staffetta console list")
    if len(named) > 1:
        ids = ", ".join(computer.id for computer in named)
        raise AmbiguousName(f"Several computers are called {wish!r}; give one of their ids: {ids}")
    return named[0]
