"""TCP ports for the programs of a world: free, given once, and never one that a connection could take meanwhile."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator
from pathlib import Path

_LOWEST, _HIGHEST = 10_000, 65_535
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def outside(low: int, high: int) -> tuple[int, ...]:
    """The ports that the kernel does not give to outgoing connections, which get ``low`` to ``high``; all if none is
    left."""
    ports = range(_LOWEST, _HIGHEST + 1)
    return tuple(port for port in ports if not low <= port <= high) or tuple(ports)


def _from_anywhere() -> Iterator[int]:
    """Worlds side by side begin in different places; each takes the ports there one after another."""
    low, high = map(int, _OUTGOING.read_text().split())
    ports = outside(low, high)
    begin = random.randrange(len(ports))
    return itertools.cycle((*ports[begin:], *ports[:begin]))


_turn = _from_anywhere()


def free_port() -> int:
    """Return a TCP port that nobody listens on just now at any IPv4 address, another one at every call in a process.

    Raises:
        OSError: none is free.
    """
    for port in itertools.islice(_turn, _HIGHEST):
        try:
            with socket.create_server(("", port)):
                return port
        except OSError:
            continue
    raise OSError("no TCP port is free")
