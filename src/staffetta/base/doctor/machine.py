"""What the kernel says: whether keeper holds its lock, who listens on the appliance's ports, what keeps the clock."""

from __future__ import annotations

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


def keeper_runs(paths: AppliancePaths, locks: Path = _PROC / "locks") -> bool | None:
    """Whether somebody holds keeper's lock; None when this user cannot see it. The lock itself is not touched."""
    try:
        lock = (paths.keeper / "lock").stat()
    except FileNotFoundError:
        return False
    except PermissionError:
        return None
    try:
        lines = locks.read_text().splitlines()
    except OSError:
        return None
    # proc(5): number, FLOCK, ADVISORY, WRITE, process, device:inode, range; one that waits has an arrow more.
    # The device is left out: of a subvolume, stat tells another one than the kernel has here.
    return any((words := line.split())[1] == "FLOCK" and words[5].endswith(f":{lock.st_ino}") for line in lines)


def ports(description: ApplianceDescription) -> tuple[PortSeen, ...]:
    """The ports of this appliance's own addresses, and who listens there. The shared one is held by one of a pair."""
    listening = dict(_listening())
    found = []
    for name, address, port in _wanted(description):
        inodes = [inode for (host, number), inode in listening.items() if number == port and _is_for(host, address)]
        found.append(PortSeen(name, address, port, bool(inodes), tuple(_holders(set(inodes)))))
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


def _listening() -> Iterator[tuple[tuple[str, int], str]]:
    """Address and port with the socket's inode, of everything that listens for TCP here (proc_net_tcp)."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTEN:
                host, _, port = words[1].partition(":")
                yield (_address(host), int(port, 16)), words[9]


def _address(hexadecimal: str) -> str:
    """The kernel writes an address as 32-bit words in the machine's own order."""
    raw = b"".join(bytes.fromhex(hexadecimal[i : i + 8])[::-1] for i in range(0, len(hexadecimal), 8))
    return str(ipaddress.ip_address(raw))


def _holders(inodes: set[str]) -> Iterator[str]:
    """Programs that have one of the sockets open, as far as this user may see."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                yield f"{(process / 'comm').read_text().strip()} ({process.name})"
        except OSError:
            continue  # gone, or not ours to see


def clock_synchronised() -> bool | None:
    """Whether the kernel's clock is disciplined (adjtimex(2) answers TIME_ERROR while it is not)."""
    asked = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if asked < 0 else asked != _TIME_ERROR
