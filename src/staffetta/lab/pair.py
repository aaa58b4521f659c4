"""Two appliances as their administrators make a pair of them: one site certificate, one key, one shared address."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from staffetta.front.certificates import make_self_signed
from staffetta.lab import pair_data
from staffetta.lab.appliance import SITE_PORT, Administrator, Appliance, install_base
from staffetta.lab.pair_data import SiteData
from staffetta.lab.publisher import OLD, Published
from staffetta.lab.site import SiteAdministrator
from staffetta.lab.world import LabFailure, World, wait_until

SHARED: Final = 3
"""The number of the shared address among the world's."""
CERTIFICATE_DAYS: Final = 90
SAME_SECONDS: Final = 60.0
"""So long both may take after the last user has left until they hold the same."""


@dataclass
class Member:
    """One appliance of the pair with who looks after it."""

    side: str
    appliance: Appliance
    administrator: Administrator

    def failover(self, *arguments: str, seconds: float = 300) -> str:
        """Run `staffetta failover …` on this appliance."""
        return self.appliance.world.run(
            "failover", *arguments, "--appliance", str(self.appliance.folder), seconds=seconds
        )

    def status(self) -> dict[str, Any]:
        """Return what `staffetta failover status --json` says."""
        found: dict[str, Any] = json.loads(self.failover("status", "--json"))
        return found

    def endpoint(self) -> str:
        """Where the other appliance reaches it."""
        return f"{self.appliance.address}:{SITE_PORT}"

    def shared_address(self) -> str:
        """Return what base says of the shared address: held, released, …"""
        found: dict[str, Any] = json.loads(self.appliance.control("shared-address", "status", "--json"))
        return str(found["state"])

    def data(self) -> SiteData:
        """Return the records and recordings on its disk."""
        return pair_data.read(self.appliance.folder)

    def keys(self) -> frozenset[pair_data.Key]:
        """Return the keys of the records on its disk, which takes a moment only."""
        return pair_data.keys(self.appliance.folder)


class Pair:
    """Appliances A and B."""

    def __init__(self, world: World, published: Published) -> None:
        self.world = world
        self.published = published
        self.address = world.address(SHARED)
        self.certificate = world.folder / "shared-site.pem"
        self._with_key = world.folder / "shared-site-with-key.pem"
        self.a: Member
        self.b: Member

    @property
    def url(self) -> str:
        """The site's face at the shared address, up to the port."""
        return f"https://{self.address}:{SITE_PORT}"

    def __iter__(self) -> Iterator[Member]:
        return iter((self.a, self.b))

    def make_certificate(self) -> None:
        """Make one certificate for the shared address and both own ones."""
        addresses = [self.address, self.world.address(1), self.world.address(2)]
        pem = make_self_signed([], addresses, CERTIFICATE_DAYS).decode()
        self._with_key.write_text(pem)
        self._with_key.chmod(0o600)
        self.certificate.write_text(pem[pem.index("-----BEGIN CERTIFICATE-----") :])

    def install_base(self, side: str, env: dict[str, str]) -> Member:
        """Start an appliance with base alone; its administrator changes the password and brings the certificate."""
        name, number = {"A": ("appliance-a", 1), "B": ("appliance-b", 2)}[side]
        appliance = install_base(self.world, name, number, self.published, env, shared=self.address)
        administrator = Administrator(appliance)
        administrator.first_sign_in()
        administrator.import_certificate("site", self._with_key)
        return Member(side, appliance, administrator)

    def install_site(self, member: Member) -> None:
        """Accept the agreement, install the site from the update server, change its first password."""
        member.administrator.check()
        member.administrator.accept_eula()
        member.administrator.install_to_end("site", OLD)
        member.appliance.site_certificate.write_text(self.certificate.read_text())
        member.appliance.wait_for_site()
        SiteAdministrator(member.appliance).first_sign_in()

    def establish(self) -> str:
        """Set one generated key on both, grant both, establish from A, wait for the first data-sync."""
        key = self.world.folder / "inter-appliance.key"
        key.write_text(self.a.failover("key", "--generate").strip().splitlines()[-1] + "\n")
        key.chmod(0o600)
        self.b.failover("key", "--file", str(key))
        key.unlink()
        for member in self:
            member.appliance.control("grant-pair-upgrade")
        self.a.failover("establish", "--backup", self.b.endpoint(), "--reverse", self.a.endpoint(), "--yes")
        started = time.monotonic()
        self.b.failover("sync-now", "--wait")
        roles = [member.status()["role"] for member in self]
        if roles != ["primary", "backup"]:
            raise LabFailure(f"After establishing from A the roles are {roles}.")
        # From here on both have the same accounts, those of the primary.
        self.b.appliance.site_password = self.a.appliance.site_password
        return f"first data-sync after {time.monotonic() - started:.1f} s"

    def jobs(self) -> list[dict[str, Any]]:
        """Return the pair jobs, newest first, as B knows them."""
        found: list[dict[str, Any]] = json.loads(self.b.failover("jobs", "--json"))
        return found

    def same(self, earlier: frozenset[tuple[str, str, int]], seconds: float = SAME_SECONDS) -> dict[str, Any]:
        """Compare both appliances' records and recordings; what still travels is given a while to arrive."""
        deadline = time.monotonic() + seconds
        while True:
            found = pair_data.compare(self.a.data(), self.b.data(), earlier)
            apart = sum(found[name][key] for name in found for key in ("only_a", "only_b"))
            if not apart or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def stop(self, member: Member) -> None:
        """Stop an appliance for good, as an administrator stops its unit; nothing if it is stopped."""
        keeper = member.appliance.keeper()
        self.world.may_start.clear()
        self.world.stop(keeper, 60)
        folder: Path = member.appliance.folder
        wait_until(f"the processes of {folder.name} to leave", lambda: not self._processes(member.appliance), 60)

    def kill(self, *members: Member) -> None:
        """Kill everything of these appliances at once, as when the power goes; nothing comes back until ``start``."""
        self.world.may_start.clear()
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.appliance.keeper().process.pid, signal.SIGKILL)
        wait_until("no process of the killed appliances", lambda: not self._killed(members), 30)

    def _killed(self, members: tuple[Member, ...]) -> list[int]:
        """Kill what is left, and return it."""
        left = [pid for member in members for pid in self._processes(member.appliance)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def start(self) -> None:
        """Start the appliances that were stopped or killed, as their machines do when the power is back."""
        self.world.may_start.set()

    @staticmethod
    def _processes(appliance: Appliance) -> list[int]:
        return [*appliance.processes("base"), *appliance.processes("site")]
