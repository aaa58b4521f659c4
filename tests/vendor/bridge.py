"""A network of its own between machines: a bridge on which this machine has an address too."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vendor.machine import Plug, neighbour

_RANGES = "10.78"
_HARDWARE = "02:78:00:00:00:01"
_LOOK_SECONDS = 0.05


@dataclass
class Turns:
    """At which hardware addresses an address was found, one after the other, each with the moment it was seen first."""

    seen: list[tuple[float, str]] = field(default_factory=list)

    @property
    def places(self) -> list[str]:
        """Only the hardware addresses."""
        return [place for _, place in self.seen]


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge ``name``; addresses on it begin with ``network``, and that with .1 is this machine's."""

    name: str
    network: str

    def address(self, number: int) -> str:
        """The address with this number."""
        return f"{self.network}.{number}"

    def plug(self, name: str, number: int, folder: Path | None = None) -> Plug:
        """The place of a machine on it."""
        return Plug(self.name, name, self.address(number), folder)

    def neighbour(self, address: str) -> str:
        """The hardware address at which this machine finds an address on the bridge; empty if it does not know."""
        return neighbour(_ip("-json", "neighbour", "show", address, "dev", self.name))

    @contextlib.contextmanager
    def watching(self, address: str) -> Iterator[Turns]:
        """Look, as long as the block goes on, where this machine finds an address."""
        turns, over = Turns(), threading.Event()

        def look() -> None:
            while not over.wait(_LOOK_SECONDS):
                place = self.neighbour(address)
                if place and (not turns.seen or turns.seen[-1][1] != place):
                    turns.seen.append((time.monotonic(), place))

        looking = threading.Thread(target=look, name=f"neighbours-{self.name}", daemon=True)
        looking.start()
        try:
            yield turns
        finally:
            over.set()
            looking.join(10)


@contextlib.contextmanager
def bridge() -> Iterator[Bridge]:
    """Make a bridge with a range of addresses that nobody on this machine uses, and remove it afterwards."""
    used = _ip("-brief", "address")
    network = next(f"{_RANGES}.{number}" for number in range(1, 255) if f"{_RANGES}.{number}." not in used)
    # Short: the names of what is plugged in begin with it, and an interface has at most 15 characters.
    made = Bridge(f"st{os.getpid() % 10000}", network)
    # A hardware address that is given stays, whatever is plugged in and out.
    _ip("link", "add", made.name, "address", _HARDWARE, "type", "bridge")
    try:
        _ip("address", "add", f"{made.address(1)}/24", "dev", made.name)
        _ip("link", "set", made.name, "up")
        yield made
    finally:
        subprocess.run(["ip", "link", "delete", made.name], check=False, capture_output=True)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
