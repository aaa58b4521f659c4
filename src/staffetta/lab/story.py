"""What every story shares: steps taken in order with their evidence, users who come and go, what they told."""

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from staffetta.kernel.errors import InvalidInput, Unavailable
from staffetta.lab import timeline
from staffetta.lab.appliance import Appliance
from staffetta.lab.faults import LIST, Fault, Gate
from staffetta.lab.measures import most_at_once
from staffetta.lab.overlay import CAPABILITY, VISIBLE
from staffetta.lab.ports import free_port
from staffetta.lab.previous import commit_of, previous_tree
from staffetta.lab.publisher import NEW, OLD, Published, Publisher
from staffetta.lab.report import Report, StepTaken
from staffetta.lab.site import PassiveHabits, RemoteComputer, SiteAdministrator, Technician
from staffetta.lab.world import LabFailure, Program, World, wait_until

CHECK_IN_SECONDS: Final = 20.0
"""How often the lab's passive Jump Clients check in; in the world it is every 24 hours."""
WORKED_ON: Final = 3
"""So many computers a technician works on: these are always active ones."""
FOLLOW_SECONDS: Final = 300.0
KILLED_FOLLOW_SECONDS: Final = 900.0
"""A Jump Client whose question nobody answered, since the gateway was killed, asks again after five minutes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a story may be told: where builds are cached, how many Jump Clients and of what size the file that is moved
    (its own numbers if None), a fault.

    ``previous``: the older release is the one before this tree, not this tree.
    """

    cache: Path
    clients: int | None = None
    fault: Fault | None = None
    seed: int = 0
    previous: bool = False
    megabytes: int | None = None


class Story(ABC):
    """One run of a story in a world. A step ``enrol-clients`` is the method ``enrol_clients``; it returns evidence."""

    name: ClassVar[str]
    about: ClassVar[str]
    """One line for the list of stories."""
    steps: ClassVar[tuple[str, ...]]
    clients: ClassVar[int]
    """How many Jump Clients it has if it is not told."""
    passive: ClassVar[int] = 0
    """How many of them are passive ones."""
    at_once: ClassVar[int]
    """*Maximum simultaneous Jump Client upgrades*."""
    from_previous: ClassVar[bool] = False
    """Whether the previous release can do all that the story asks of the older one."""

    def __init__(self, world: World, options: Options) -> None:
        self.world = world
        self.options = options
        fault = options.fault
        if fault is not None and not self.knows(fault):
            raise InvalidInput(f"The story {self.name} does not know the fault {fault}. Known:\n{LIST}")
        if options.previous and not self.from_previous:
            raise InvalidInput(f"The story {self.name} cannot begin at the previous release, which knew no pair.")
        self.report = Report(self.name, world=str(world.folder))
        self.users: list[tuple[str, Program]] = []
        self.computers: list[RemoteComputer] = []
        self.published: Published
        self.publisher: Publisher
        self.technician: Technician
        self.gate = Gate(world, fault, options.seed) if fault and fault.is_kill else None

    @staticmethod
    @abstractmethod
    def knows(fault: Fault) -> bool:
        """Whether the fault can be brought about in this story."""

    @abstractmethod
    def where_to_look(self) -> str:
        """Return what a newcomer needs to look around in the world that stays up."""

    def side(self, step: str) -> str:
        """Return which appliances a step is taken on: A, B, or both."""
        return "A"

    def run(self) -> Report:
        """Take every step; a step that fails ends the story as ``failed`` with its reason."""
        self.report.began = time.time()
        for name in self.steps:
            began, started = time.time(), time.monotonic()
            try:
                evidence = getattr(self, name.replace("-", "_"))()
            except Exception as error:
                self._took(name, began, started, f"failed: {error}")
                self.report.problems.append(f"the step {name} failed: {error}")
                raise
            finally:
                self.report.ended = time.time()
            self._took(name, began, started, evidence)
            self.world.say(f"{name:<16} {time.monotonic() - started:6.1f} s  {evidence}")
        return self.report

    def _took(self, name: str, began: float, started: float, evidence: str) -> None:
        seconds = round(time.monotonic() - started, 2)
        self.report.steps.append(StepTaken(name, self.side(name), seconds, evidence, round(began, 3)))

    def publish(self) -> str:
        """The vendor builds, signs and serves two releases of base and of site."""
        fault = self.options.fault
        came = ""
        if self.options.previous:
            self.world.older = previous_tree(self.world.source, self.world.folder / "previous")
            came = f", {OLD} from commit {commit_of(self.world.source)[:12]}"
        self.publisher = Publisher(self.world, self.options.cache)
        self.published = self.publisher.publish(fault.kind if fault and fault.is_unhealthy else "")
        return f"base and site {OLD} and {NEW} signed{came}; update server at {self.published.url}"

    def enrol(self, admin: SiteAdministrator, appliance: Appliance, technician: str) -> str:
        """Bring Jump Clients in by an installer token and sign a technician's console in."""
        count = self.options.clients or self.clients
        password = admin.make_technician(technician)
        token = admin.installer_token(count)
        names = [f"computer-{number}" for number in range(1, count + 1)]
        passive = self._passive_of(count)
        habits = [None] * (count - passive) + [PassiveHabits(CHECK_IN_SECONDS, free_port()) for _ in range(passive)]
        with ThreadPoolExecutor(2) as pool:
            self.computers = list(
                pool.map(
                    lambda name, how: RemoteComputer.install(self.world, name, token, self.published.root, how),
                    names,
                    habits,
                )
            )
        self.technician = Technician(appliance, technician, password, admin.identity())
        self.technician.sign_in()
        if self.options.previous:
            return f"{len(self.computers)} Jump Clients enrolled, of a release that does not update itself"
        admin.limit_upgrades(self.at_once)
        if passive:
            self.report.notes.append(
                f"A passive Jump Client checks in every {CHECK_IN_SECONDS:.0f} s here, instead of every 24 hours."
            )
        return (
            f"{len(self.computers)} Jump Clients enrolled, {count - passive} active and {passive} passive, "
            f"{self.at_once} may upgrade at a time"
        )

    def _passive_of(self, count: int) -> int:
        """Return how many of so many Jump Clients are passive: the last ones; the first are worked on."""
        return 0 if self.options.previous else min(self.passive, max(0, count - WORKED_ON))

    def broken_keystroke(self) -> str:
        """Return the fault that a typist brings about, as its ``--break`` takes it; empty if there is none."""
        fault = self.options.fault
        return str(fault) if fault and fault.is_keystroke else ""

    def user(self, name: str, kind: str, *arguments: Any, password: str = "") -> Program:
        """Start a user of the lab; its account is asked for when the users are dismissed."""
        env = {"LAB_PASSWORD": password} if password else {}
        command = [self.world.python, "-m", f"staffetta.lab.users.{kind}", *map(str, arguments)]
        slug = name.replace(",", "").replace(" ", "-")
        program = self.world.start(slug, command, env={**os.environ, **env}, pipe=True)
        self.users.append((name, program))
        return program

    def dismiss_users(self) -> list[dict[str, Any]]:
        """Ask every user to stop and return their accounts."""
        accounts = [{"name": name, **self.world.account(program, 90)} for name, program in self.users]
        self.users.clear()
        return accounts

    def count_requests(self) -> int:
        """Dismiss the users, note what they told, return how many requests they made."""
        self.report.users += self.dismiss_users()
        users, http = self.report.users, self.report.http
        http["requests"] = sum(user["requests"] for user in users)
        http["failed"] = sum(user["failed"] for user in users)
        http["longest_gap_ms"] = max(
            (user.get("longest_gap_ms", 0.0) for user in users if "new connections" in user["name"]), default=0.0
        )
        for user in users:
            self.report.notes.extend(f"{user['name']}: {failure}" for failure in user.get("failures", [])[:5])
        requests: int = http["requests"]
        return requests

    def follow_site(self, admin: SiteAdministrator, *, upgraded: bool) -> str:
        """Wait until the Jump Clients have followed; note it for the report, from their own logs and the site's page.

        Who holds a session follows when that has ended. Clients of the previous release cannot update themselves: that
        they all stay connected is what counts.
        """
        if self.options.previous:
            return self._stayed(admin) if upgraded else "the site is the previous release's, and so are its clients"
        if upgraded:
            with contextlib.suppress(Unavailable):  # the report says how many have not
                seconds = KILLED_FOLLOW_SECONDS if self.gate else FOLLOW_SECONDS
                wait_until("the Jump Clients to follow", lambda: _on_newer(admin) == len(self.computers), seconds, 1)
        found = admin.fleet()
        spans = [span for computer in self.computers for span in computer.upgrade_spans()]
        self.report.fleet = {
            "clients": len(found["clients"]),
            "updated": _on_newer(admin),
            "limit": found["limit"],
            "most_at_once": most_at_once(spans),
            **{"active": 0, "passive": 0, **Counter(str(one.get("mode", "active")) for one in found["clients"])},
            "check_ins": sum(computer.check_ins() for computer in self.computers),
            "versions": dict(Counter(str(one["version"]) for one in found["clients"])),
        }
        told = self.report.fleet
        return (
            f"{told['updated']} of {told['clients']} Jump Clients are on {NEW}: {told['active']} active, "
            f"{told['passive']} passive, which have checked in {told['check_ins']} times"
        )

    def draw_people(self) -> None:
        """Put sessions, Jump Clients and users on the report's timeline."""
        report = self.report
        for session in report.sessions:
            report.timeline += timeline.of_session(session)
        for computer in self.computers:
            report.timeline += timeline.of_computer(computer.name, computer.upgrade_spans())
        for user in report.users:
            report.timeline += timeline.of_user(user["name"], user)

    def _stayed(self, admin: SiteAdministrator) -> str:
        wait_until(
            "all Jump Clients of the previous release to be online on the newer site",
            lambda: sum(one["online"] for one in admin.fleet()["clients"]) == len(self.computers),
            60,
            every=1,
        )
        versions = dict(Counter(str(one["version"]) for one in admin.fleet()["clients"]))
        self.report.notes.append(f"clients of the previous release stay at their version: {versions}")
        return f"all {len(self.computers)} Jump Clients are online at {OLD}: they cannot update themselves yet"

    def see_novelties(self, page: str, appliances: tuple[Appliance, ...]) -> str:
        """Assert what the newer release brings: migration, synced field, capability, visible change."""
        missing = []
        if VISIBLE not in page:
            missing.append("the visible change")
        batons = [one.batons() for one in appliances]
        missing += [f"the migration on {one.name}" for one, found in zip(appliances, batons, strict=True) if not found]
        if not all(found == batons[0] and all(found.values()) for found in batons):
            missing.append(f"the same values of the new field everywhere ({batons})")
        told = self.computers[-1].site_capabilities()
        if CAPABILITY not in told:
            missing.append(f"the capability (the Jump Client was told {told})")
        if missing:
            raise LabFailure(f"The newer release lacks {', '.join(missing)}.")
        return "the newer release shows its migration, its new field, its wire capability and its visible change"

    def wait_gone(self, appliance: Appliance, program: str, generation: str) -> None:
        """Wait until a generation has no process left."""
        wait_until(
            f"the processes of {generation} to leave",
            lambda: not appliance.processes(program, generation=generation),
            90,
            every=0.5,
        )


def _on_newer(admin: SiteAdministrator) -> int:
    """How many have come with the newer version; a passive client has gone again by now."""
    clients = admin.fleet()["clients"]
    return sum(one["version"] == NEW and (one["online"] or one.get("mode") == "passive") for one in clients)
