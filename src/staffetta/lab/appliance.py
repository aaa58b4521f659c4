"""One appliance of the lab: laid out and started by public commands, administered through its pages."""

import contextlib
import json
import os
import secrets
import socket
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests

from staffetta.kernel.journal import GATE_VARIABLE
from staffetta.lab.overlay import COLUMN
from staffetta.lab.pages import Browser
from staffetta.lab.publisher import Published, target
from staffetta.lab.world import LabFailure, Program, World, wait_until

SITE_PORT: Final = 8443
APPLIANCE_PORT: Final = 9443
BASE_USER: Final = 20001
SITE_USER: Final = 20002
START_SECONDS: Final = 30.0
"""How long a new generation may take to get ready; shortened from 90, so that one that hangs is given up sooner."""
FIRST_PASSWORD: Final = "password"


def new_password() -> str:
    """Return a password for a person of the lab."""
    return secrets.token_urlsafe(15)


@dataclass
class Appliance:
    """A running appliance: where it is, who administers it, and the question for its present keeper process."""

    name: str
    world: World
    address: str
    folder: Path
    keeper: Callable[[], Program]
    shared: str = ""
    """The address that follows the primary of its pair; empty for an appliance alone."""
    password: str = field(default_factory=new_password)
    site_password: str = field(default_factory=new_password)

    @property
    def appliance_url(self) -> str:
        """Base's face, up to the port."""
        return f"https://{self.address}:{APPLIANCE_PORT}"

    @property
    def site_url(self) -> str:
        """The site's face, up to the port."""
        return f"https://{self.address}:{SITE_PORT}"

    @property
    def common_url(self) -> str:
        """The site's face as everybody knows it: at the shared address if there is one."""
        return f"https://{self.shared or self.address}:{SITE_PORT}"

    @property
    def appliance_certificate(self) -> Path:
        """The certificate that a visitor of base's face accepts."""
        return self.world.folder / f"{self.name}-appliance.pem"

    @property
    def site_certificate(self) -> Path:
        """The certificate that a visitor of the site accepts."""
        return self.world.folder / f"{self.name}-site.pem"

    def control(self, *arguments: str, seconds: float = 300) -> str:
        """Run `staffetta appliance …` on this appliance."""
        return self.world.run("appliance", *arguments, "--appliance", str(self.folder), seconds=seconds)

    def processes(self, program: str, process: str = "", generation: str = "") -> list[int]:
        """Return the process ids of this appliance's children, read off the machine, not asked of the appliance."""
        wanted = {"STAFFETTA_APPLIANCE": str(self.folder), "STAFFETTA_PROGRAM": program}
        if process:
            wanted["STAFFETTA_PROCESS"] = process
        if generation:
            wanted["STAFFETTA_GENERATION"] = generation
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if wanted.items() <= _environment(pid).items()]

    def owns(self, pid: int) -> bool:
        """Whether a process is a child of this appliance's keeper."""
        return _environment(pid).get("STAFFETTA_APPLIANCE") == str(self.folder)

    def active(self, program: str) -> str:
        """Return the id of a program's active generation, as `staffetta appliance status` says.

        It is asked again for a while: where processes are killed on purpose, nobody may answer at this very moment.
        """

        def asked() -> str | None:
            try:
                status = json.loads(self.control("status", "--json"))
            except LabFailure:
                return None
            generations = status["generations"]
            active = (one["id"] for one in generations if (one["program"], one["state"]) == (program, "active"))
            return next(active, None)

        return wait_until(f"an active generation of {program}", asked, 60)

    def batons(self) -> dict[str, str]:
        """Return what the newer release's new field holds, by Jump Client; empty without its migration."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/site/site.sqlite3?mode=ro", uri=True)) as database:
            if COLUMN not in {row[1] for row in database.execute("PRAGMA table_info(fleet_jumpclient)")}:
                return {}
            return dict(database.execute(f"SELECT id, coalesce({COLUMN}, '') FROM fleet_jumpclient"))

    def see_certificate(self, port: int, path: Path) -> None:
        """Accept the certificate shown on ``port``, as a browser does after its warning."""

        def shown() -> bool:
            try:
                path.write_text(ssl.get_server_certificate((self.address, port), timeout=2))
            except OSError:
                return False
            return True

        wait_until(f"a TLS answer of {self.address}:{port}", shown, 60)

    def wait_for_site(self) -> None:
        """Wait until the site answers at this appliance's own address."""

        def answers() -> bool:
            with socket.socket() as probe:
                probe.settimeout(1)
                return probe.connect_ex((self.address, SITE_PORT)) == 0

        wait_until(f"the site at {self.address}", answers, 60)


def _environment(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:  # it has just left
        return {}
    return dict(one.partition("=")[::2] for one in raw.split("\0"))


def install_base(
    world: World, name: str, number: int, published: Published, env: dict[str, str], shared: str = ""
) -> Appliance:
    """Lay out an appliance with its first base and start its keeper; return once base's face answers.

    Both by the older release's own commands, as appliances in the field were.
    """
    folder = world.folder / name
    address = world.address(number)
    more = ["--base-user", str(BASE_USER), "--site-user", str(SITE_USER)] if os.geteuid() == 0 else []
    more += ["--shared-address", shared] if shared else []
    world.run(
        "appliance", "init", "--appliance", str(folder), "--name", name, "--bundle", str(published.base_bundle),
        "--root", str(published.root), "--address", address, "--site-port", str(SITE_PORT),
        "--appliance-port", str(APPLIANCE_PORT), "--update-server", published.url, *more,
        older=True,
    )  # fmt: skip
    # A story that kills processes on purpose starts a generation more often than an upgrade ever should.
    attempts = 60 if GATE_VARIABLE in env else 3
    (folder / "settings.toml").write_text(f"[installs]\nattempts = {attempts}\nstart_seconds = {START_SECONDS}\n")
    command = [*world.older.python, "-m", "staffetta.keeper", "--appliance", str(folder)]
    keeper = world.keep(f"{name}-keeper", command, env=env)
    appliance = Appliance(name, world, address, folder, keeper, shared)
    appliance.see_certificate(APPLIANCE_PORT, appliance.appliance_certificate)
    return appliance


class Administrator:
    """The person who looks after one appliance in a browser at `/appliance`."""

    def __init__(self, appliance: Appliance) -> None:
        self.appliance = appliance
        self.browser = Browser(appliance.appliance_url, appliance.appliance_certificate)

    def first_sign_in(self) -> str:
        """Sign in as admin for the first time and change the password; return the page that follows."""
        self.browser.sign_in("/appliance/", "admin", FIRST_PASSWORD)
        page = self.browser.change_first_password(FIRST_PASSWORD, self.appliance.password)
        if self.appliance.name not in page:
            raise LabFailure("Status > Basics does not name the appliance after the first sign-in.")
        return page

    def accept_eula(self) -> None:
        """Read the licence agreement and accept it."""
        self.browser.open("/appliance/updates")
        self.browser.submit("form#accept-eula", {"accept": True})

    def check(self) -> None:
        """Press `Check for updates`."""
        self.browser.open("/appliance/updates")
        self.browser.submit("form#check", {})

    def offers(self) -> dict[str, bool]:
        """Return what is listed under Available updates: target to whether it can be selected."""
        self.browser.open("/appliance/updates")
        return {
            str(item["data-target"]): bool(item.select("button[type=submit]:not([disabled])"))
            for item in self.browser.select("[data-target]")
        }

    def import_certificate(self, name: str, pem: Path) -> None:
        """Bring a certificate with its key for one of the two doors."""
        self.browser.open("/appliance/security/certificates")
        with pem.open("rb") as file:
            page = self.browser.submit("form#import-certificate", {"name": name, "certificate": file})
        if "is in use" not in page:
            raise LabFailure(f"The certificate was not taken: {page[:500]}")

    def install_to_end(self, kind: str, version: str) -> None:
        """Install one offer and wait until it is committed."""
        job = self.wait_for(self.install(kind, version))
        if job["state"] != "committed":
            raise LabFailure(f"The job for {kind} {version} ended {job['state']}: {job.get('error')}")

    def install(self, kind: str, version: str) -> str:
        """Press `Install this update` of one offer; return the job's id."""
        self.check()
        wanted = target(kind, version)
        if wanted not in self.offers():
            raise LabFailure(
                f"{kind} {version} is not offered; the page lists {', '.join(self.offers()) or 'nothing'}."
            )
        self.browser.submit(f'[data-target="{wanted}"] form', {})
        return self.browser.location.rstrip("/").rsplit("/", 1)[-1]

    def install_however(self, kind: str, version: str, seconds: float = 90) -> str:
        """Install although processes die under the page: look whether the press was taken, else press again."""
        known = {one["id"] for one in self.jobs()}
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.install(kind, version)
            except (LabFailure, requests.RequestException) as error:
                time.sleep(1)
                begun = [one["id"] for one in self.jobs() if one["id"] not in known]
                if begun:
                    return str(begun[0])
                if time.monotonic() > deadline:
                    raise LabFailure(f"{kind} {version} could not be installed: {error}") from error

    def jobs(self) -> list[dict[str, Any]]:
        """Return every job, newest first, asking again for a while where nobody answers at this very moment."""

        def asked() -> str | None:
            try:
                return self.appliance.control("jobs", "--json")
            except LabFailure:
                return None

        listed: list[dict[str, Any]] = json.loads(wait_until("the appliance to list its jobs", asked, 60, every=0.5))
        return listed

    def wait_for(self, job: str, seconds: float = 180) -> dict[str, Any]:
        """Watch a job to its end by the command line; return the job. Base may change hands or die meanwhile."""
        deadline = time.monotonic() + seconds
        last: Exception | None = None
        while time.monotonic() < deadline:
            try:
                self.appliance.control("watch", job, seconds=max(1.0, deadline - time.monotonic()))
            except (LabFailure, subprocess.TimeoutExpired) as error:
                last = error
            try:
                found = self.job(job)
            except LabFailure as error:
                last = error
            else:
                if found["state"] in ("committed", "undone"):
                    return found
            time.sleep(0.5)
        raise LabFailure(f"The job {job} did not end in {seconds:.0f} s. {last or ''}")

    def job(self, job: str) -> dict[str, Any]:
        """Return one job as the command line shows it."""
        for one in self.jobs():
            if one["id"] == job:
                return one
        raise LabFailure(f"The appliance does not know the job {job}.")
