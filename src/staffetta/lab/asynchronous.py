"""The story `asynchronous`: a live pair is upgraded one appliance after the other, and traffic moves between them.

A is the primary at first, B its backup. B is upgraded unseen and proven, takes the traffic and the role, and A follows.
"""

import contextlib
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from staffetta.lab import pair_data, timeline
from staffetta.lab.faults import Fault
from staffetta.lab.judge import judge
from staffetta.lab.pair import Member, Pair
from staffetta.lab.publisher import NEW, OLD
from staffetta.lab.report import StepTaken
from staffetta.lab.site import Carriage, SiteAdministrator, Work
from staffetta.lab.story import Options, Story
from staffetta.lab.world import LabFailure, World, wait_until

PACE_SECONDS: Final = 0.02
KILLED_PACE_SECONDS: Final = 0.2
"""How often a page is asked for on a new connection, and if processes are killed, when nobody judges the answers."""
MEGABYTES: Final = 200
MEGABYTES_A_SECOND: Final = 4.0
"""A file of 200 MB is under way for 50 seconds, and so while the traffic moves."""
CARRY_FROM: Final = "update-site"
"""The step of the pair job at which the file sets out: the site of B is being upgraded, the swing is next."""
AGAIN_SECONDS: Final = 120.0
"""So long the technician tries to begin with the next file if processes are killed on purpose."""
JOB_SECONDS: Final = 900.0
KILLED_SECONDS: Final = 1800.0
"""So long the upgrade may take, and if processes are killed on purpose meanwhile."""


class Asynchronous(Story):
    """One run of the story in a world."""

    name = "asynchronous"
    about = "a pair, upgraded one after the other, traffic moved between them"
    steps = (
        "publish",
        "install",
        "establish",
        "enrol-clients",
        "start-users",
        "upgrade",
        "leave",
        "follow",
        "compare",
    )
    clients = 8
    passive = 3
    at_once = 3

    def __init__(self, world: World, options: Options) -> None:
        super().__init__(world, options)
        self.pair: Pair
        self.admin: SiteAdministrator
        self.work: list[Work] = []
        self.carriage: Carriage | None = None
        self.before: dict[tuple[str, str], str] = {}
        self.seen: frozenset[tuple[str, str, int]] = frozenset()
        self.job: dict[str, Any] = {}
        self.turns: list[dict[str, Any]] = []

    @staticmethod
    def knows(fault: Fault) -> bool:
        """Everything but an unhealthy release."""
        return fault.is_keystroke or fault.is_record or fault.is_kill

    def side(self, step: str) -> str:
        """Every step is taken on both, through both."""
        return "A+B"

    def install(self) -> str:
        """Both appliances start with base alone; their administrators bring the certificate and install the site."""
        env = self.gate.environment if self.gate else {}
        self.pair = Pair(self.world, self.published)
        self.pair.make_certificate()

        def member(side: str) -> Member:
            one = self.pair.install_base(side, env)
            self.pair.install_site(one)
            return one

        with ThreadPoolExecutor(2) as pool:
            self.pair.a, self.pair.b = pool.map(member, ("A", "B"))
        if self.gate:
            self.gate.watch(A=self.pair.a.appliance, B=self.pair.b.appliance)
        addresses = ", ".join(f"{one.side} at {one.appliance.address}" for one in self.pair)
        return f"site {OLD} installed from the update server on both: {addresses}, shared {self.pair.address}"

    def establish(self) -> str:
        """One generated key on both, the relationship from A, the first data-sync; the administrator signs in."""
        evidence = self.pair.establish()
        self.admin = SiteAdministrator(self.pair.a.appliance, self.pair.url)
        self.admin.sign_in()
        return f"A is primary, B its backup; {evidence}"

    def enrol_clients(self) -> str:
        """Jump Clients come in by an installer token at the shared address; a technician signs the console in."""
        return self.enrol(self.admin, self.pair.a.appliance, "rita")

    def start_users(self) -> str:
        """A technician types in two recorded shell sessions; pages are asked for at every address."""
        certificate = self.pair.certificate
        pace = KILLED_PACE_SECONDS if self.gate else PACE_SECONDS
        self.user(
            "shared address, new connections", "poller", f"{self.pair.url}/login/", "--certificate", certificate,
            "--interval", pace,
        )  # fmt: skip
        self.user(
            "shared address, kept alive", "poller", f"{self.pair.url}/login/", "--certificate", certificate,
            "--keep-alive", "--clients", 2, "--interval", 0.2,
        )  # fmt: skip
        self.user("shared address, who is there", "weathervane", self.pair.url, "--certificate", certificate)
        for one in self.pair:
            self.user(
                f"{one.side}, own address", "poller", f"{one.appliance.site_url}/login/", "--certificate", certificate,
                "--interval", 0.5,
            )  # fmt: skip
            self.user(
                f"base of {one.side}", "poller", f"{one.appliance.appliance_url}/appliance/", "--certificate",
                one.appliance.appliance_certificate, "--interval", 0.5,
            )  # fmt: skip
        self.work.append(self.technician.work_on("computer-1", self.broken_keystroke()))
        self.work.append(self.technician.work_on("computer-3"))
        return f"rita types every 50 ms on computer-1 and computer-3; pages are asked for every {pace * 1000:.0f} ms"

    def upgrade(self) -> str:
        """The pair job, by the public command; its progress is shown live, and the file sets out before the swing."""
        self.before = {
            (one.side, program): one.appliance.active(program) for one in self.pair for program in ("base", "site")
        }
        self.seen = frozenset()
        self._see_records()
        if self.gate:
            self.gate.armed = True
        started = time.monotonic()
        self._upgrade()
        seconds = time.monotonic() - started
        self._tell_steps(self.job)
        if self.carriage is None:
            raise LabFailure(f"The command never showed the step {CARRY_FROM}, at which the file was to set out.")
        self.carriage.begin_no_more()
        for one in self.pair:
            for program in ("base", "site"):
                self.wait_gone(one.appliance, program, self.before[one.side, program])
        roles = [one.status()["role"] for one in self.pair]
        if roles != ["backup", "primary"]:
            raise LabFailure(f"After the upgrade the roles of A and B are {roles}.")
        return f"both run {NEW} after {seconds:.1f} s, B is primary; the old generations' processes are gone"

    def _upgrade(self) -> None:
        """Bring the pair job to its end.

        Where processes are killed on purpose it may end undone, and is begun again, or wait for a person, who resumes
        it.
        """
        deadline = time.monotonic() + (KILLED_SECONDS if self.gate else JOB_SECONDS)
        command: tuple[str, ...] = ("upgrade", "--asynchronous", "--watch")
        while True:
            ended = self._show("failover", *command)
            self.job = wait_until("the pair job to be told", self._newest_job, 120, every=1.0)
            if self.job["state"] in ("finished", "undone"):
                self._note_end(self.job)
            if self.job["state"] == "finished":
                return
            if self.gate is None or time.monotonic() > deadline:
                why = self.job["error"] or self.job["sentence"]
                raise LabFailure(f"The pair job is {self.job['state']} (the command ended with {ended}): {why}")
            if self.job["state"] == "undone":
                command = ("upgrade", "--asynchronous", "--watch")
                self._grant_again()
            elif self.job["state"] == "needs-a-person":
                self._show("failover", "resume", self.job["id"])
                command = ("watch", self.job["id"])
            else:
                command = ("watch", self.job["id"])
            time.sleep(1.0)

    def _newest_job(self) -> dict[str, Any] | None:
        """Return the newest pair job; where processes are killed nobody may answer at this very moment."""
        try:
            return next(iter(self.pair.jobs()), None)
        except LabFailure:
            return None

    def _grant_again(self) -> None:
        """A grant is for one upgrade."""
        for one in self.pair:
            with contextlib.suppress(LabFailure):  # it is killed just now; the job will say what it lacks
                one.appliance.control("grant-pair-upgrade")

    def _show(self, *arguments: str) -> int:
        """Run a command on A and show what it prints, live; return how it ended. The file sets out at its moment.

        The command itself writes the beginning of the job, so it asks at the gate too, as one of A's.
        """
        folder = str(self.pair.a.appliance.folder)
        program = self.world.start(
            "-".join(arguments[:2]),
            [*self.world.staffetta, *arguments, "--appliance", folder],
            env={**self.gate.environment, "STAFFETTA_APPLIANCE": folder} if self.gate else {},
            pipe=True,
        )
        assert program.process.stdout is not None
        for raw in program.process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.world.say(f"    {line}")
            self._see_records()
            self.at_progress(line)
            if CARRY_FROM in line and self.carriage is None:
                self.carriage = self.technician.carry(
                    "computer-2",
                    self.options.megabytes or MEGABYTES,
                    MEGABYTES_A_SECOND,
                    again=AGAIN_SECONDS if self.gate else 0.0,
                )
        return program.process.wait(60)

    def at_progress(self, line: str) -> None:
        """Called at each line that the upgrade's command prints, for whoever tells the story and wants to look then."""

    def _see_records(self) -> None:
        """Remember every record that either appliance has at this moment: none may be lost on the way."""
        self.seen |= self.pair.a.keys() | self.pair.b.keys()

    def _note_end(self, job: dict[str, Any]) -> None:
        seconds = timeline.moment(job["ended"]) - timeline.moment(job["started"])
        self.report.upgrades.append(
            {"kind": "pair", "version": NEW, "state": job["state"], "seconds": round(seconds, 2), "error": job["error"]}
        )

    def _tell_steps(self, job: dict[str, Any]) -> None:
        """Put the pair job's own steps into the report."""
        for step in job["steps"]:
            began = timeline.moment(step["started"])
            took = StepTaken(step["step"], step["appliance"], step["seconds"] or 0.0, step["evidence"], round(began, 3))
            self.report.steps.append(took)

    def leave(self) -> str:
        """The technician finishes: each session is compared key by key, the file by its hash."""
        assert self.carriage is not None
        self.report.sessions += [work.finish(self.admin) for work in self.work]
        self.report.sessions.append(self.carriage.finish(self.admin))
        return f"{len(self.report.sessions)} sessions compared"

    def follow(self) -> str:
        """The Jump Clients follow their site, never more at once than the limit."""
        return self.follow_site(self.admin, upgraded=True)

    def compare(self) -> str:
        """The newer release is seen on both, both hold the same records and recordings; then the verdict."""
        requests = self.count_requests()
        self.turns = next(user["turns"] for user in self.report.users if "turns" in user)
        self.report.outcome = "upgraded"
        page = self.admin.information()
        if NEW not in page:
            raise LabFailure(f"Status > Information does not show {NEW}.")
        self.report.notes.append(self.see_novelties(page, tuple(one.appliance for one in self.pair)))
        self.report.sync = self.pair.same(self.seen)
        fault = self.options.fault
        if fault and fault.is_record:
            self.report.sync = self.spoil_a_record(fault.kind)
        if self.gate:
            self.report.kills = self.gate.kills
        self._draw()
        self.report.problems += judge(self.report, expected="upgraded", kills=self.gate is not None)
        return f"{requests} requests; {'nothing was lost' if self.report.good else '; '.join(self.report.problems)}"

    def spoil_a_record(self, kind: str) -> dict[str, Any]:
        """Stop B, ``lose`` or ``copy`` a record in its database, and compare: the report must show it."""
        self.pair.stop(self.pair.b)
        {"lose": pair_data.lose_a_record, "copy": pair_data.copy_a_record}[kind](self.pair.b.appliance.folder)
        return pair_data.compare(self.pair.a.data(), self.pair.b.data(), self.seen)

    def _draw(self) -> None:
        """Put what happened when on the report's timeline."""
        report, now = self.report, time.time()
        last = max((user["finished"] for user in report.users if "turns" in user), default=now)
        report.timeline += timeline.of_traffic(self.turns, {self.job["a"]: "A", self.job["b"]: "B"}, last)
        report.timeline += timeline.of_pair_job(self.job)
        for one in self.pair:
            report.timeline += timeline.of_installs(one.side, one.administrator.jobs(), now)
        self.draw_people()

    def where_to_look(self) -> str:
        """Return what a newcomer needs to look around in the world that stays up."""
        console = shlex.join([*self.technician.console, "connect", "computer-1", "--state", str(self.technician.state)])
        site = self.pair.url
        command = shlex.join(
            [*self.world.staffetta, "failover", "status", "--appliance", str(self.pair.a.appliance.folder)]
        )
        bases = "\n".join(
            f"  Appliance {one.side}    {one.appliance.appliance_url}/appliance   admin   {one.appliance.password}"
            f"   in {one.appliance.folder}"
            for one in self.pair
        )
        return f"""
The world stays up. Look around:

{bases}
  Site           {site}/login        admin   {self.pair.a.appliance.site_password}
  Technician     {site}/login        rita    {self.technician.password}

  Your browser will warn once for each address: the certificates are the appliances' own.

  A shell on a remote computer, in a terminal of yours (leave it with: exit):

    {console}

  A command of the appliances is told which one by its folder; the same with B's folder asks appliance B:

    {command}

Ctrl-C ends everything and removes what it made.
"""
