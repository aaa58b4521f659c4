"""Moving one file over one channel, at either end: what ``wire.files`` decides, with a file on this computer's disk.

- The disk is waited for in threads, so that the session stays alive; what is kept in memory is bounded.
- ``tell`` is called with how it ended just before this end's last word, so that the note of it (channel 0, which goes
  first) arrives before that.
- Raises FileProblem when it does not come to its end, LaneOver when the session ends before; what was stored of it is
  removed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.clients.runtime.file_errors import FileProblem, far_problem, problem
from staffetta.clients.runtime.lanes import Lane
from staffetta.clients.runtime.local_files import Landing, Source
from staffetta.kernel.log import get_logger
from staffetta.wire import files, notes
from staffetta.wire.errors import HoldExceeded

READ_AT_ONCE: Final = 16 * files.PIECE
WRITE_AT_ONCE: Final = 128 * 1024

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a transfer ended, as far as this end knows. ``word`` is "stored" or that of a FileProblem."""

    word: str
    name: str
    path: str
    size: int | None
    sha256: bytes | None


@dataclass(slots=True)
class Account:
    """What of a transfer is known so far: for the outcome, and for whoever shows it (``moved``: bytes written here)."""

    name: str
    path: str = ""
    size: int | None = None
    moved: int = 0
    sha256: bytes | None = None

    def outcome(self, word: str) -> Outcome:
        """Return it as an outcome."""
        return Outcome(word, self.name, self.path, self.size, self.sha256)


Tell = Callable[[Outcome], None]


def teller(lane: Lane, direction: notes.Direction) -> Tell:
    """Return what tells the far end, and the site between, how the transfer on a lane ended."""

    def tell(outcome: Outcome) -> None:
        facts = {"direction": direction.value, "path": outcome.path, "size": outcome.size}
        _log.info("file %s", outcome.word, extra=facts)
        note = notes.Transferred(
            lane.channel, direction, outcome.name, outcome.word[:64], outcome.path, outcome.size, outcome.sha256
        )
        try:
            lane.session.send_note(note)
        except HoldExceeded:
            _log.warning("there was no room to tell how a transfer ended", extra=facts)

    return tell


async def send(
    lane: Lane,
    sender: files.Sender,
    source: Source,
    offer: files.Offer,
    account: Account,
    tell: Tell,
    bytes_per_second: float | None = None,
) -> Outcome:
    """Send a file that is open; returns when the far end has stored it."""
    account.size = source.size
    ready = asyncio.Event()
    await lane.say(sender.offer(offer))
    listening = asyncio.create_task(_listen(lane, sender, ready))
    sending = asyncio.create_task(_pieces(lane, sender, source, ready, account, bytes_per_second))
    try:
        await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done() and sending.exception() is None:
            await asyncio.wait({listening})
        if listening.done():
            stored = listening.result()
            account.path, account.sha256 = stored.path or account.path, stored.sha256
            outcome = account.outcome(files.State.STORED)
            tell(outcome)
            return outcome
        sending.result()
        raise AssertionError("one of the two is done")
    except FileProblem as error:
        tell(account.outcome(error.word))
        answer = error.answer if sender.over else sender.refuse(error.word, error.message)
        if answer is not None:
            await lane.say(answer)
        raise
    finally:
        for task in (listening, sending):
            task.cancel()
        await asyncio.gather(listening, sending, return_exceptions=True)


async def _listen(lane: Lane, sender: files.Sender, ready: asyncio.Event) -> files.Stored:
    """Take what the receiver says until its last word. Raises FileProblem if that is no good one."""
    while True:
        match sender.receive(await lane.next()):
            case files.Ready():
                ready.set()
            case files.Stored() as stored:
                return stored
            case files.Refused(code, reason):
                raise far_problem(code, reason)
            case files.Broken(code, reason, answer):
                raise problem(code, reason, answer)
            case _:
                pass


async def _pieces(
    lane: Lane,
    sender: files.Sender,
    source: Source,
    ready: asyncio.Event,
    account: Account,
    bytes_per_second: float | None,
) -> None:
    """Send the file in pieces, as fast as the far end takes them or as is allowed."""
    await ready.wait()
    place = 0
    due = time.monotonic()
    while place < source.size:
        block = await asyncio.to_thread(source.read, place, min(READ_AT_ONCE, source.size - place))
        place += len(block)
        for start in range(0, len(block), files.PIECE):
            piece = block[start : start + files.PIECE]
            if bytes_per_second is not None:
                due = max(due, time.monotonic()) + len(piece) / bytes_per_second
                await asyncio.sleep(due - time.monotonic())
            if sender.over:
                return
            await lane.say(sender.piece(piece))
    if not sender.over:
        await lane.say(sender.end())


async def receive(
    lane: Lane,
    receiver: files.Receiver,
    place: Callable[[files.Offer], tuple[Path, bool]],
    account: Account,
    tell: Tell,
    first: bytes | None = None,
) -> Outcome:
    """Store a file that was asked for, or offered (``first``); ``place`` says where, and whether to overwrite."""
    landing: Landing | None = None
    try:
        offer = await _heard(lane, receiver, first)
        assert isinstance(offer, files.Offer)
        account.size = offer.size
        path, overwrite = place(offer)
        landing = Landing(path, offer.size, overwrite)
        await asyncio.to_thread(landing.open)
        await lane.say(receiver.ready())
        await _store(lane, receiver, landing, account)
        account.sha256 = receiver.sha256
        await asyncio.to_thread(landing.keep)
        outcome = account.outcome(files.State.STORED)
        tell(outcome)
        await lane.say(receiver.stored(account.path))
        return outcome
    except FileProblem as error:
        tell(account.outcome(error.word))
        answer = error.answer if receiver.over else receiver.refuse(error.word, error.message)
        if answer is not None:
            await lane.say(answer)
        raise
    finally:
        if landing is not None:
            landing.discard()


async def _store(lane: Lane, receiver: files.Receiver, landing: Landing, account: Account) -> None:
    """Write every piece, several at once when they come quickly, until the end was received and is true."""
    held = bytearray()
    while True:
        message = await _heard(lane, receiver)
        if isinstance(message, files.Piece):
            held += message.data
        if len(held) >= WRITE_AT_ONCE or not lane.waiting or isinstance(message, files.End):
            await asyncio.to_thread(landing.write, bytes(held))
            account.moved += len(held)
            held.clear()
        if isinstance(message, files.End):
            return


async def _heard(lane: Lane, receiver: files.Receiver, first: bytes | None = None) -> files.Message:
    """Return the sender's next message. Raises FileProblem if it refuses or breaks the protocol."""
    while True:
        payload, first = (await lane.next() if first is None else first), None
        match receiver.receive(payload):
            case None:
                continue
            case files.Refused(code, reason):
                raise far_problem(code, reason)
            case files.Broken(code, reason, answer):
                raise problem(code, reason, answer)
            case message:
                return message
