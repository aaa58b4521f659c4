"""The side of a process that keeper started: it is told when to take the sockets, to leave them, and to drain.

Messages are JSON objects over a SOCK_SEQPACKET socket, at most 64 KiB, sockets as descriptors beside them. Rules:
- `activate`, `sockets` and `deactivate` are handled one after the other, in the order they came; `drain` beside them;
- the same socket sent again is the same `KeptSocket` again, so that a handler can compare;
- descriptors that the handler no longer needs are closed here, after it has returned: a port must not stay open in a
  process that does not accept any more;
- when keeper is gone, so is this process, at once: the next keeper starts its own.
"""

import array
import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from staffetta.kernel.errors import Conflict, Damaged, Unavailable
from staffetta.kernel.log import get_logger

MESSAGE_BYTES = 64 * 1024
_DESCRIPTORS = 253  # the most that Linux passes in one message
_REASON_CHARACTERS = 300
_log = get_logger(__name__)


class KeeperRefused(Conflict):
    """Keeper did not do what a verb asked; `code` is keeper's own word for why, the message its sentence."""

    # Every other error of ours has its code per class; this one stands for an error of another process.
    code: str  # type: ignore[misc]

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class KeeperUnreachable(Unavailable):
    """This process has no keeper to ask, or keeper did not take the message."""

    code = "keeper-unreachable"


class BadKeeperMessage(Damaged):
    """Keeper sent what this process does not understand."""

    code = "bad-keeper-message"


@dataclass(frozen=True, slots=True)
class KeptSocket:
    """One listening socket that keeper holds: `address` is an IP address, or a path when `port` is None."""

    name: str
    family: str
    address: str
    port: int | None
    sock: socket.socket


class ChildHandler(Protocol):
    """What a process does when keeper tells it to. An exception of any method becomes `failed` with its text."""

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        """Accept on these sockets, run jobs; return when both go on."""

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        """These are all sockets now: accept on the new ones, leave those that are missing."""

    async def deactivate(self) -> None:
        """Stop accepting and stop jobs, keep what is established; return when both have stopped."""

    async def drain(self, seconds: float) -> None:
        """Move and finish what is established; return when nothing is left, at the latest after `seconds`."""


class KeeperChannel:
    """The connection of this process to keeper. Needs a running event loop from its first use on."""

    _families: ClassVar[Mapping[str, int]] = {
        "inet": socket.AF_INET,
        "inet6": socket.AF_INET6,
        "unix": socket.AF_UNIX,
    }

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._reading = False
        self._orders: asyncio.Queue[tuple[dict[str, Any], list[int]]] = asyncio.Queue()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._room: asyncio.Future[None] | None = None
        self._held: list[KeptSocket] = []
        self._drains: set[asyncio.Task[None]] = set()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self | None:
        """The channel that keeper left open for this process; None when keeper did not start it."""
        number = (os.environ if environment is None else environment).get("STAFFETTA_KEEPER_FD")
        if number is None:
            return None
        os.set_inheritable(int(number), False)
        return cls(socket.socket(fileno=int(number)))

    async def run(self, handler: ChildHandler) -> None:
        """Do what keeper says, for as long as this process lives."""
        self._start_reading()
        while True:
            order, descriptors = await self._orders.get()
            try:
                await self._obey(handler, order, descriptors)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises, keeper must know
                _log.exception("keeper's order failed", extra={"order": order.get("do")})
                await self.failed(f"{order.get('do')}: {error}")

    async def ready(self) -> None:
        """This process has started and could prove itself now."""
        await self._send({"say": "ready"})

    async def failed(self, reason: str) -> None:
        """This process cannot do its work; keeper ends it, or the generation."""
        await self._send({"say": "failed", "reason": reason[:_REASON_CHARACTERS]})

    async def call(self, verb: str, **args: Any) -> dict[str, Any]:
        """Ask for a verb and wait for keeper's answer. Raises KeeperRefused and KeeperUnreachable."""
        self._start_reading()
        self._last_id += 1
        number = self._last_id
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"id": number, "verb": str(verb), "args": args})
            message = await answer
        finally:
            del self._answers[number]
        if "error" in message:
            error = message["error"]
            raise KeeperRefused(str(error.get("code")), str(error.get("message")))
        result = message.get("result")
        return result if isinstance(result, dict) else {}

    async def _send(self, message: Mapping[str, object]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > MESSAGE_BYTES:
            raise KeeperUnreachable("The message to keeper is longer than 64 KiB.")
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._sock.send(data)
                return
            except BlockingIOError:
                await self._writable(loop)
            except OSError as error:
                raise KeeperUnreachable(f"Keeper does not take messages: {error}") from error

    async def _writable(self, loop: asyncio.AbstractEventLoop) -> None:
        # One waiter is enough: keeper empties its end at every turn, and what comes later asks again.
        if self._room is None or self._room.done():
            self._room = loop.create_future()
            loop.add_writer(self._sock.fileno(), self._room_again)
        await asyncio.shield(self._room)

    def _room_again(self) -> None:
        asyncio.get_running_loop().remove_writer(self._sock.fileno())
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _start_reading(self) -> None:
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._receive)

    def _receive(self) -> None:
        room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self._sock.recvmsg(MESSAGE_BYTES + 1, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            _log.critical("keeper is gone")
            os._exit(0)
        descriptors = array.array("i")
        for level, kind, rights in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
        message = json.loads(data)
        if "do" in message:
            self._orders.put_nowait((message, list(descriptors)))
            return
        waiting = self._answers.get(message.get("id"))
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def _obey(self, handler: ChildHandler, order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        match order.get("do"):
            case "activate" | "sockets" as word:
                before = self._held
                self._held = self._kept(order.get("sockets", []), descriptors)
                if word == "activate":
                    await handler.activate(tuple(self._held))
                else:
                    await handler.sockets(tuple(self._held))
                self._close([one for one in before if one not in self._held])
                if word == "activate":
                    await self._send({"say": "activated"})
            case "deactivate":
                await handler.deactivate()
                self._close(self._held)
                self._held = []
                await self._send({"say": "deactivated"})
            case "drain":
                task = asyncio.create_task(self._drain(handler, float(order.get("seconds", 600))))
                self._drains.add(task)
                task.add_done_callback(self._drains.discard)
            case unknown:
                raise BadKeeperMessage(f"Keeper said {unknown!r}, which this version does not know.")

    async def _drain(self, handler: ChildHandler, seconds: float) -> None:
        try:
            await handler.drain(seconds)
        except Exception as error:  # noqa: BLE001 - as in run
            _log.exception("draining failed")
            await self.failed(f"drain: {error}")
        else:
            await self._send({"say": "drained"})

    def _kept(self, described: Sequence[Mapping[str, Any]], descriptors: Sequence[int]) -> list[KeptSocket]:
        if len(described) != len(descriptors):
            for descriptor in descriptors:
                os.close(descriptor)
            raise BadKeeperMessage(f"Keeper described {len(described)} sockets and sent {len(descriptors)}.")
        kept = []
        for one, descriptor in zip(described, descriptors, strict=True):
            known = next((held for held in self._held if _same_socket(held.sock, descriptor)), None)
            if known is not None:
                os.close(descriptor)
                kept.append(known)
            else:
                sock = socket.socket(self._families[one["family"]], socket.SOCK_STREAM, fileno=descriptor)
                sock.setblocking(False)
                kept.append(KeptSocket(one["name"], one["family"], one["address"], one["port"], sock))
        return kept

    @staticmethod
    def _close(sockets: Sequence[KeptSocket]) -> None:
        for kept in sockets:
            with contextlib.suppress(OSError):
                kept.sock.close()


def _same_socket(held: socket.socket, descriptor: int) -> bool:
    return held.fileno() >= 0 and os.fstat(held.fileno()).st_ino == os.fstat(descriptor).st_ino
