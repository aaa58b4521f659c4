"""The world that numbers are measured in: the lab's appliance, and what happens to it: an update, a stop and start."""

import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from staffetta.lab.publisher import OLD
from staffetta.lab.single import Single
from staffetta.lab.story import Options
from staffetta.lab.users.acting import trusting
from staffetta.lab.world import LabFailure, Program, World, wait_until

SETUP: Final = ("publish", "install_base", "install_site", "enrol_clients")
UPDATE_SECONDS: Final = 240.0
LEAVE_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
START_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Account:
    """What users tell of an event: requests, how many of them failed and why, the longest time without a success."""

    requests: int
    failed: int
    failures: tuple[str, ...] = ()
    longest_gap_ms: float = 0.0

    @classmethod
    def parse(cls, told: dict[str, Any]) -> "Account":
        """Read what one user's process printed."""
        gap = float(told.get("longest_gap_ms", 0.0))
        return cls(int(told["requests"]), int(told["failed"]), tuple(told["failures"]), gap)

    @classmethod
    def total(cls, accounts: Sequence["Account"]) -> "Account":
        """Return the account of all of them together."""
        return cls(
            sum(one.requests for one in accounts),
            sum(one.failed for one in accounts),
            tuple(failure for one in accounts for failure in one.failures),
            max((one.longest_gap_ms for one in accounts), default=0.0),
        )


@dataclass(frozen=True, slots=True)
class Update:
    """One update: the generation it replaced, seconds from install to committed, what watched its live progress."""

    kind: str
    version: str
    before: str
    began: float
    seconds: float
    watched: Account


class Stage:
    """An appliance at its first release with one remote computer, and the users who are there for a measurement."""

    def __init__(self, world: World, cache: Path) -> None:
        self.world = world
        self.story = Single(world, Options(cache, clients=1))
        self._minor = 1

    def set_up(self) -> None:
        """Publish, install base and site, enrol the computer, sign a technician in."""
        for step in SETUP:
            started = time.monotonic()
            evidence = getattr(self.story, step)()
            self.world.say(f"  {step.replace('_', '-'):<14} {time.monotonic() - started:6.1f} s  {evidence}")

    def publish(self, kinds: Sequence[str], count: int) -> list[str]:
        """Publish ``count`` further releases of each kind, newer than all before; return their versions in order."""
        self._minor += 1
        major = OLD.partition(".")[0]
        versions = [f"{major}.{self._minor}.{number}" for number in range(count)]
        for version in versions:
            for kind in kinds:
                self.story.publisher.publish_more(kind, version)
        self.world.say(f"  {', '.join(kinds)} {', '.join(versions)} published")
        return versions

    def user(self, kind: str, *arguments: object, password: str = "") -> Program:
        """Start a user of the lab; its account is asked for with ``account``."""
        command = [self.world.python, "-m", f"staffetta.lab.users.{kind}", *map(str, arguments)]
        return self.world.start(f"bench-{kind}", command, env={"LAB_PASSWORD": password}, pipe=True)

    def account(self, program: Program) -> Account:
        """Ask a user to stop and return what it tells."""
        return Account.parse(self.world.account(program, 90))

    def update(self, kind: str, version: str) -> Update:
        """Install one release as the administrator does, an open page watching it; return once it is committed."""
        appliance, administrator = self.story.appliance, self.story.administrator
        before = appliance.active(kind)
        began = time.monotonic()
        job = administrator.install(kind, version)
        watcher = self.user(
            "watcher", appliance.appliance_url, "--certificate", appliance.appliance_certificate, "--job", job,
            password=appliance.password,
        )  # fmt: skip
        # The watcher leaves when the page says that the job ended: asking meanwhile would load the machine.
        try:
            watcher.process.wait(UPDATE_SECONDS)
        except subprocess.TimeoutExpired:
            raise LabFailure(f"The update of {kind} to {version} did not end in {UPDATE_SECONDS:.0f} s.") from None
        watched = self.account(watcher)
        done = administrator.wait_for(job)
        if done["state"] != "committed":
            raise LabFailure(f"The update of {kind} to {version} ended {done['state']}: {done.get('error')}")
        seconds = datetime.fromisoformat(done["ended"]) - datetime.fromisoformat(done["started"])
        return Update(kind, version, before, began, seconds.total_seconds(), watched)

    def wait_gone(self, update: Update) -> None:
        """Wait until the generation that was replaced has no process left."""
        wait_until(
            f"the processes of {update.before} to leave",
            lambda: not self.story.appliance.processes(update.kind, generation=update.before),
            LEAVE_SECONDS,
            every=0.5,
        )

    def stop_start(self, stopped: float = 0.0) -> float:
        """Stop keeper, and with it all of the appliance, and start it again; return seconds until both faces answer.

        It stays stopped for ``stopped`` seconds. It is started by the lab's world, which stands for systemd.
        """
        appliance = self.story.appliance
        old = appliance.keeper()
        began = time.monotonic()
        self.world.may_start.clear()
        try:
            os.kill(old.process.pid, signal.SIGTERM)
            wait_until("keeper to stop", lambda: not old.running, STOP_SECONDS, every=0.02)
            time.sleep(stopped)
        finally:
            self.world.may_start.set()
        wait_until("the next keeper", lambda: appliance.keeper() is not old, START_SECONDS, every=0.02)
        for url, certificate in (
            (f"{appliance.site_url}/login/", appliance.site_certificate),
            (f"{appliance.appliance_url}/appliance/", appliance.appliance_certificate),
        ):
            context = trusting(certificate)
            wait_until(f"an answer of {url}", lambda url=url, context=context: _answers(url, context), START_SECONDS)  # type: ignore[misc]
        return time.monotonic() - began


def _answers(url: str, context: ssl.SSLContext) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # urllib's errors are of this kind too
        return False
