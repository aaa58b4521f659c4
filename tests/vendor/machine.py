"""A Debian system of its own in which a package is installed: booted by systemd-nspawn, with its own systemd.

Either an overlay over the system that the tests run on, which takes a second, or a clean one from the distribution's
packages, in which nothing is there that a package forgot to depend on.
"""

import contextlib
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from staffetta.kernel.errors import Unavailable
from staffetta.lab.world import wait_until

_ESSENTIAL = "systemd-sysv,dbus,ca-certificates"


class Machine:
    """The system in ``root``; before ``boot`` its commands run in a chroot, with the network of this machine."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self.log = log
        self._container: subprocess.Popen[bytes] | None = None
        self._leader = ""

    def try_run(self, *command: str | Path, seconds: float = 300) -> "subprocess.CompletedProcess[str]":
        """Run a command in it."""
        inside = ["nsenter", "--target", self._leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root"]
        enter = inside if self._leader else ["chroot", str(self.root)]
        return subprocess.run(
            [*enter, *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"},
        )

    def run(self, *command: str | Path, seconds: float = 300) -> str:
        """The same; it must succeed. Returns what it printed."""
        done = self.try_run(*command, seconds=seconds)
        assert done.returncode == 0, f"{shlex.join(map(str, command))}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def bring(self, file: Path, place: str) -> None:
        """Copy a file into it."""
        inside = self.root / place.lstrip("/")
        inside.write_bytes(file.read_bytes())

    def boot(self) -> None:
        """Start its systemd, without what else would be started there, and with a loopback interface only."""
        with self.log.open("wb") as log:
            self._container = subprocess.Popen(
                [
                    "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
                    "--directory", self.root, "--boot", "--", "systemd.unit=basic.target",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._leader = wait_until("the container's first process", self._first_process, 60)
        try:
            wait_until("systemd", lambda: self.try_run("systemctl", "is-active", "basic.target").returncode == 0, 120)
        except Unavailable as late:
            raise Unavailable(f"{late} The system said: {self.log.read_text(errors='replace')[-3000:]}") from late

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
        self._leader = ""


@contextlib.contextmanager
def overlaid() -> Iterator[Machine]:
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
                yield from _used(Machine(place / "root", place / "boot.log"))
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
