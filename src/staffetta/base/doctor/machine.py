"""What the kernel says: who holds keeper's lock, who listens on the appliance's ports, what keeps the clock."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from staffetta.base.doctor.facts import PortSeen
from staffetta.control.paths import ApplianceDescription, AppliancePaths

HTTPS_PORT: Final = 443
_LISTEN: Final = "0A"
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 208
_PROC: Final = Path("/proc")


def keeper_process(paths: AppliancePaths, locks: Path = _PROC / "locks") -> int | None:
    """The process that holds keeper's lock, 0 when none does; None when this user cannot see it. The lock itself is not
    touched."""
    try:
        lock = (paths.keeper / "lock").stat()
    except FileNotFoundError:
        return 0
    except PermissionError:
        return None
    try:
        lines = locks.read_text().splitlines()
    except OSError:
        return None
    # proc(5): number, FLOCK, ADVISORY, WRITE, process, device:inode, range; one that waits has an arrow more.
    # The device is left out: of a subvolume, stat tells another one than the kernel has here.
    for words in (line.split() for line in lines):
        if words[1] == "FLOCK" and words[5].endswith(f":{lock.st_ino}"):
            return int(words[4])
    return 0


def ports(description: ApplianceDescription, keeper: int | None) -> tuple[PortSeen, ...]:
    """The ports of this appliance's own addresses, and who listens there. The shared one is held by one of a pair.

    ``keeper`` is its process, as far as it is known."""
    listening = [*_listening()]
    kept = _sockets(_PROC / str(keeper)) if keeper else None
    found = []
    for name, address, port in _wanted(description):
        there = [(host, inode) for host, number, inode in listening if number == port and _is_for(host, address)]
        # Of two sockets for a port, the one that names the address gets what comes to it.
        exact = [one for one in there if not ipaddress.ip_address(one[0]).is_unspecified]
        inodes = {inode for _, inode in exact or there}
        by_keeper = None if kept is None else bool(inodes & kept)
        found.append(PortSeen(name, address, port, bool(inodes), tuple(_holders(inodes)), by_keeper))
    return tuple(found)


def _wanted(description: ApplianceDescription) -> Iterator[tuple[str, str, int]]:
    for name, url in (
        ("/appliance", description.appliance_url),
        *(("site", f"https://{address}") for address in description.addresses),
    ):
        parts = urlsplit(url)
        if parts.hostname is not None and parts.hostname != description.shared_address:
            yield name, parts.hostname, parts.port or HTTPS_PORT


def _is_for(host: str, address: str) -> bool:
    """Whether a socket bound to ``host`` takes what comes to ``address``."""
    bound, wanted = ipaddress.ip_address(host), ipaddress.ip_address(address)
    return bound == wanted or bound.is_unspecified or (wanted.is_unspecified and bound.version == wanted.version)


def _listening() -> Iterator[tuple[str, int, str]]:
    """Address, port and the socket's inode, of everything that listens for TCP here (proc_net_tcp)."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTEN:
                host, _, port = words[1].partition(":")
                yield _address(host), int(port, 16), words[9]


def _address(hexadecimal: str) -> str:
    """The kernel writes an address as 32-bit words in the machine's own order."""
    raw = b"".join(bytes.fromhex(hexadecimal[i : i + 8])[::-1] for i in range(0, len(hexadecimal), 8))
    return str(ipaddress.ip_address(raw))


def _holders(inodes: set[str]) -> Iterator[str]:
    """Programs that have one of the sockets open, as far as this user may see."""
    if not inodes:
        return
    for process in _PROC.iterdir():
        if not process.name.isdigit() or not inodes & (_sockets(process) or set()):
            continue
        with contextlib.suppress(OSError):  # gone meanwhile
            yield f"{(process / 'comm').read_text().strip()} ({process.name})"


def _sockets(process: Path) -> set[str] | None:
    """The inodes of the sockets that a process has open; None when this user may not see them, or it is gone."""
    found = set()
    try:
        for link in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.add(str(link.readlink()))
    except OSError:
        return None
    return {one[len("socket:[") : -1] for one in found if one.startswith("socket:[")}


def clock_synchronised() -> bool | None:
    """Whether the kernel's clock is disciplined (adjtimex(2) answers TIME_ERROR while it is not)."""
    asked = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if asked < 0 else asked != _TIME_ERROR
