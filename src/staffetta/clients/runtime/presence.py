"""Being online: one proven connection to the gateway, kept through moves and losses.

A move opens the new connection first and closes the old one with 4412. Silence of two pings counts as a loss. Only a
client that the site has struck off (4403) stops trying; one whose proof was not accepted (4401) tries again at long
intervals, since a fault of the site must not empty the fleet. A passive client rests between two stays: ``rest``.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from staffetta.clients.errors import AccessRevoked, ClientError, ClockWrong, SiteRefused, SiteUnreachable
from staffetta.clients.runtime.link import Link, LinkClosed
from staffetta.clients.runtime.network import Network, jitter
from staffetta.kernel.log import get_logger
from staffetta.wire import frames, messages
from staffetta.wire.addresses import AddressBook
from staffetta.wire.errors import CloseCode, FrameError
from staffetta.wire.liveness import Liveness, Reconnect

CONNECT_PATH: Final = "/client/connect"
WELCOME_SECONDS: Final = 12.0
STAGGER_SECONDS: Final = 2.0  # a herd must not dial every address at once
SETTLED_SECONDS: Final = 5.0
NOT_PROVEN_SECONDS: Final = 60.0
REST_SECONDS: Final = 3.0

_log = get_logger(__name__)


class PointedElsewhere(SiteUnreachable):
    """An appliance that serves nobody has answered; the route goes where it points."""


Hello = Callable[[Link], messages.JumpClientHello | messages.ConsoleHello]


async def come_online(
    network: Network, route: AddressBook, hello: Hello, stagger: float
) -> tuple[Link, messages.Welcome]:
    """Open one connection and be welcomed. Raises what the site's refusal means, or SiteUnreachable.

    PointedElsewhere: the next attempt goes where the answer pointed.
    """
    link = await network.open(CONNECT_PATH, route, stagger)
    try:
        link.send(messages.encode(hello(link)))
        async with asyncio.timeout(WELCOME_SECONDS):
            answer = await _answer(link)
        if isinstance(answer, messages.Move):
            network.follow(route, answer, link.address)
            raise PointedElsewhere((link.address, "it is not the primary now"))
        network.adopt(answer.statement)
    except TimeoutError:
        link.close(CloseCode.SILENT, "no welcome")
        raise SiteUnreachable((link.address, "no welcome in time")) from None
    except FrameError as error:
        link.close(CloseCode.BAD_FRAME, error.close_reason)
        raise SiteUnreachable((link.address, error.message)) from None
    except BaseException:
        link.close(CloseCode.MOVED, "")
        raise
    route.succeeded(link.address)
    network.book.succeeded(link.address)
    return link, answer


async def _answer(link: Link) -> messages.Welcome | messages.Move:
    """The welcome, or the pointer of an appliance that serves nobody."""
    refusal = messages.Refuse("closed")
    try:
        while True:
            frame = frames.decode(await link.receive())
            message = messages.parse(frame) if isinstance(frame, frames.Control) else None
            if isinstance(message, messages.Welcome | messages.Move):
                return message
            if isinstance(message, messages.Refuse):
                refusal = message
    except LinkClosed as closed:
        raise refusal_of(closed, refusal, link.address) from None


def refusal_of(closed: LinkClosed, refusal: messages.Refuse, address: str) -> ClientError:
    """Return the error for a connection that was closed instead of welcomed."""
    said = refusal.reason or closed.message
    match closed.close_code:
        case CloseCode.REFUSED if refusal.code.startswith("client-"):
            return AccessRevoked(f"The site no longer accepts this client: {said}")
        case CloseCode.REFUSED:
            return SiteRefused(refusal.code, f"The site refuses: {said}")
        case CloseCode.NOT_PROVEN if "expired" in said:
            return ClockWrong(
                f"The site says: {said} If you have just signed in, compare this computer's clock with the site's."
            )
        case CloseCode.NOT_PROVEN:
            return SiteRefused(refusal.code, f"The site did not accept the proof of this client's key: {said}")
        case _:
            return SiteUnreachable((address, said))


class Presence:
    """A client that stays online until it is stopped, or rests.

    ``arrived`` gets every message besides those that presence itself needs, ``welcomed`` every welcome.
    """

    def __init__(
        self,
        network: Network,
        hello: Hello,
        welcomed: Callable[[messages.Welcome], None],
        arrived: Callable[[messages.Message | messages.Unknown], None],
    ) -> None:
        self._network = network
        self._route = network.route()
        self._hello = hello
        self._welcomed = welcomed
        self._arrived = arrived
        self._link: Link | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._dial = asyncio.Event()
        self._moving = False
        self._resting = False
        self._gone = asyncio.Event()
        self._reconnect = Reconnect(time.monotonic(), give_up_after=None)
        self._since = time.monotonic()

    @property
    def online(self) -> bool:
        """Whether a gateway holds this client now."""
        return self._link is not None

    async def rest(self) -> bool:
        """Ask the gateway to be let go; True once the connection is over, after all that came on it was met.

        False when the gateway wants the client to stay.
        """
        if self._link is None:
            return False
        self._resting = True
        self._gone.clear()
        self.say(messages.Rest())
        try:
            async with asyncio.timeout(REST_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            self._resting = False
            return False
        return True

    async def run(self) -> None:
        """Stay online until cancelled. Raises AccessRevoked when the site has struck this client off."""
        self._dial.set()
        try:
            while True:
                await self._dial.wait()
                self._dial.clear()
                while self._moving or self._link is None:
                    await self._attempt()
        finally:
            link, self._link = self._link, None
            if link is not None:
                link.close(CloseCode.ENDED, "this client stopped")
                await asyncio.wait([asyncio.create_task(link.closed())], timeout=1.0)
            for reader in self._readers:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)

    def say(self, message: messages.Message) -> None:
        """Tell the gateway something on the connection that counts; nothing while there is none."""
        if self._link is not None:
            self._link.send(messages.encode(message))

    async def _attempt(self) -> None:
        await asyncio.sleep(self._reconnect.delay(jitter()))
        try:
            link, welcome = await come_online(self._network, self._route, self._hello, STAGGER_SECONDS)
        except AccessRevoked:
            raise
        except (SiteRefused, ClockWrong) as error:
            _log.error("the site does not accept this client", extra={"why": error.message})
            await asyncio.sleep(NOT_PROVEN_SECONDS * (0.5 + jitter()))
            return
        except ClientError as error:
            if isinstance(error, PointedElsewhere):
                self._reconnect.pointed()
            _log.warning("not online", extra={"why": error.message})
            return
        self._settle()
        older, self._link = self._link, link
        self._network.place = link.address
        self._moving = False
        reader = asyncio.create_task(self._serve(link, welcome))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        if older is not None:
            older.close(CloseCode.MOVED, "moved")
        _log.info("online", extra={"generation": welcome.generation, "address": link.address})
        self._welcomed(welcome)

    def _settle(self) -> None:
        """The newest place was left; if it was held for a while, the next attempt comes at once."""
        now = time.monotonic()
        if now - self._since >= SETTLED_SECONDS:
            self._reconnect.succeeded(now)
        self._since = now

    async def _serve(self, link: Link, welcome: messages.Welcome) -> None:
        liveness = Liveness(time.monotonic(), ping_every=float(welcome.ping_seconds))
        why = ""
        try:
            while True:
                now = time.monotonic()
                if liveness.dead(now):
                    why = "two pings were not answered"
                    link.close(CloseCode.SILENT, why)
                    break
                if liveness.ping_due(now):
                    link.send(frames.encode(frames.Ping(int(now * 1000))))
                try:
                    async with asyncio.timeout(max(liveness.next_look() - now, 0.05)):
                        message = await link.receive()
                except TimeoutError:
                    continue
                liveness.heard(time.monotonic())
                self._meet(link, frames.decode(message))
        except FrameError as error:
            why = error.message
            link.close(CloseCode.BAD_FRAME, error.close_reason)
        except LinkClosed as closed:
            why = closed.message
        finally:
            link.close(CloseCode.MOVED, "")
            if self._link is link:
                self._link = None
                self._network.place = None
                self._settle()
                self._gone.set()
                if not self._resting:
                    self._dial.set()
                _log.info("no longer online", extra={"why": why})

    def _meet(self, link: Link, frame: frames.Frame) -> None:
        match frame:
            case frames.Ping(token):
                link.send(frames.encode(frames.Pong(token)))
            case frames.Control():
                message = messages.parse(frame)
                match message:
                    case messages.Move():
                        if self._link is link:
                            self._follow(message)
                    case messages.NewStatement(statement):
                        self._learn(statement)
                    case _:
                        self._arrived(message)
            case _:
                pass

    def _follow(self, move: messages.Move) -> None:
        if self._resting:
            return  # it goes anyway
        try:
            followed = self._network.follow(self._route, move)
        except ClientError as error:
            _log.warning("a move was not followed", extra={"why": error.message})
            return
        if not followed:
            _log.info("a move of an older term was not followed", extra={"term": move.term})
            return
        self._settle()
        self._moving = True
        self._dial.set()

    def _learn(self, statement: str) -> None:
        try:
            self._network.adopt(statement)
        except ClientError as error:
            _log.warning("a statement was not taken", extra={"why": error.message})
