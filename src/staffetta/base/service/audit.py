"""The audit log of base's local sockets: one JSON line per request, with the peer the kernel vouches for.

`base/audit.jsonl` (control socket) and `base/audit-site-door.jsonl` are base's only; a file that has grown past its
size becomes `….jsonl.1` and so on: whoever may only use one socket cannot push out what was done on the other. What
changes something has two lines: one on the disk before it is tried, one with its status before it is answered.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from staffetta.kernel.clock import format_time
from staffetta.kernel.files import sync_directory

LARGEST: Final = 16 << 20
KEPT: Final = 8
CONTROL: Final = "control"
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a unix socket, as it was when it connected (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int

    @classmethod
    def of(cls, sock: socket.socket) -> Peer:
        return cls(*_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


class AuditLog:
    """Appends lines about one socket; one file per socket, written by whichever generation of base answers."""

    def __init__(self, path: Path, socket_name: str = CONTROL) -> None:
        self._path = path
        self._socket = socket_name

    @classmethod
    def of(cls, base: Path, socket_name: str = CONTROL) -> AuditLog:
        """The log of a socket in base's folder."""
        return cls(base / ("audit.jsonl" if socket_name == CONTROL else f"audit-{socket_name}.jsonl"), socket_name)

    def write(
        self, at: datetime, peer: Peer | None, actor: str, method: str, path: str, status: int | None, *, durable: bool
    ) -> None:
        """Write one line; with `durable` it is on the disk when this returns. Raises OSError.

        `status` is None in the line that says that a change was asked for and is about to be tried.
        """
        line = {
            "time": format_time(at),
            "pid": None if peer is None else peer.pid,
            "uid": None if peer is None else peer.uid,
            "gid": None if peer is None else peer.gid,
            "actor": actor,
            "socket": self._socket,
            "method": method,
            "path": path,
            "status": status,
        }
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            data = json.dumps(line).encode() + b"\n"
            if os.write(descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            if durable:
                os.fsync(descriptor)
            full = os.fstat(descriptor).st_size > LARGEST
        finally:
            os.close(descriptor)
        if full:
            self._turn()

    def _turn(self) -> None:
        """Make room: the oldest file goes, the others move one place on."""
        for number in range(KEPT, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)
        sync_directory(self._path.parent)
