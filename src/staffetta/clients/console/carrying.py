"""A rep moves one file: to a remote computer, or from it. A session of its own, which ends with the transfer."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.clients.console.account import SignedIn
from staffetta.clients.console.events import EventFile
from staffetta.clients.console.progress import Progress
from staffetta.clients.console.sitting import end_of
from staffetta.clients.console.waiting import cancelled_by_signals, open_when_there
from staffetta.clients.installed import running_version
from staffetta.clients.runtime.file_errors import FileProblem, TransferCancelled, problem
from staffetta.clients.runtime.lanes import Lane, LaneOver, Lanes
from staffetta.clients.runtime.local_files import Source, check_place, place_of
from staffetta.clients.runtime.network import Network
from staffetta.clients.runtime.session import Session
from staffetta.clients.runtime.transfers import Account, Outcome, receive, send, teller
from staffetta.wire import files, notes
from staffetta.wire.notes import Direction
from staffetta.wire.vocabulary import EndName, SessionKind

CHANNEL: Final = 1
LOOK_SECONDS: Final = 0.2
LAST_WORDS_SECONDS: Final = 5.0
HELD_SECONDS: Final = 60.0
CANCEL_SECONDS: Final = 1.0
CANCELLED: Final = "cancelled by the rep"


@dataclass(frozen=True, slots=True)
class Carried:
    """A file that is at its place. ``seconds`` from the opened session on."""

    computer: str
    outcome: Outcome
    local: Path
    seconds: float


Transfer = Callable[[Lane, Account], Awaitable[Outcome]]


async def send_file(
    account: SignedIn,
    wish: str,
    local: Path,
    to: str | None,
    overwrite: bool,
    events: EventFile,
    bytes_per_second: float | None = None,
) -> Carried:
    """Send a file to the computer with this id or name. Raises FileProblem and what a session's end may mean."""
    source = Source(local)
    sender = files.Sender()
    try:
        source.open()
        if to is not None:
            _check_length(to)
        offer = files.Offer(local.name[:256], source.size, to or local.name, overwrite)

        async def transfer(lane: Lane, told: Account) -> Outcome:
            told.path = offer.path
            tell = teller(lane, Direction.SEND)
            return await send(lane, sender, source, offer, told, tell, bytes_per_second)

        def moved(session: Session, _: Account) -> int:
            return max(0, sender.count - session.unconsumed)

        return await _carry(account, wish, local, Direction.SEND, transfer, moved, events)
    finally:
        source.close()


async def fetch_file(account: SignedIn, wish: str, path: str, to: Path, overwrite: bool, events: EventFile) -> Carried:
    """Fetch a file from the computer with this id or name. Raises FileProblem and what a session's end may mean."""
    _check_length(path)
    check_place(place_of(str(to), Path()), 0, overwrite)
    receiver = files.Receiver()

    async def transfer(lane: Lane, told: Account) -> Outcome:
        told.path, told.name = path, Path(path).name[:256] or "?"

        def place(offer: files.Offer) -> tuple[Path, bool]:
            told.path = offer.path or path
            return to, overwrite

        await lane.say(receiver.ask(path))
        return await receive(lane, receiver, place, told, teller(lane, Direction.FETCH))

    return await _carry(account, wish, to, Direction.FETCH, transfer, lambda _, told: told.moved, events)


async def _carry(
    account: SignedIn,
    wish: str,
    local: Path,
    direction: Direction,
    transfer: Transfer,
    moved: Callable[[Session, Account], int],
    events: EventFile,
) -> Carried:
    async with Network(account.site.book(), account.remember) as network:
        computer, opened = await open_when_there(network, account, wish, events, kind=SessionKind.FILES)
        session = Session(network, EndName.CONSOLE, opened.ticket, account.key, running_version(), events.write)
        told = Account(local.name[:256])
        progress = Progress(local.name, sys.stderr, events)
        began = time.monotonic()
        errand = _Errand(session, direction, told, progress, moved)
        try:
            outcome = await errand.run(transfer)
        except LaneOver:
            raise end_of(session) from None
        except FileProblem as error:
            raise problem(error.word, f"{computer.name}: {error.message}") if error.far else error from None
        return Carried(computer.name, outcome, local, time.monotonic() - began)


class _Errand:
    """One transfer in one session, with what is shown beside it."""

    def __init__(
        self,
        session: Session,
        direction: Direction,
        told: Account,
        progress: Progress,
        moved: Callable[[Session, Account], int],
    ) -> None:
        self._session = session
        self._direction = direction
        self._told = told
        self._progress = progress
        self._moved = moved
        self._answered = asyncio.Event()

    async def run(self, transfer: Transfer) -> Outcome:
        """Move the file; the session is over afterwards, whatever happened."""
        lanes = Lanes(self._session, noted=self._noted)
        lane = lanes.open(CHANNEL)
        place = asyncio.create_task(self._session.run())
        beside = [asyncio.create_task(lanes.run()), asyncio.create_task(self._watch())]
        moving = asyncio.ensure_future(transfer(lane, self._told))
        reason = "the console failed"
        try:
            with cancelled_by_signals(moving):
                await asyncio.wait({moving, place}, return_when=asyncio.FIRST_COMPLETED)
                if place.done():  # what arrived before the session's end may hold the last word
                    await asyncio.wait({moving}, timeout=LAST_WORDS_SECONDS)
                reason = _reason(moving)
                if reason == CANCELLED:
                    teller(lane, self._direction)(self._told.outcome(files.Trouble.CANCELLED))
                lane.close()
                await self._last_words(reason == CANCELLED)
        finally:
            self._session.end(reason)
            for task in (beside[1], moving):
                task.cancel()
            await asyncio.gather(place, *beside, moving, return_exceptions=True)
            self._progress.done()
        if moving.cancelled():
            raise TransferCancelled(files.Trouble.CANCELLED, f"{self._told.name}: cancelled; nothing was stored.")
        return moving.result()

    async def _last_words(self, cancelled: bool) -> None:
        """Let what was said last arrive, also what the far end tells of the transfer; a hold is waited for a while.

        Of a cancelled one the far end has not heard and need not say anything; the rep does not want to wait.
        """
        now = time.monotonic()
        until, latest = now + LAST_WORDS_SECONDS, now + (CANCEL_SECONDS if cancelled else HELD_SECONDS)
        while self._session.over is None and (now := time.monotonic()) < min(until, latest):
            if self._session.held_since is not None:
                until = now + LAST_WORDS_SECONDS
            elif cancelled or (self._answered.is_set() and not self._session.unconsumed):
                return
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        while True:
            moved = self._moved(self._session, self._told)
            self._progress.look(moved, self._told.size, self._session.held_since is not None)
            await asyncio.sleep(LOOK_SECONDS)

    def _noted(self, note: notes.Note) -> None:
        if isinstance(note, notes.Transferred) and note.channel == CHANNEL:
            self._answered.set()


def _reason(moving: "asyncio.Future[Outcome]") -> str:
    """Why the session ends, for its report."""
    if not moving.done():
        return "the console failed"
    if moving.cancelled():
        return CANCELLED
    error = moving.exception()
    if error is None:
        return "done"
    return error.word if isinstance(error, FileProblem) else "the console failed"


def _check_length(path: str) -> None:
    if not 1 <= len(path) <= files.MOST_PATH:
        raise problem(files.Trouble.BAD_PATH, f"A path has 1 to {files.MOST_PATH} characters.")
