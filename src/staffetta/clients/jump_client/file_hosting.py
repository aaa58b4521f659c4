"""A session of kind "files" on the Jump Client's side: stores what is offered, sends what is asked for.

Every channel but 0 is one transfer, done with the rights of the user that the Jump Client runs as. What is relative is
below that user's home. When the session is over, what is not whole is removed.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from staffetta.clients.runtime.file_errors import FileProblem, problem
from staffetta.clients.runtime.lanes import Lane, LaneOver, Lanes
from staffetta.clients.runtime.local_files import Source, place_of
from staffetta.clients.runtime.session import Session
from staffetta.clients.runtime.transfers import Account, receive, send, teller
from staffetta.kernel.log import get_logger
from staffetta.wire import files
from staffetta.wire.errors import FrameError
from staffetta.wire.notes import Direction

MOST_AT_ONCE: Final = 8

_log = get_logger(__name__)


class FileHost:
    """The transfers of one session. ``run`` until the session is over."""

    def __init__(self, session: Session, home: Path) -> None:
        self._session = session
        self._home = home
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve every channel on which the console begins."""
        try:
            await Lanes(self._session, self._accept).run()
        finally:
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _accept(self, lane: Lane) -> None:
        task = asyncio.create_task(self._serve(lane))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, lane: Lane) -> None:
        account = Account("?")
        try:
            await self._transfer(lane, account)
        except FileProblem as error:
            _log.warning("a file was not moved: %s", error.message, extra={"channel": lane.channel, "why": error.word})
        except LaneOver:
            _log.info("the session ended before a file was moved", extra={"file": account.path or account.name})
        except Exception:  # noqa: BLE001 - the other transfers go on
            _log.exception("a transfer failed", extra={"channel": lane.channel})
            with contextlib.suppress(LaneOver):
                await lane.say(files.write(files.Refused(files.Trouble.FAILED, "The Jump Client failed; see its log.")))
        finally:
            lane.close()

    async def _transfer(self, lane: Lane, account: Account) -> None:
        first = await lane.next()
        try:
            message = files.read(first)
        except FrameError as error:
            await lane.say(files.write(files.Refused(files.Trouble.BAD_MESSAGE, error.message[:1024])))
            raise problem(files.Trouble.BAD_MESSAGE, error.message) from None
        match message:
            case files.Ask(path):
                await self._send(lane, first, path, account)
            case files.Offer():
                await self._store(lane, first, message, account)
            case _:
                refusal = files.Refused(files.Trouble.BAD_MESSAGE, "A transfer begins with an offer or by asking.")
                await lane.say(files.write(refusal))

    async def _send(self, lane: Lane, first: bytes, path: str, account: Account) -> None:
        """Send a file that the console asks for."""
        account.name, account.path = Path(path).name[:256] or "?", path
        sender = files.Sender()
        sender.receive(first)
        source: Source | None = None
        try:
            self._check_number()
            source = Source(place_of(path, self._home))
            account.path = str(source.path)[: files.MOST_PATH]
            await asyncio.to_thread(source.open)
            offer = files.Offer(account.name, source.size, account.path)
            await send(lane, sender, source, offer, account, teller(lane, Direction.FETCH))
        except FileProblem as error:
            if sender.state == files.State.ASKED:  # it was never offered, so nobody has told
                teller(lane, Direction.FETCH)(account.outcome(error.word))
                await lane.say(sender.refuse(error.word, error.message))
            raise
        finally:
            if source is not None:
                source.close()

    async def _store(self, lane: Lane, first: bytes, offer: files.Offer, account: Account) -> None:
        """Store a file that the console offers."""
        account.name, account.path = offer.name, offer.path

        def place(offered: files.Offer) -> tuple[Path, bool]:
            self._check_number()
            path = place_of(offered.path or offered.name, self._home)
            account.path = str(path)[: files.MOST_PATH]
            return path, offered.overwrite

        await receive(lane, files.Receiver(), place, account, teller(lane, Direction.SEND), first)

    def _check_number(self) -> None:
        if len(self._running) > MOST_AT_ONCE:
            raise problem(files.Trouble.TOO_MANY, f"{MOST_AT_ONCE} files are being moved; wait for one of them.")
