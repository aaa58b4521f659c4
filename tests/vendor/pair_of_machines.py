"""Two appliances and a remote computer, each a Debian machine on one bridge, and this machine beside them.

Everything is done by the commands of the documents. This machine is the vendor's update server, the administrator's
browser and the technician's terminal.
"""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from staffetta.front.certificates import make_self_signed
from staffetta.lab.appliance import Appliance
from staffetta.lab.site import SiteAdministrator, Technician
from staffetta.lab.world import LabFailure, Program, World, wait_until
from vendor.bridge import Bridge, bridge
from vendor.machine import INTERFACE, Machine, overlaid
from vendor.releases import Vendor
from worlds import ROOT, STAFFETTA

KEEPER = "staffetta-keeper.service"
CLIENT = "staffetta-jump-client"
STATE = f"/var/lib/{CLIENT}"
COMPUTER = "till"
UPDATE_PORT = 8470
SHARED, FIRST = 20, 11


class OnMachine(Appliance):
    """An appliance as its documents lay it out: on a machine of its own, at the usual ports."""

    machine: Machine

    @property
    def site_url(self) -> str:
        """The site's face at the appliance's own address."""
        return f"https://{self.address}"

    @property
    def common_url(self) -> str:
        """The site's face at the shared address."""
        return f"https://{self.shared}"

    def staffetta(self, *words: str, seconds: float = 300) -> str:
        """Run the command on it."""
        return self.machine.run("staffetta", *words, seconds=seconds)

    def status(self) -> dict[str, Any]:
        """Return what `staffetta failover status --json` says; nothing while nobody answers."""
        said = self.machine.try_run("staffetta", "failover", "status", "--json")
        found: dict[str, Any] = json.loads(said.stdout) if said.returncode == 0 else {}
        return found

    def is_now(self, role: str) -> bool:
        """Whether it says that it has this role."""
        return self.status().get("role") == role

    def shared_address(self) -> str:
        """Return what base says of the shared address: held, released, …; empty while nobody answers."""
        said = self.machine.try_run("staffetta", "appliance", "shared-address", "status", "--json")
        return str(json.loads(said.stdout)["state"]) if said.returncode == 0 else ""

    def runs(self, version: str) -> bool:
        """Whether base and site are of this version."""
        said = self.machine.try_run("staffetta", "appliance", "status").stdout
        return all(f"{program} {version}" in said for program in ("base", "site"))

    def log(self, process: str) -> str:
        """What a process has logged, like ``site-worker``."""
        return (self.machine.root / f"var/lib/staffetta/logs/{process}.log").read_text()

    def switch_on(self) -> None:
        """Boot its machine; its systemd starts keeper."""
        self.machine.boot(KEEPER)


class PairOfMachines:
    """The pair with everybody who has to do with it."""

    def __init__(self, vendor: Vendor, wire: Bridge, world: World, machines: tuple[Machine, Machine, Machine]) -> None:
        self.vendor = vendor
        self.bridge = wire
        self.world = world
        self.shared = wire.address(SHARED)
        self.certificate = world.folder / "site.pem"
        self.sides: list[OnMachine] = []
        for name, machine in zip(("alpha", "bravo"), machines, strict=False):
            assert machine.plug is not None
            side = OnMachine(name, world, machine.plug.address, machine.root, _no_keeper, self.shared)
            side.machine = machine
            self.sides.append(side)
        self.computer = machines[2]
        self.admin: SiteAdministrator
        self.technician: Technician

    @property
    def url(self) -> str:
        """The site's face at the shared address."""
        return f"https://{self.shared}"

    def answers(self) -> bool:
        """Whether somebody takes connections at the shared address."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.shared, 443)) == 0

    def install_packages(self, deb: Path) -> None:
        """Install the Debian package everywhere and lay the two appliances out."""

        def install(machine: Machine) -> None:
            machine.bring(deb, "/root/staffetta.deb")
            machine.run("apt-get", "install", "-y", "-qq", "/root/staffetta.deb")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(install, self._machines()))
        for side in self.sides:
            side.staffetta(
                "appliance", "init", "--name", side.name, "--address", side.address,
                "--shared-address", self.shared, "--shared-interface", INTERFACE,
            )  # fmt: skip

    def install_sites(self, version: str) -> None:
        """Switch everything on; install the certificate and, from the update server, the site on both appliances."""
        addresses = [self.shared, *(side.address for side in self.sides)]
        pem = make_self_signed([], addresses, 90).decode()
        certificates = pem[pem.index("-----BEGIN CERTIFICATE-----") :]
        self.certificate.write_text(certificates)
        for side in self.sides:
            side.site_certificate.write_text(certificates)

        def install(side: OnMachine) -> None:
            side.switch_on()
            wait_until("base", lambda: side.machine.try_run("staffetta", "appliance", "status").returncode == 0, 60)
            for name, text in (("key", pem[: pem.index("-----BEGIN CERTIFICATE-----")]), ("crt", certificates)):
                (side.machine.root / f"root/site.{name}").write_text(text)
            side.staffetta("appliance", "certificate", "install", "site", "/root/site.key", "/root/site.crt")
            side.staffetta("appliance", "updates", "check")
            side.staffetta("appliance", "eula", "accept")
            side.staffetta("appliance", "install", f"site/site-{version}.tar.zst", "--wait")
            SiteAdministrator(side).first_sign_in()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(install, self.sides))
        self.computer.boot()

    def establish(self) -> None:
        """One key on both, the first is the primary."""
        first, second = self.sides
        key = first.staffetta("failover", "key", "--generate").strip().splitlines()[-1]
        second.machine.run("staffetta", "failover", "key", "--file", "-", given=f"{key}\n")
        where = ("--backup", f"{second.address}:443", "--reverse", f"{first.address}:443")
        first.staffetta("failover", "establish", *where, "--yes")
        second.staffetta("failover", "sync-now", "--wait")
        second.site_password = first.site_password
        states = ["held", "released"]
        wait_until("the shared address", lambda: [side.shared_address() for side in self.sides] == states, 60)
        wait_until("the site there", lambda: self.answers() and self.where() == {first.machine.hardware_address()}, 60)
        self.sign_in()

    def sign_in(self) -> None:
        """The administrator signs in at the shared address."""
        self.admin = SiteAdministrator(self.sides[0], f"https://{self.shared}")
        self.admin.sign_in()

    def bring_in_the_computer(self) -> None:
        """The remote computer by the two commands of its document; a technician signs a console in."""
        password = self.admin.make_technician("rita")
        token = self.admin.installer_token(1)
        self.computer.run("staffetta", "jump-client", "install", "--state", STATE, "--token", "-", given=f"{token}\n")
        unit = f"/etc/systemd/system/{CLIENT}.service"
        started = f"staffetta jump-client unit --state {STATE} > {unit} && systemctl enable --now {CLIENT}"
        self.computer.run("sh", "-c", started)
        self.technician = Technician(self.sides[0], "rita", password, self.admin.identity())
        self.technician.sign_in()

    def client_version(self) -> str:
        """The version with which the Jump Client is online; empty if it is not."""
        (found,) = self.admin.fleet()["clients"]
        return str(found["version"]) if found["online"] else ""

    def user(self, kind: str, *words: object) -> Program:
        """Start a user of the lab who trusts the site's certificate."""
        command = [sys.executable, "-m", f"staffetta.lab.users.{kind}", *words, "--certificate", self.certificate]
        return self.world.start(f"{kind}-{time.monotonic_ns()}", list(map(str, command)), pipe=True)

    def where(self) -> set[str]:
        """At which hardware addresses this machine, and the remote computer if it knows, find the shared address."""
        return {self.bridge.neighbour(self.shared), self.computer.neighbour(self.shared)} - {""}

    def holders(self) -> list[str]:
        """On which running machines the shared address is."""
        running = [side for side in self.sides if side.machine.running]
        return [side.name for side in running if side.machine.has_address(self.shared)]

    def logs(self) -> str:
        """The last lines of what everybody has written."""
        files = [*self.world.logs.glob("*.log")]
        for side in self.sides:
            files += (side.machine.root / "var/lib/staffetta/logs").glob("*.log")
        files += [machine.log for machine in self._machines() if machine.log.exists()]
        return "\n".join(f"--- {file}\n{_tail(file)}" for file in sorted(files))

    def _machines(self) -> list[Machine]:
        return [*(side.machine for side in self.sides), self.computer]


def _tail(file: Path) -> str:
    told = [line for line in file.read_text(errors="replace").splitlines() if "HTTP Request:" not in line]
    return "\n".join(told[-15:])


def _no_keeper() -> Program:
    raise LabFailure("Keeper runs in a machine of its own, under that machine's systemd.")


@contextlib.contextmanager
def pair_of_machines(vendor: Callable[[str], Vendor]) -> Iterator[PairOfMachines]:
    """Three machines on a bridge, none of them switched on. ``vendor`` makes one whose update server has that URL."""
    with contextlib.ExitStack() as stack:
        wire = stack.enter_context(bridge())
        world = World(print, [STAFFETTA], ROOT)
        stack.callback(world.close)
        listen = f"{wire.address(1)}:{UPDATE_PORT}"
        made = vendor(f"http://{listen}")
        serve = ["vendor", "serve", "--repository", made.repository, "--keys", made.keys, "--listen", listen]
        world.start("update-server", [*world.staffetta, *map(str, serve)])
        shared_folder = world.folder / "computers"
        shared_folder.mkdir()
        plugs = [wire.plug("alpha", FIRST), wire.plug("bravo", FIRST + 1), wire.plug(COMPUTER, 13, shared_folder)]
        first, second, third = (stack.enter_context(overlaid(plug)) for plug in plugs)
        found = PairOfMachines(made, wire, world, (first, second, third))
        found.install_packages(made.deb)
        try:
            yield found
        except BaseException:
            print(found.logs(), file=sys.stderr)
            raise
