"""A live shell session that lasts through all events of a measurement, and each event under it."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.spread import Echo
from staffetta.lab.site import SiteAdministrator, Technician, Work
from staffetta.lab.world import LabFailure, wait_until

COMPUTER: Final = "computer-1"
QUIET_SECONDS: Final = 30.0
"""Typed before the first event, for the echo of a quiet appliance."""
AFTER_SECONDS: Final = 2.0
"""An event goes on for this long after the session is back."""
BACK_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Session:
    """The session as a whole: every token's echo, how often it was resumed, whether its recording is complete."""

    echoes: Sequence[Echo]
    resumed: int
    generations: int
    recording: str


class TypedSession:
    """A technician types in it from the start of this object to ``finish``."""

    def __init__(self, technician: Technician, times: Path, quiet: float = QUIET_SECONDS) -> None:
        self._times = times
        self._work: Work = technician.work_on(COMPUTER, times=times)
        time.sleep(quiet)

    def attached(self) -> int:
        """How often it was attached to a server generation so far."""
        return len(self._attaches())

    def serving(self) -> str:
        """The server generation that serves it now."""
        return str(self._attaches()[-1]["generation"])

    def _attaches(self) -> list[dict[str, Any]]:
        return [note for note in self._work.noted() if note["event"] in ("attached", "moved", "resumed")]

    def back(self, before: int, gone: str = "") -> float:
        """Wait until it was attached again, and no longer to ``gone``; return when the event counts as over."""

        def moved() -> bool:
            if not self._work.program.running:
                raise LabFailure(f"The session ended. Its terminal:\n{self._work.program.tail()}")
            return self.attached() > before and self.serving() != gone

        wait_until("the session to be resumed", moved, BACK_SECONDS, every=0.05)
        time.sleep(AFTER_SECONDS)
        return time.monotonic()

    def finish(self, admin: SiteAdministrator) -> Session:
        """End it; keystrokes lost or doubled raise ``LabFailure``, since then no echo belongs to its token."""
        time.sleep(AFTER_SECONDS)
        told = self._work.finish(admin)
        if told["ended"] or told["lost"] or told["doubled"]:
            raise LabFailure(
                f"The session ended: {told['ended']}; keystrokes lost {told['lost']}, doubled {told['doubled']}."
            )
        found = json.loads(self._times.read_text())
        echoes = [Echo(sent, seen) for sent, seen in zip(found["sent_at"], found["echoed_at"], strict=True)]
        return Session(echoes, told["resumed"], len(told["generations"]), told["recording"])
