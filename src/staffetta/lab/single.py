"""The story `single`: one appliance, upgraded live under a technician's hands; each step leaves its evidence."""

import shlex
import time
from typing import Any

from staffetta.lab import timeline
from staffetta.lab.appliance import Administrator, Appliance, install_base
from staffetta.lab.faults import Fault
from staffetta.lab.judge import judge
from staffetta.lab.publisher import NEW, OLD, target
from staffetta.lab.site import SiteAdministrator, Work
from staffetta.lab.story import Options, Story
from staffetta.lab.world import LabFailure, World, wait_until


class Single(Story):
    """One run of the story in a world."""

    name = "single"
    about = "one appliance, upgraded live"
    steps = (
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
    clients = 3
    at_once = 1
    from_previous = True

    def __init__(self, world: World, options: Options) -> None:
        super().__init__(world, options)
        self.work: list[Work] = []
        self.appliance: Appliance
        self.administrator: Administrator
        self.admin: SiteAdministrator

    @staticmethod
    def knows(fault: Fault) -> bool:
        """Everything but what needs a second appliance."""
        return fault.is_keystroke or fault.is_unhealthy or (fault.is_kill and not fault.needs_pair)

    @property
    def _expected(self) -> str:
        return "unchanged" if self.options.fault and self.options.fault.is_unhealthy else "upgraded"

    def install_base(self) -> str:
        """An appliance starts with base alone; its administrator signs in and changes the first password."""
        env = self.gate.environment if self.gate else {}
        self.appliance = install_base(self.world, "alpha", 1, self.published, env)
        if self.gate:
            self.gate.watch(A=self.appliance)
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
        return self.enrol(self.admin, self.appliance, "rita")

    def start_users(self) -> str:
        """A technician types in a recorded shell session; others ask for pages, upload a file, watch progress."""
        self.watch_pages()
        self.work.append(self.technician.work_on("computer-1", self.broken_keystroke()))
        return "rita types every 50 ms on computer-1; pages are asked for every 20 ms on new connections"

    def watch_pages(self) -> None:
        """Start the users who ask for pages of both faces, on new connections and on kept-alive ones."""
        site, base = self.appliance.site_url, self.appliance.appliance_url
        self.user("site, new connections", "poller", f"{site}/login/", "--certificate", self.appliance.site_certificate)
        self.user(
            "site, kept alive", "poller", f"{site}/login/", "--certificate", self.appliance.site_certificate,
            "--keep-alive", "--clients", 2, "--interval", 0.2,
        )  # fmt: skip
        self.user(
            "base, new connections", "poller", f"{base}/appliance/", "--certificate",
            self.appliance.appliance_certificate, "--interval", 0.2,
        )  # fmt: skip
        self.user(
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
            self.user(
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
        self.wait_gone(self.appliance, kind, before)
        return f"{kind} {NEW} took over in {seconds:.1f} s; the processes of {before} are gone"

    def _install(self, kind: str, version: str, end: str, *, progress: bool = False) -> dict[str, Any]:
        armed = self.gate is not None and self.gate.armed
        install = self.administrator.install_however if armed else self.administrator.install
        job_id = install(kind, version)
        if progress:
            self.user(
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
        requests = self.count_requests()
        return f"{requests} requests, {len(self.report.sessions)} session(s) compared key by key"

    def follow(self) -> str:
        """The Jump Clients follow the site, so many at a time as may."""
        return self.follow_site(self.admin, upgraded=self._expected == "upgraded")

    def compare(self) -> str:
        """What the newer release must show is there: migration, capability, visible change; then the verdict."""
        self.report.outcome = self._expected
        page = self.admin.information()
        if self._expected == "upgraded":
            if NEW not in page:
                raise LabFailure(f"Status > Information does not show {NEW}.")
            self.report.notes.append(self.see_novelties(page, (self.appliance,)))
        elif OLD not in page:
            raise LabFailure(f"Status > Information does not show {OLD} any more.")
        if self.gate:
            self.report.kills = self.gate.kills
        self._draw()
        self.report.problems += judge(self.report, expected=self._expected, kills=self.gate is not None)
        return "nothing was lost" if self.report.good else "; ".join(self.report.problems)

    def _draw(self) -> None:
        """Put what happened when on the report's timeline."""
        self.report.timeline += timeline.of_installs("A", self.administrator.jobs(), time.time())
        self.draw_people()

    def where_to_look(self) -> str:
        """Return what a newcomer needs to look around in the world that stays up."""
        appliance = self.appliance
        console = shlex.join([*self.technician.console, "connect", "computer-1", "--state", str(self.technician.state)])
        command = shlex.join([*self.world.staffetta, "appliance", "status", "--appliance", str(appliance.folder)])
        return f"""
The world stays up. Look around:

  Appliance      {appliance.appliance_url}/appliance   admin   {appliance.password}
  Site           {appliance.site_url}/login        admin   {appliance.site_password}
  Technician     {appliance.site_url}/login        rita    {self.technician.password}

  Your browser will warn once for each address: the certificates are the appliance's own.

  A shell on a remote computer, in a terminal of yours (leave it with: exit):

    {console}

  A command of the appliance is told where it is:

    {command}

Ctrl-C ends everything and removes what it made.
"""
