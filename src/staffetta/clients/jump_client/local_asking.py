"""Telling the Jump Client on this computer to check in: a socket in its own folder, to which that user alone can write.

One connection is one question; the answer is one line of JSON, once the site was reached or was not.
The folder's path may be longer than a socket's may be, so the socket is named through a descriptor of the folder.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.clients.errors import ClientError, SiteUnreachable, UnreadableAnswer
from staffetta.kernel.log import get_logger

SOCKET: Final = "check-in.sock"
ANSWER_SECONDS: Final = 60.0

_log = get_logger(__name__)


class NotCheckedIn(ClientError):
    """The Jump Client that runs here was told to check in and did not reach the site."""

    code = "not-checked-in"
    http_status = SiteUnreachable.http_status
    exit_status = SiteUnreachable.exit_status


@dataclass(frozen=True, slots=True)
class CheckedIn:
    """What came of a check-in: whether the site was reached, and a sentence for a person."""

    reached: bool
    sentence: str


Ask = Callable[[], Awaitable[CheckedIn]]


class LocalAsking:
    """The agent's side. ``ask`` checks in and says what came of it."""

    def __init__(self, root: Path, ask: Ask) -> None:
        self._root = root
        self._ask = ask
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen; where that cannot be, it is logged, and the client works without."""
        try:
            with _named(self._root) as path:
                self._server = await asyncio.start_unix_server(self._serve, path)
        except OSError as error:
            _log.warning("nobody on this computer can tell this client to check in", extra={"why": str(error)})

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            with contextlib.suppress(OSError):
                (self._root / SOCKET).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            done = await self._ask()
            writer.write(json.dumps({"reached": done.reached, "sentence": done.sentence}).encode() + b"\n")
            await writer.drain()
        except OSError:
            pass  # who asked has gone
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def ask_running(root: Path) -> CheckedIn | None:
    """Ask the agent that runs in a folder; None when none runs there. Raises UnreadableAnswer."""
    try:
        with _named(root) as path:
            reader, writer = await asyncio.open_unix_connection(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except PermissionError:
        raise NotCheckedIn("The client's folder belongs to another user: run this as that user.") from None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            said = json.loads(await reader.readline())
        return CheckedIn(bool(said["reached"]), str(said["sentence"]))
    except (OSError, ValueError, KeyError, TypeError, TimeoutError):
        raise UnreadableAnswer("The Jump Client that runs here did not say what came of it; see its log.") from None
    finally:
        writer.close()


@contextlib.contextmanager
def _named(root: Path) -> Iterator[str]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
