"""The listening sockets: opened once, held for as long as keeper lives, handed to children as descriptors.

Every descriptor is a copy of the same listening socket, so a connection that arrives while one generation has stopped
accepting and the next has not begun waits in the queue and is lost to nobody.
"""

import ctypes
import errno
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from staffetta.keeper import Refusal
from staffetta.keeper.config import Config, SocketMemory, SocketSpec, load_memory
from staffetta.keeper.loop import log

BACKLOG = 4096
BIND_SECONDS = 10.0  # how long the address of a holder that is just leaving is waited for
IP_FREEBIND = 15
IPV6_FREEBIND = 78
SO_ATTACH_REUSEPORT_CBPF = 51
PER_PROCESS = 32  # well below the 253 descriptors that one message can carry


class ListeningSockets:
    """Every socket that is open now, by name."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[SocketSpec, socket.socket]] = {}

    def specs(self) -> list[SocketSpec]:
        """What is open."""
        return [spec for spec, _ in self._open.values()]

    def spec(self, name: str) -> SocketSpec | None:
        """What is open under this name."""
        found = self._open.get(name)
        return found[0] if found else None

    def for_process(self, program: str, process: str) -> list[tuple[SocketSpec, socket.socket]]:
        """The sockets that a process of the active generation is given."""
        return [
            (spec, sock) for spec, sock in self._open.values() if (spec.program, spec.process) == (program, process)
        ]

    def open(self, spec: SocketSpec) -> None:
        """Bind and listen. Raises OSError (EADDRINUSE while an old holder is just leaving) and Refusal."""
        if len(self.for_process(spec.program, spec.process)) >= PER_PROCESS:
            raise Refusal("too-many", f"{spec.program}'s {spec.process} has {PER_PROCESS} sockets already.")
        family = {"unix": socket.AF_UNIX, "inet": socket.AF_INET, "inet6": socket.AF_INET6}[spec.family]
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if spec.port is None:
                _bind_unix(sock, spec)
            else:
                _bind_address(sock, spec)
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        self._open[spec.name] = (spec, sock)

    def close(self, name: str) -> SocketSpec:
        """Close keeper's copy. Raises Refusal when nothing of this name is open."""
        if name not in self._open:
            raise Refusal("unknown-socket", f"No socket {name} is open.")
        spec, sock = self._open.pop(name)
        sock.close()
        if spec.port is None:
            Path(spec.address).unlink(missing_ok=True)
        return spec

    def close_all(self) -> None:
        """Close everything, when keeper leaves."""
        for name in list(self._open):
            self.close(name)

    def steer(self, name: str, share: int) -> None:
        """While two keepers overlap on one address: which of the two gets the new connections.

        `share` is the percentage that goes to the socket that joined second; the one that was there first gets the
        rest. The rule belongs to the group, so either side may set it, and the first may do so (with 0) before the
        second joins. When one of the two closes, the one left gets everything. Measured: 0 connections lost, where
        overlap without steering lost some at every move.
        """
        if name not in self._open:
            raise Refusal("unknown-socket", f"No socket {name} is open.")
        spec, sock = self._open[name]
        if not spec.reuse_port:
            raise Refusal("invalid", f"Socket {name} was not opened with reuse_port.")
        program = _steering_program(share)
        buffer = ctypes.create_string_buffer(program, len(program))
        descriptor = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, descriptor)


@dataclass(slots=True)
class Opening:
    """A socket that is not open yet; one that keeper opens by itself (no ticket) is tried for ever."""

    spec: SocketSpec
    persist: bool
    ticket: object
    give_up_at: float
    next_try: float
    reported: bool = False


class Openings:
    """Sockets on their way: waited for while an old holder leaves, and remembered when they are to stay."""

    def __init__(self, config: Config, listening: ListeningSockets) -> None:
        self._config, self._listening = config, listening
        self._memory = load_memory(config)
        self._waiting: list[Opening] = []

    def begin(self, now: float) -> None:
        """Every socket of the configuration and of the memory is to be opened."""
        wanted = self._memory.wanted(self._config)
        self._waiting = [Opening(spec, False, None, now + BIND_SECONDS, now) for spec in wanted]

    def ask(self, spec: SocketSpec, persist: bool, ticket: object, now: float) -> None:
        """One more is to be opened, for whoever has the ticket. Raises Refusal if the name means another."""
        known = self._listening.spec(spec.name)
        if known != spec and (known or any(one.spec.name == spec.name for one in self._waiting)):
            raise Refusal("exists", f"Socket {spec.name} is open, or being opened, with another description.")
        self._waiting.append(Opening(spec, persist, ticket, now + BIND_SECONDS, now))

    def next_deadline(self) -> float | None:
        """When `attempt` must be called at the latest."""
        return min((one.next_try for one in self._waiting), default=None)

    def attempt(self, now: float) -> list[tuple[Opening, Refusal | None]]:
        """Try what is due, and return what was opened or given up, with the reason."""
        settled: list[tuple[Opening, Refusal | None]] = []
        for one in [waiting for waiting in self._waiting if now >= waiting.next_try]:
            refusal, new = None, self._listening.spec(one.spec.name) is None
            try:
                if new:
                    self._listening.open(one.spec)
                if one.persist:
                    self._remember(self._memory.with_socket(one.spec))
            except Refusal as error:
                refusal = error
            except OSError as error:
                if one.ticket is None or (error.errno == errno.EADDRINUSE and now < one.give_up_at):
                    if now >= one.give_up_at and not one.reported:
                        one.reported = True
                        log("error", f"socket {one.spec.name} cannot be opened yet: {error}")
                    one.next_try = now + (0.05 if now < one.give_up_at else 1.0)
                    continue
                refusal = Refusal("failed", f"{one.spec.name}: {error}")
                if new and self._listening.spec(one.spec.name):
                    self._listening.close(one.spec.name)  # it could not be remembered
            self._waiting.remove(one)
            settled.append((one, refusal))
        return settled

    def close(self, name: str) -> tuple[SocketSpec, object]:
        """Close a socket, or stop opening it, for good; returns what it was, and the ticket that still waits."""
        waiting = next((one for one in self._waiting if one.spec.name == name), None)
        spec = waiting.spec if waiting else self._listening.spec(name)
        if spec is None:
            raise Refusal("unknown-socket", f"No socket {name} is open.")
        self._remember(self._memory.without_socket(name, self._config))
        if waiting:
            self._waiting.remove(waiting)
        if self._listening.spec(name):
            self._listening.close(name)
        return spec, waiting.ticket if waiting else None

    def _remember(self, memory: SocketMemory) -> None:
        if memory != self._memory:
            memory.save(self._config.root)
            self._memory = memory


def _bind_address(sock: socket.socket, spec: SocketSpec) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if spec.reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if spec.family == "inet6":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if spec.freebind:
        level, option = (socket.IPPROTO_IPV6, IPV6_FREEBIND) if spec.family == "inet6" else (socket.SOL_IP, IP_FREEBIND)
        sock.setsockopt(level, option, 1)
    sock.bind((spec.address, spec.port))


def _bind_unix(sock: socket.socket, spec: SocketSpec) -> None:
    path = Path(spec.address)
    if os.path.lexists(path):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Refusal("invalid", f"{path} is there and is not a socket.")
        path.unlink()  # left behind by a keeper that was killed; the lock says that it is gone
    before = os.umask(0o177)
    try:
        sock.bind(spec.address)
    finally:
        os.umask(before)
    if spec.group is not None:
        os.chown(path, -1, spec.group, follow_symlinks=False)
    path.chmod(spec.mode)


def _steering_program(share: int) -> bytes:
    """Classic BPF whose result is the place in the reuseport group: 0 joined first, 1 joined second."""
    ret, load, mod, at_least = 0x06, 0x20, 0x94, 0x35
    random_number = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
    if share in (0, 100):
        return struct.pack("HBBI", ret, 0, 0, share // 100)
    steps = [(load, 0, 0, random_number), (mod, 0, 0, 100), (at_least, 1, 0, share), (ret, 0, 0, 1), (ret, 0, 0, 0)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
