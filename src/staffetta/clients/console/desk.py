"""The console online: asks the gateway for the list of computers and for sessions.

For a passive computer it waits until that checks in, through moves and restarts of the site, or until the rep cancels.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator

from staffetta.clients.console.account import SignedIn
from staffetta.clients.errors import ClientError, SiteRefused, SiteUnreachable, UnreadableAnswer
from staffetta.clients.installed import running_version
from staffetta.clients.runtime.link import Link, LinkClosed
from staffetta.clients.runtime.network import STAGGER_SECONDS, Network, jitter
from staffetta.clients.runtime.presence import Hello, PointedElsewhere, come_online
from staffetta.kernel.errors import Conflict, NotFound
from staffetta.wire import frames, messages, tickets
from staffetta.wire.errors import CloseCode, FrameError
from staffetta.wire.liveness import Liveness, Reconnect
from staffetta.wire.vocabulary import SessionKind

ANSWER_SECONDS = 20.0
PATIENCE_SECONDS = 3.0
PAUSE_SECONDS = 0.5
CAPABILITIES = ("shell", "files", "resume", "wait")
OUTAGE_SECONDS = 300.0
"""So long a rep who waits for a computer waits on when no appliance answers."""


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


class SiteMoved(ClientError):
    """The gateway asks its consoles to connect anew; what was asked is to be asked there."""

    code = "site-moved"
    http_status = SiteUnreachable.http_status
    exit_status = SiteUnreachable.exit_status


Waits = Callable[[messages.ListedClient, messages.Waiting], None]
"""Told whom a rep waits for, and how that stands."""


class Desk:
    """A console that was welcomed by a site with these ``capabilities``, which is to be pinged so often (seconds)."""

    def __init__(self, link: Link, capabilities: tuple[str, ...], ping_seconds: float) -> None:
        self._link = link
        self._capabilities = capabilities
        self._ping_seconds = ping_seconds
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
        kind: SessionKind = SessionKind.SHELL,
        waits: Callable[[messages.Waiting], None] = lambda _: None,
    ) -> messages.Opened:
        """Open a session on a Jump Client; ``waits`` is told when a passive one must check in first.

        Raises SiteRefused (offline, not allowed, too old for this kind), SiteMoved.
        """
        if kind is not SessionKind.SHELL and kind not in self._capabilities:
            raise SiteRefused("site-lacks-capability", f"This site has no sessions of kind {kind.value!r} yet.")
        number = next(self._numbers)
        wish = messages.Open(number, client, kind.value, options or messages.ShellOptions())
        self._link.send(messages.encode(wish))
        opened = await self._answer(number)
        if isinstance(opened, messages.Waiting):
            waits(opened)
            opened = await self._awaited(number, waits)
        if not isinstance(opened, messages.Opened):
            raise UnreadableAnswer("The site answered the wish for a session with something else.")
        return opened

    async def _answer(self, number: int) -> messages.Message:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    answer = self._answer_in(await self._link.receive(), number)
                    if answer is not None and not isinstance(answer, messages.Move):
                        return answer
        except TimeoutError:
            raise UnreadableAnswer(f"The site did not answer within {ANSWER_SECONDS:.0f} s; try again.") from None

    async def _awaited(self, number: int, waits: Callable[[messages.Waiting], None]) -> messages.Message:
        """Wait for a session as long as it takes and the gateway lives. Raises SiteMoved, SiteUnreachable."""
        liveness = Liveness(time.monotonic(), ping_every=self._ping_seconds)
        while True:
            now = time.monotonic()
            if liveness.dead(now):
                raise SiteMoved("The site does not answer any more.")
            if liveness.ping_due(now):
                self._link.send(frames.encode(frames.Ping(int(now * 1000))))
            try:
                async with asyncio.timeout(max(liveness.next_look() - now, 0.05)):
                    message = await self._link.receive()
            except TimeoutError:
                continue
            liveness.heard(time.monotonic())
            match self._answer_in(message, number):
                case None:
                    continue
                case messages.Waiting() as waiting:
                    waits(waiting)
                case messages.Move():
                    raise SiteMoved("The site moves its consoles.")
                case answer:
                    return answer

    def _answer_in(self, message: bytes, number: int) -> messages.Message | None:
        """Return what a message answers to a request, or a move; None if neither. Raises SiteRefused."""
        try:
            frame = frames.decode(message)
            if isinstance(frame, frames.Ping):
                self._link.send(frames.encode(frames.Pong(frame.token)))
            found = messages.parse(frame) if isinstance(frame, frames.Control) else None
        except FrameError as error:
            raise UnreadableAnswer(f"The site's answer breaks the protocol: {error.message}") from None
        match found:
            case messages.Refused(request, code, reason) if request == number:
                raise SiteRefused(code, reason or f"The site refuses ({code}).")
            case messages.Clients() | messages.Opened() | messages.Waiting() if found.request == number:
                return found
            case messages.Move():
                return found
            case _:
                return None


@contextlib.asynccontextmanager
async def desk(network: Network, account: SignedIn) -> AsyncIterator[Desk]:
    """Come online for as long as the context lasts. Raises what the site's refusal means."""

    def hello(link: Link) -> messages.ConsoleHello:
        return tickets.make_console_hello(
            account.credential, link.nonce, link.certificate, account.key, running_version(), CAPABILITIES
        )

    link, welcome = await _first_link(network, hello)
    try:
        yield Desk(link, welcome.capabilities, float(welcome.ping_seconds))
    finally:
        link.close(CloseCode.ENDED, "done")
        await asyncio.wait([asyncio.create_task(link.closed())], timeout=1.0)


async def _first_link(network: Network, hello: Hello) -> tuple[Link, messages.Welcome]:
    """Come online; a site that is just being restarted is given a moment, one that moves to its other appliance more.

    While traffic moves there is a moment in which neither appliance is the primary: each points to the other.
    """
    route = network.route()
    began, patience = time.monotonic(), PATIENCE_SECONDS
    reconnect = Reconnect(began)
    while True:
        await asyncio.sleep(reconnect.delay(jitter()))
        try:
            return await come_online(network, route, hello, STAGGER_SECONDS)
        except (SiteUnreachable, UnreadableAnswer) as error:
            if isinstance(error, PointedElsewhere):
                patience = ANSWER_SECONDS
                reconnect.pointed()
            if time.monotonic() - began >= patience:
                raise


async def open_session(
    network: Network,
    account: SignedIn,
    wish: str,
    options: messages.ShellOptions | None = None,
    kind: SessionKind = SessionKind.SHELL,
    waits: Waits | None = None,
) -> tuple[messages.ListedClient, messages.Opened]:
    """Open a session on the computer with this id or name. Asked again where the site moves or restarts meanwhile.

    For a passive computer it waits as long as it takes, ``waits`` being told; cancel it to wait no more.
    """
    give_up = time.monotonic() + ANSWER_SECONDS
    waited = False
    while True:
        try:
            async with desk(network, account) as place:
                computer = chosen(await place.computers(), wish)

                def told(waiting: messages.Waiting, of: messages.ListedClient = computer) -> None:
                    nonlocal give_up, waited
                    give_up, waited = time.monotonic() + OUTAGE_SECONDS, True
                    if waits is not None:
                        waits(of, waiting)

                return computer, await place.open(computer.id, options, kind, told)
        except (LinkClosed, SiteMoved, SiteRefused, SiteUnreachable) as error:
            if not _passes(error, waited) or time.monotonic() > give_up:
                raise
            await asyncio.sleep(PAUSE_SECONDS)


def _passes(error: ClientError, waited: bool) -> bool:
    """Whether to ask again: the site moves or restarts, or cannot be reached just now by a rep who waits anyway."""
    match error:
        case SiteRefused():
            return error.refusal == "elsewhere" or (waited and error.refusal == "failed")
        case SiteUnreachable():
            return waited
        case _:
            return True


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
