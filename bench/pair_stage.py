"""The world of two appliances that numbers are measured in: a pair at its first release, and what happens to it."""

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.lab.asynchronous import Asynchronous
from staffetta.lab.pair import Member
from staffetta.lab.publisher import Publisher
from staffetta.lab.story import Options
from staffetta.lab.world import LabFailure, World, wait_until

SETUP: Final = ("install", "establish", "enrol_clients")
SETTLE_SECONDS: Final = 120.0
"""So long both may take until each is in its role again and the shared address is where it must be."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A change of the primary: when it was decided, and when the command had ended, in monotonic seconds."""

    decided: float
    done: float

    @property
    def seconds(self) -> float:
        """How long the command took."""
        return self.done - self.decided


class PairStage:
    """Two appliances at one release with one remote computer; either may be the primary."""

    def __init__(self, world: World, cache: Path) -> None:
        self.world = world
        self.story = Asynchronous(world, Options(cache, clients=1))

    def set_up(self) -> None:
        """Publish the older release alone, install both appliances, make them a pair, enrol the computer."""
        story = self.story
        started = time.monotonic()
        story.publisher = Publisher(self.world, story.options.cache)
        story.published = story.publisher.publish_older()
        self._say("publish", started, "the older release alone")
        for step in SETUP:
            started = time.monotonic()
            self._say(step.replace("_", "-"), started, getattr(story, step)())

    def _say(self, step: str, started: float, evidence: str) -> None:
        self.world.say(f"  {step:<14} {time.monotonic() - started:6.1f} s  {evidence}")

    def roles(self) -> tuple[Member, Member]:
        """Return the primary and its backup."""
        found = {member.status()["role"]: member for member in self.story.pair}
        if set(found) != {"primary", "backup"}:
            raise LabFailure(f"The two appliances are {' and '.join(found)}, not a primary and its backup.")
        return found["primary"], found["backup"]

    def promote(self, member: Member, *, sync: bool) -> Turn:
        """Make the backup the primary by the public command, as an administrator decides it."""
        decided = time.monotonic()
        member.failover("become-primary", "--sync" if sync else "--no-sync", "--yes")
        return Turn(decided, time.monotonic())

    def kill(self, member: Member) -> None:
        """Kill an appliance's keeper and all its children at once, as when its power goes; it stays away."""
        keeper = member.appliance.keeper()
        self.world.may_start.clear()
        for pid in (keeper.process.pid, *self._children(member)):
            os.kill(pid, signal.SIGKILL)
        wait_until("the killed processes to be gone", lambda: not keeper.running and not self._children(member), 30)

    def bring_back(self, member: Member) -> None:
        """Let the appliance's keeper be started again, as when its power is back."""
        old = member.appliance.keeper()
        self.world.may_start.set()
        wait_until("the next keeper", lambda: member.appliance.keeper() is not old, 30)

    def settle(self, primary: Member, backup: Member) -> None:
        """Wait until both are in their roles, the shared address is at the primary alone, and all is synced."""

        def settled() -> bool:
            try:
                roles = [one.status()["role"] for one in (primary, backup)]
                places = [self._shared(one) for one in (primary, backup)]
            except LabFailure:  # it is only just coming up
                return False
            return roles == ["primary", "backup"] and places == ["held", "released"]

        wait_until("the pair to settle", settled, SETTLE_SECONDS, every=1)
        backup.failover("sync-now", "--wait")

    @staticmethod
    def _shared(member: Member) -> str:
        return str(json.loads(member.appliance.control("shared-address", "status", "--json"))["state"])

    @staticmethod
    def _children(member: Member) -> Sequence[int]:
        return [pid for program in ("base", "site") for pid in member.appliance.processes(program)]
