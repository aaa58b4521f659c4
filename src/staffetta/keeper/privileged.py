"""What needs the machine's own rights: addresses, the clock, the power switch, and erasing an appliance's data."""

import contextlib
import ipaddress
import os
import shutil
import socket
import stat
import struct
import subprocess
import time
from pathlib import Path

from staffetta.keeper import Refusal

_BLOCK = os.urandom(1024 * 1024)
_COMMAND_SECONDS = 5


class Machine:
    """The edge to the machine: the few calls that a test replaces, because they would be felt by everybody on it."""

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock (unix seconds)."""
        time.clock_settime(time.CLOCK_REALTIME, seconds)

    def power_off(self) -> None:
        """Ask the system to shut down; returns at once."""
        command = ["systemctl", "poweroff"] if Path("/run/systemd/system").is_dir() else ["poweroff"]
        subprocess.run(command, check=False, timeout=_COMMAND_SECONDS)


def claim_address(interface: str, address: str) -> None:
    """Put an address with its prefix on an interface, and tell the neighbours. Again is the same as once."""
    claimed = ipaddress.ip_interface(address)
    extra = ["nodad"] if claimed.version == 6 else []
    _ip("address", "replace", address, "dev", interface, *extra)
    if interface != "lo":
        _announce(interface, claimed.ip)


def release_address(interface: str, address: str) -> None:
    """Take an address off an interface. One that is not there is taken off already."""
    text = subprocess.run(
        ["ip", "-brief", "address", "show", "dev", interface], capture_output=True, text=True, timeout=_COMMAND_SECONDS
    )
    if text.returncode:
        raise Refusal("failed", text.stderr.strip()[:300] or f"There is no interface {interface}.")
    for held in text.stdout.split()[2:]:
        if "/" in held and str(ipaddress.ip_interface(held).ip) == address:
            _ip("address", "del", held, "dev", interface)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=_COMMAND_SECONDS)
    if done.returncode:
        raise Refusal("failed", done.stderr.strip()[:300] or f"ip ended with status {done.returncode}.")


def _announce(interface: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Neighbours that knew the address elsewhere learn it at once (ARP, RFC 5227 §3; neighbour discovery, RFC 4861
    §7.2.6); without it they keep asking the old holder for up to 48 s (measured)."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as link:
        link.bind((interface, 0x0806))
        hardware: bytes = link.getsockname()[4]
        if len(hardware) != 6:
            return
        if address.version == 4:
            broadcast, ip = b"\xff" * 6, address.packed
            for operation, target in ((1, b"\0" * 6), (2, broadcast)):
                arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + hardware + ip + target + ip
                link.send(broadcast + hardware + struct.pack("!H", 0x0806) + arp)
            return
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as line:
        line.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        line.bind((str(address), 0, 0, 0))
        advertisement = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + address.packed + b"\x02\x01" + hardware
        line.sendto(advertisement, ("ff02::1", 0, 0, socket.if_nametoindex(interface)))


def erase_data(root: Path) -> None:
    """Overwrite and remove everything that base and site keep, the site's releases and the logs with it (H4).

    What remains is what an appliance is delivered with: keeper, the releases of base, the root of trust. The folders
    themselves remain, with their owners and modes. Idempotent, so that a start after a power cut can finish it.
    """
    for name in ("base", "site", "certificates", "logs", "releases/site"):
        if (root / name).is_dir():
            _empty(root / name)
    (root / "keeper" / "state.json").unlink(missing_ok=True)
    os.sync()


def _empty(folder: Path) -> None:
    for _, _, files, descriptor in os.fwalk(folder, topdown=False, follow_symlinks=False):
        for name in files:
            _overwrite(name, descriptor)
            os.unlink(name, dir_fd=descriptor)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _overwrite(name: str, folder: int) -> None:
    """Write over what a regular file has on the disk: holes stay holes, a full disk is no reason to keep it."""
    try:
        file = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return  # a link, a socket, a pipe: there is nothing in it
    try:
        place, size = 0, os.fstat(file).st_size if stat.S_ISREG(os.fstat(file).st_mode) else 0
        with contextlib.suppress(OSError):  # ENXIO: only a hole is left
            while place < size:
                start = os.lseek(file, place, os.SEEK_DATA)
                place = os.lseek(file, start, os.SEEK_HOLE)
                while start < place:
                    start += os.pwrite(file, _BLOCK[: place - start], start)
        os.fsync(file)
    finally:
        os.close(file)
