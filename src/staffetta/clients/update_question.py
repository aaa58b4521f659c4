"""Asking the site which version to be: the frozen question (C4, U12), its answer logged and written down.

Asked at start, when the site's version changes under the client, at least every day, and whenever the last answer
says. It needs no login, and nothing in it is secret.
"""

import asyncio
import contextlib
from collections.abc import Callable

from staffetta.clients.errors import ClientError, UnreadableAnswer
from staffetta.clients.runtime.network import Network
from staffetta.clients.state_directory import StateDirectory
from staffetta.kernel.clock import format_time, utc_now
from staffetta.kernel.log import get_logger
from staffetta.wire.enrolment import UpdateAnswer, UpdateQuestion, from_body, to_body
from staffetta.wire.errors import FrameError

UPDATE_PATH = "/client/update"
RETRY_SECONDS = 300.0
FIRST_SECONDS = 10.0  # a client that gets no place at the site asks all the same

_log = get_logger(__name__)


async def ask(network: Network, question: UpdateQuestion) -> UpdateAnswer:
    """Ask once. Raises SiteUnreachable, WrongSite, UnreadableAnswer."""
    body = await network.request("POST", UPDATE_PATH, await network.trusted_peer(), to_body(question))
    try:
        return from_body(UpdateAnswer, body)
    except FrameError as error:
        raise UnreadableAnswer(f"The site's answer to the update question is not readable: {error.message}") from None


class UpdateAsker:
    """Asks for as long as it runs."""

    def __init__(
        self, network: Network, question: UpdateQuestion, state: StateDirectory, name: str, every_seconds: float
    ) -> None:
        self._network = network
        self._question = question
        self._state = state
        self._name = name
        self._every_seconds = every_seconds
        self._now = asyncio.Event()
        self._placed = asyncio.Event()
        self._site_version: str | None = None

    def site_is(self, version: str) -> None:
        """The client is now at a gateway of this site version: ask at once if it is another than before."""
        self._placed.set()
        if self._site_version not in (None, version):
            self._now.set()
        self._site_version = version

    async def run(self, jitter: Callable[[], float]) -> None:
        """Ask whenever it is time; ``jitter`` in [0, 1) spreads a fleet's questions over 2 s after a move."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._placed.wait()
        while True:
            wait = min(await self._ask_once(), self._every_seconds)
            try:
                async with asyncio.timeout(wait):
                    await self._now.wait()
            except TimeoutError:
                continue
            self._now.clear()
            await asyncio.sleep(2.0 * jitter())

    async def _ask_once(self) -> float:
        """Ask, write the answer down, and return after how many seconds to ask again at the latest."""
        try:
            answer = await ask(self._network, self._question)
        except ClientError as error:
            _log.warning("the update question was not answered", extra={"why": error.message})
            return RETRY_SECONDS
        _log.info(
            "update question answered",
            extra={"version": self._question.version, "should_be": answer.version, "action": answer.action.value},
        )
        self._state.write(
            self._name,
            {
                "format": 1,
                "asked": format_time(utc_now()),
                "site_version": self._site_version,
                "running": self._question.version,
                "version": answer.version,
                "action": answer.action.value,
                "reason": answer.reason,
            },
        )
        return float(answer.retry_seconds)
