"""A Debian system of its own in which a package is installed: booted by systemd-nspawn, with its own systemd.

It has a loopback interface only, or is plugged into a bridge, with an interface ``host0`` and an address of its own.
Either an overlay over the system that the tests run on, which takes a second, or a clean one from the distribution's
packages, in which nothing is there that a package forgot to depend on.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from staffetta.kernel.errors import Unavailable
from staffetta.lab.world import wait_until
from vendor import own_cgroup

_ESSENTIAL = "systemd-sysv,dbus,ca-certificates"
INTERFACE = "host0"
_NETWORK_UNIT = "plugged.service"
_FIREWALL = "/etc/firewall.nft"
# Where this machine forwards packets, a new one would too: to whoever has the address that it has let go of.
_NETWORK = """\
[Unit]
Description=The address of this machine, and its firewall if it has one
DefaultDependencies=no
Before=network.target network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh -c 'test ! -e {firewall} || nft -f {firewall}'
ExecStart=sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'
ExecStart=ip link set {interface} up
ExecStart=ip address add {address}/24 dev {interface}
"""


@dataclass(frozen=True, slots=True)
class Plug:
    """Where a machine is plugged in: the bridge, its host name and its address there, a folder that it shares with this
    machine at the same place.
    """

    bridge: str
    name: str
    address: str
    folder: Path | None = None


class Machine:
    """The system in ``root``; before ``boot`` its commands run in a chroot, with the network of this machine."""

    def __init__(self, root: Path, log: Path, plug: Plug | None = None) -> None:
        self.root = root
        self.log = log
        self.plug = plug
        self._container: subprocess.Popen[bytes] | None = None
        self._leader = ""
        self._groups: list[Path] = []

    def try_run(
        self, *command: str | Path, seconds: float = 300, given: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in it; ``given`` is its standard input."""
        inside = ["nsenter", "--target", self._leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root"]
        enter = inside if self._leader else ["chroot", str(self.root)]
        return subprocess.run(
            [*enter, *map(str, command)],
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"},
        )

    def run(self, *command: str | Path, seconds: float = 300, given: str = "") -> str:
        """The same; it must succeed. Returns what it printed."""
        done = self.try_run(*command, seconds=seconds, given=given)
        assert done.returncode == 0, f"{shlex.join(map(str, command))}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def bring(self, file: Path, place: str) -> None:
        """Copy a file into it."""
        inside = self.root / place.lstrip("/")
        inside.write_bytes(file.read_bytes())

    def boot(self, *units: str) -> None:
        """Start its systemd with these units, without what else would be started there."""
        network = ["--private-network"]
        if self.plug is not None:
            units = (_NETWORK_UNIT, *units)
            network = self._plugged(self.plug)
        with self.log.open("ab") as log:
            self._groups = own_cgroup.make(self.root.parent.name)
            command: list[str | Path] = [
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", *network, "--console=pipe"),
                *("--directory", self.root, "--boot", "--", "systemd.unit=basic.target"),
                *(f"systemd.wants={unit}" for unit in units),
            ]
            self._container = subprocess.Popen(
                own_cgroup.within(self._groups, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._leader = wait_until("the container's first process", self._first_process, 60)
        try:
            wait_until("systemd", lambda: self.active("basic.target"), 120)
            if self.plug is not None:
                address = self.plug.address
                wait_until("its network", lambda: self.active(_NETWORK_UNIT) and self.has_address(address), 60)
        except Unavailable as late:
            raise Unavailable(f"{late} The system said: {self.log.read_text(errors='replace')[-3000:]}") from late

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self._container is not None

    def _plugged(self, plug: Plug) -> list[str]:
        """Write down what the machine needs to know of its network; return how it is plugged in."""
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"{plug.name}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{plug.address} {plug.name}\n")
        network = _NETWORK.format(interface=INTERFACE, address=plug.address, firewall=_FIREWALL)
        (etc / "systemd/system" / _NETWORK_UNIT).write_text(network)
        # The interface's other end is named after the machine, so its name has to be one of this test run alone.
        shared = [] if plug.folder is None else [f"--bind={plug.folder}"]
        name = f"--machine={plug.bridge}-{plug.name}"
        return [f"--network-bridge={plug.bridge}", name, "--resolv-conf=off", *shared]

    def firewall(self, rules: str) -> None:
        """Have it load these nftables rules from its next start on, before its network is up; none if empty."""
        file = self.root / _FIREWALL.lstrip("/")
        file.unlink(missing_ok=True)
        if rules:
            file.write_text(rules)

    def hardware_address(self) -> str:
        """The hardware address of its interface on the bridge."""
        return self.run("cat", f"/sys/class/net/{INTERFACE}/address").strip()

    def has_address(self, address: str) -> bool:
        """Whether an address is on its interface on the bridge."""
        shown = self.run("ip", "-brief", "address", "show", "dev", INTERFACE)
        return f" {address}/" in shown

    def neighbour(self, address: str) -> str:
        """The hardware address at which it finds an address on the bridge; empty if it does not know."""
        return neighbour(self.run("ip", "-json", "neighbour", "show", address, "dev", INTERFACE))

    def _first_process(self) -> str:
        """The number of the process that is 1 in the container; a helper that prepares its place comes before it."""
        assert self._container is not None
        for child in Path(f"/proc/{self._container.pid}/task/{self._container.pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                numbers = re.search(r"^NSpid:(.*)$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE)
                if numbers is not None and numbers[1].split()[1:] == ["1"]:
                    return child
        return ""

    def active(self, unit: str) -> bool:
        """Whether its systemd says that a unit runs."""
        return self.try_run("systemctl", "--quiet", "is-active", unit).returncode == 0

    def main_process(self, unit: str) -> str:
        """The number of a unit's main process, as the machine itself counts."""
        return self.run("systemctl", "show", "--property", "MainPID", "--value", unit).strip()

    def pull_the_plug(self) -> None:
        """Everything in it ends this moment, as when the power goes."""
        assert self._container is not None
        os.kill(int(self._leader), signal.SIGKILL)
        self._container.wait(60)
        self._is_off()

    def _is_off(self) -> None:
        self._container, self._leader = None, ""
        own_cgroup.remove(self._groups)

    def end(self) -> None:
        """Switch it off."""
        if self._container is None:
            return
        self.try_run("systemctl", "poweroff")
        try:
            self._container.wait(60)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait(20)
        self._is_off()


def neighbour(shown: str) -> str:
    """What `ip -json neighbour show` says of one address; empty if nothing."""
    known = [one["lladdr"] for one in json.loads(shown or "[]") if "lladdr" in one]
    return str(known[0]) if known else ""


@contextlib.contextmanager
def overlaid(plug: Plug | None = None) -> Iterator[Machine]:
    """A machine that has what this one has; what happens in it stays in memory."""
    with tempfile.TemporaryDirectory(prefix="staffetta-machine-", dir="/tmp") as folder:
        place = Path(folder)
        mount = ["mount", "-t"]
        subprocess.run([*mount, "tmpfs", "-o", "size=3G", "tmpfs", place], check=True)
        try:
            for name in ("upper", "work", "root"):
                (place / name).mkdir()
            layers = f"lowerdir=/,upperdir={place / 'upper'},workdir={place / 'work'}"
            subprocess.run([*mount, "overlay", "-o", layers, "overlay", place / "root"], check=True)
            # Where it is there, it forbids packages to start and stop services; here they must.
            (place / "root/usr/sbin/policy-rc.d").unlink(missing_ok=True)
            try:
                yield from _used(Machine(place / "root", place / "boot.log", plug))
            finally:
                subprocess.run(["umount", place / "root"], check=True)
        finally:
            subprocess.run(["umount", place], check=True)


@contextlib.contextmanager
def clean() -> Iterator[Machine]:
    """A machine with nothing but the distribution's own minimum, from where this machine gets its packages."""
    targets = ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"]
    listed = subprocess.run(targets, capture_output=True, text=True, check=True).stdout
    mirror, codename = listed.splitlines()[0].split()
    with tempfile.TemporaryDirectory(prefix="staffetta-machine-", dir="/var/tmp") as folder:
        place = Path(folder)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_ESSENTIAL}", codename, place / "root", mirror],
            check=True,
            capture_output=True,
        )
        yield from _used(Machine(place / "root", place / "boot.log"))


def _used(machine: Machine) -> Iterator[Machine]:
    try:
        yield machine
    finally:
        machine.end()
