"""TCP ports for the programs of a world: free, given once, and never one that a connection could take meanwhile."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator

# Below the range from which the kernel serves outgoing connections (32768 and up, ip-sysctl(7)), above the system's.
_RANGE = range(12_000, 32_000)
# Worlds side by side begin in different places; each takes the ports there one after another.
_begin = random.randrange(len(_RANGE))
_turn: Iterator[int] = itertools.cycle((*_RANGE[_begin:], *_RANGE[:_begin]))


def free_port() -> int:
    """Return a TCP port that nobody listens on just now at any IPv4 address, another one at every call.

    Raises:
        OSError: none of twenty thousand is free.
    """
    for port in itertools.islice(_turn, len(_RANGE)):
        try:
            with socket.create_server(("", port)):
                return port
        except OSError:
            continue
    raise OSError("no TCP port is free")
