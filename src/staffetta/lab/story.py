"""The story `single`: one appliance, upgraded live under a technician's hands; each step leaves its evidence."""

import contextlib
import os
import shlex
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from staffetta.lab.appliance import Administrator, Appliance, install_base
from staffetta.lab.faults import Fault, Gate
from staffetta.lab.judge import most_at_once
from staffetta.lab.overlay import CAPABILITY, COLUMN, VISIBLE
from staffetta.lab.publisher import NEW, OLD, Published, Publisher, target
from staffetta.lab.report import Report, StepTaken, judge
from staffetta.lab.site import RemoteComputer, SiteAdministrator, Technician, Work
from staffetta.lab.world import LabFailure, Program, World, wait_until

UPGRADES_AT_ONCE: Final = 1
"""*Maximum simultaneous Jump Client upgrades* of the story."""
STEPS: Final = (
    "publish",
    "install-base",
    "install-site",
    "enrol-clients",
    "start-users",
    "upgrade-base",
    "upgrade-site",
    "leave",
    "follow",
    "compare",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a story may be told: how many Jump Clients, what to break, and where builds are cached."""

    cache: Path
    clients: int = 3
    fault: Fault | None = None
    seed: int = 0


class Single:
    """One run of the story in a world."""

    def __init__(self, world: World, options: Options) -> None:
        self.world = world
        self.options = options
        self.report = Report("single")
        self.users: list[tuple[str, Program]] = []
        self.work: list[Work] = []
        self.published: Published
        self.appliance: Appliance
        self.administrator: Administrator
        self.admin: SiteAdministrator
        self.technician: Technician
        self.computers: list[RemoteComputer] = []
        self.gate = Gate(world, options.fault, options.seed) if options.fault and options.fault.is_kill else None

    def run(self) -> Report:
        """Take every step; a step that fails ends the story as ``failed`` with its reason."""
        for name in STEPS:
            started = time.monotonic()
            try:
                evidence = getattr(self, name.replace("-", "_"))()
            except Exception as error:
                self.report.steps.append(StepTaken(name, "A", round(time.monotonic() - started, 2), f"failed: {error}"))
                self.report.problems.append(f"the step {name} failed: {error}")
                raise
            self.report.steps.append(StepTaken(name, "A", round(time.monotonic() - started, 2), evidence))
            self.world.say(f"{name:<16} {time.monotonic() - started:6.1f} s  {evidence}")
        return self.report

    @property
    def _expected(self) -> str:
        return "unchanged" if self.options.fault and self.options.fault.is_unhealthy else "upgraded"

    def publish(self) -> str:
        """The vendor builds, signs and serves two releases of base and of site."""
        fault = self.options.fault
        self.publisher = Publisher(self.world, self.options.cache)
        self.published = self.publisher.publish(fault.kind if fault and fault.is_unhealthy else "")
        return f"base and site {OLD} and {NEW} signed; update server at {self.published.url}"

    def install_base(self) -> str:
        """An appliance starts with base alone; its administrator signs in and changes the first password."""
        env = self.gate.environment if self.gate else {}
        self.appliance = install_base(self.world, "alpha", 1, self.published, env)
        if self.gate:
            self.gate.watch(self.appliance)
        self.administrator = Administrator(self.appliance)
        self.administrator.first_sign_in()
        return f"{self.appliance.appliance_url}/appliance answers; the first password is changed"

    def install_site(self) -> str:
        """The site comes by the way of every package: EULA, check, install; its administrator signs in."""
        self.administrator.check()
        if any(self.administrator.offers().values()):
            raise LabFailure("A package can be selected before the licence agreement is accepted.")
        self.administrator.accept_eula()
        offered = self.administrator.offers()
        blocked = [target for target, selectable in offered.items() if not selectable]
        if target("site", NEW) not in blocked:
            raise LabFailure(f"site {NEW} needs base {NEW} and must be listed as not selectable; listed: {offered}")
        self._install("site", OLD, "committed")
        self.appliance.see_certificate(8443, self.appliance.site_certificate)
        self.admin = SiteAdministrator(self.appliance)
        self.admin.first_sign_in()
        return f"site {OLD} installed from the update server; {len(offered)} packages offered, {len(blocked)} blocked"

    def enrol_clients(self) -> str:
        """Jump Clients come in by an installer token; a technician signs the console in."""
        password = self.admin.make_technician("rita")
        token = self.admin.installer_token(self.options.clients)
        self.computers = [
            RemoteComputer.install(self.world, f"computer-{number}", token, self.published.root)
            for number in range(1, self.options.clients + 1)
        ]
        identity = self.admin.identity()
        self.technician = Technician(self.appliance, "rita", password, identity)
        self.technician.sign_in()
        self.admin.limit_upgrades(UPGRADES_AT_ONCE)
        return f"{len(self.computers)} Jump Clients enrolled, {UPGRADES_AT_ONCE} may upgrade at a time"

    def start_users(self) -> str:
        """A technician types in a recorded shell session; others ask for pages, upload a file, watch progress."""
        self.watch_pages()
        fault = self.options.fault
        broken = f"{fault.kind}@{fault.step}" if fault and fault.is_keystroke else ""
        self.work.append(self.technician.work_on("computer-1", broken))
        return "rita types every 50 ms on computer-1; pages are asked for every 20 ms on new connections"

    def watch_pages(self) -> None:
        """Start the users who ask for pages of both faces, on new connections and on kept-alive ones."""
        site, base = self.appliance.site_url, self.appliance.appliance_url
        self._user(
            "site, new connections", "poller", f"{site}/login/", "--certificate", self.appliance.site_certificate
        )
        self._user(
            "site, kept alive", "poller", f"{site}/login/", "--certificate", self.appliance.site_certificate,
            "--keep-alive", "--clients", 2, "--interval", 0.2,
        )  # fmt: skip
        self._user(
            "base, new connections", "poller", f"{base}/appliance/", "--certificate",
            self.appliance.appliance_certificate, "--interval", 0.2,
        )  # fmt: skip
        self._user(
            "base, kept alive", "poller", f"{base}/appliance/", "--certificate", self.appliance.appliance_certificate,
            "--keep-alive", "--clients", 2, "--interval", 0.2,
        )  # fmt: skip

    def upgrade_base(self) -> str:
        """Base is upgraded under its users."""
        return self._upgrade("base")

    def upgrade_site(self) -> str:
        """The site is upgraded under its users; a file is uploaded all the while."""
        return self._upgrade("site")

    def _upgrade(self, kind: str) -> str:
        if kind == "site":
            self._user(
                "site, long upload", "uploader", self.appliance.site_url, "--page", "/login/files", "--certificate",
                self.appliance.site_certificate, "--user", "rita", "--seconds", 30,
                password=self.technician.password,
            )  # fmt: skip
        before = self.appliance.active(kind)
        if self.gate:
            self.gate.armed = True
        unhealthy = kind == "site" and self._expected == "unchanged"
        started = time.monotonic()
        job = self._install(kind, NEW, "undone" if unhealthy else "committed", progress=True)
        seconds = time.monotonic() - started
        after = self.appliance.active(kind)
        if (before == after) != unhealthy:
            raise LabFailure(f"The active generation was {before} and is {after} after the job ended {job['state']}.")
        self.report.upgrades.append(
            {
                "kind": kind,
                "version": NEW,
                "state": job["state"],
                "seconds": round(seconds, 2),
                "error": job.get("error"),
            }
        )
        if unhealthy:
            return f"{kind} {NEW} refused: {job['error']}"
        self._wait_gone(kind, before)
        return f"{kind} {NEW} took over in {seconds:.1f} s; the processes of {before} are gone"

    def _install(self, kind: str, version: str, end: str, *, progress: bool = False) -> dict[str, Any]:
        armed = self.gate is not None and self.gate.armed
        install = self.administrator.install_however if armed else self.administrator.install
        job_id = install(kind, version)
        if progress:
            self._user(
                f"progress of {kind} {version}", "watcher", self.appliance.appliance_url, "--certificate",
                self.appliance.appliance_certificate, "--job", job_id, password=self.appliance.password,
            )  # fmt: skip
        job = self.administrator.wait_for(job_id, 900 if self.gate else 180)
        if armed and job["state"] == "undone":
            # A process of the new release was killed before it had taken over: undone is right, and tried again.
            self.report.upgrades.append({"kind": kind, "version": version, "state": "undone", "error": job["error"]})
            return self._install(kind, version, end)
        if job["state"] != end:
            raise LabFailure(f"The job for {kind} {version} ended {job['state']}: {job.get('error')}")
        return job

    def leave(self) -> str:
        """Users finish their work; nothing is cut short."""
        if self.options.fault is None or not self.options.fault.is_unhealthy:
            moved = self.work[0]
            wait_until(
                "the session to be on the newer generation",
                lambda: any(note["event"] in ("moved", "resumed") for note in moved.noted()),
                30,
            )
        for work in self.work:
            self.report.sessions.append(work.finish(self.admin))
        self.report.users = self.dismiss_users()
        http = self.report.http
        http["requests"] = sum(user["requests"] for user in self.report.users)
        http["failed"] = sum(user["failed"] for user in self.report.users)
        http["longest_gap_ms"] = max(
            (user.get("longest_gap_ms", 0.0) for user in self.report.users if "new connections" in user["name"]),
            default=0.0,
        )
        for user in self.report.users:
            self.report.notes.extend(f"{user['name']}: {failure}" for failure in user.get("failures", [])[:5])
        return f"{http['requests']} requests, {len(self.report.sessions)} session(s) compared key by key"

    def follow(self) -> str:
        """The Jump Clients follow the site, so many at a time as may; who held a session does when that has ended."""
        upgraded = self._expected == "upgraded"

        def counts() -> dict[str, int]:
            found: dict[str, int] = self.admin.fleet()["counts"]
            return found

        if upgraded:
            wait_until("every Jump Client to follow the site", lambda: counts()["behind"] == 0, 300, every=1.0)
        fleet = self.admin.fleet()
        on_newer = [one for one in fleet["clients"] if one["version"] == NEW and one["online"]]
        spans = [span for computer in self.computers for span in computer.upgrade_spans()]
        self.report.fleet = {
            "clients": len(fleet["clients"]),
            "updated": len(on_newer),
            "limit": fleet["limit"],
            "most_at_once": most_at_once(spans),
        }
        return f"{len(on_newer)} of {len(fleet['clients'])} Jump Clients are on {NEW}"

    def dismiss_users(self) -> list[dict[str, Any]]:
        """Ask every user to stop and return their accounts."""
        accounts = [{"name": name, **self.world.account(program, 90)} for name, program in self.users]
        self.users.clear()
        return accounts

    def compare(self) -> str:
        """What the newer release must show is there: migration, capability, visible change; then the verdict."""
        self.report.outcome = self._expected
        page = self.admin.information()
        if self._expected == "upgraded":
            if NEW not in page:
                raise LabFailure(f"Status > Information does not show {NEW}.")
            self.report.notes.append(self._novelties(page))
        elif OLD not in page:
            raise LabFailure(f"Status > Information does not show {OLD} any more.")
        if self.gate:
            self.report.kills = self.gate.kills
        self.report.problems += judge(self.report, expected=self._expected, kills=self.gate is not None)
        return "nothing was lost" if self.report.good else "; ".join(self.report.problems)

    def _novelties(self, page: str) -> str:
        """Assert what the newer release brings: its migration, its capability, its visible change."""
        missing = []
        if VISIBLE not in page:
            missing.append("the visible change")
        with contextlib.closing(
            sqlite3.connect(f"file:{self.appliance.folder}/site/site.sqlite3?mode=ro", uri=True)
        ) as db:
            if COLUMN not in {row[1] for row in db.execute("PRAGMA table_info(fleet_jumpclient)")}:
                missing.append("the migration")
        told = self.computers[-1].site_capabilities()
        if CAPABILITY not in told:
            missing.append(f"the capability (the Jump Client was told {told})")
        if missing:
            raise LabFailure(f"The newer release lacks {', '.join(missing)}.")
        return "the newer release shows its migration, its wire capability and its visible change"

    def _wait_gone(self, kind: str, generation: str) -> None:
        """Wait until a generation has no process left."""
        wait_until(
            f"the processes of {generation} to leave",
            lambda: not self.appliance.processes(kind, generation=generation),
            90,
            every=0.5,
        )

    def where_to_look(self) -> str:
        """Return what a newcomer needs to look around in the world that stays up."""
        appliance = self.appliance
        console = shlex.join([*self.technician.console, "connect", "computer-1", "--state", str(self.technician.state)])
        return f"""
The world stays up. Look around:

  Appliance      {appliance.appliance_url}/appliance   admin   {appliance.password}
  Site           {appliance.site_url}/login        admin   {appliance.site_password}
  Technician     {appliance.site_url}/login        rita    {self.technician.password}

  Your browser will warn once for each address: the certificates are the appliance's own.

  A shell on a remote computer, in a terminal of yours (leave it with: exit):

    {console}

Ctrl-C ends everything and removes what it made.
"""

    def _user(self, name: str, kind: str, *arguments: Any, password: str = "") -> None:
        env = {"LAB_PASSWORD": password} if password else {}
        command = [self.world.python, "-m", f"staffetta.lab.users.{kind}", *map(str, arguments)]
        slug = name.replace(",", "").replace(" ", "-")
        self.users.append((name, self.world.start(slug, command, env={**os.environ, **env}, pipe=True)))
