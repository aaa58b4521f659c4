"""Before anything else of a client's release is imported: finish or undo what a killed or broken update left behind.

- The starts of a new version are counted here, so one that dies again and again before it has reached the site is gone
  back from, whoever starts it.
- Nothing but the standard library and ``kernel`` is imported: this must work in a release that is broken.
- The journal is held for as long as the client runs: one process at a time is this client.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from staffetta.clients.updating import plan
from staffetta.clients.updating.plan import AtStart, Pending
from staffetta.kernel.clock import format_time, utc_now
from staffetta.kernel.files import replace_link, write_atomically
from staffetta.kernel.journal import Gate, Journal, JournalDamaged, gate_from_environment
from staffetta.kernel.log import get_logger

JOURNAL: Final = "updates.journal"
RELEASES: Final = "releases"
CURRENT: Final = "current"
MANIFEST: Final = "manifest.json"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an installed client lives: its state folder, and the release that runs now."""

    root: Path
    running: str

    @property
    def releases(self) -> Path:
        """The folder of its releases."""
        return self.root / RELEASES

    @classmethod
    def of(cls, root: Path) -> "Place | None":
        """Return the place if this process runs from one of the releases in ``root``, else None."""
        release = Path(sys.prefix).resolve()
        installed = release.parent == (root / RELEASES).resolve() and (release / MANIFEST).is_file()
        return cls(root.resolve(), release.name) if installed else None

    def current(self) -> str:
        """Return the version that ``current`` leads to; empty when it leads nowhere."""
        try:
            return str((self.releases / CURRENT).readlink())
        except OSError:
            return ""

    def on_disk(self) -> frozenset[str]:
        """Return the versions that are whole on the disk: those with a name of their own."""
        return frozenset(path.name for path in self.releases.iterdir() if path.is_dir() and path.name[:1].isdigit())


class Updates:
    """The journal of a client's updates, and the two steps that change which release runs."""

    def __init__(self, place: Place) -> None:
        """Open it; raises ``JournalHeld`` when another process is this client already."""
        self.place = place
        path = place.root / JOURNAL
        gate = gate_from_environment()
        try:
            self._journal = _shortened(place, Journal(path, gate), gate)
        except JournalDamaged as error:
            _log.error("the journal of updates is damaged and is begun anew", extra={"why": error.message})
            path.replace(path.with_name(f"{JOURNAL}.damaged"))
            self._journal = Journal(path, gate)
        self.progress = plan.read(entry.data for entry in self._journal.entries)

    def note(self, step: str, version: str, **more: Any) -> None:
        """Write a step down, durably."""
        entry = self._journal.append({"step": step, "version": version, "at": format_time(utc_now()), **more})
        self.progress = plan.read(one.data for one in self._journal.entries)
        _log.info("update: %s", step, extra={"version": version, **{key: entry.data[key] for key in more}})

    def flip(self, version: str) -> None:
        """Let ``current`` lead to a version that must prove itself."""
        self.note("flip", version, previous=self.place.running)
        replace_link(self.place.releases / CURRENT, version)

    def go_back(self, pending: Pending, why: str) -> None:
        """Let ``current`` lead to the version before a new one that did not prove itself."""
        self.note("back", pending.version, previous=pending.previous, why=why)
        replace_link(self.place.releases / CURRENT, pending.previous)

    def may_go_back(self) -> Pending | None:
        """Return the update that is not proven, if the version before it is still there."""
        pending = self.progress.pending
        return pending if pending is not None and pending.previous in self.place.on_disk() else None

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()


def begin(root: Path, *, once: bool = False) -> Updates | None:
    """Put right what the last update left behind; None for a client that is not run from an installed release.

    Does not return when another release is to run: this process becomes that one. ``once``: for one check-in alone.
    """
    place = Place.of(root)
    if place is None:
        return None
    updates = Updates(place)
    progress = updates.progress
    pending, back = progress.pending, progress.back
    what = plan.at_start(progress, place.running, place.current(), place.on_disk())
    match what:
        case AtStart.GO_ON | AtStart.RUN_CURRENT:
            pass
        case AtStart.COUNT:
            assert pending is not None
            try:
                updates.note("started", pending.version)
            except OSError as error:
                _log.error("this start cannot be counted", extra={"why": str(error)})
        case AtStart.FLIP:
            assert pending is not None
            replace_link(place.releases / CURRENT, pending.version)
        case AtStart.BACK:
            assert pending is not None
            updates.go_back(pending, "it was started again and again and did not reach the site")
        case AtStart.RESUME_BACK:
            assert back is not None
            replace_link(place.releases / CURRENT, back.previous)
    if what not in (AtStart.GO_ON, AtStart.COUNT) and place.current() != place.running:
        run_current(updates, once=once)
    return updates


def run_current(updates: Updates, *, once: bool = False) -> NoReturn:
    """Become the release that ``current`` leads to; the process, its terminal and its log stay."""
    updates.close()
    run = updates.place.releases / CURRENT / "bin" / "run"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(run, command(updates.place.root, once=once))  # noqa: S606 - our own release, no shell


def command(root: Path, *, once: bool = False) -> list[str]:
    """Return how the installed client of a folder is started; ``once`` for one check-in, after which it ends."""
    run = str(root / RELEASES / CURRENT / "bin" / "run")
    return [run, "jump-client", "--state", str(root), *(["--once"] if once else [])]


def _shortened(place: Place, journal: Journal, gate: Gate | None) -> Journal:
    """Begin a long journal anew, if nothing is under way in it. It is held all the time."""
    progress = plan.read(entry.data for entry in journal.entries)
    returning = progress.back is not None and place.current() == progress.back.version
    if len(journal.entries) <= plan.ENTRIES_KEPT or progress.pending is not None or returning:
        return journal
    lines = [json.dumps(entry, separators=(",", ":"), sort_keys=True) + "\n" for entry in plan.kept(progress)]
    try:
        write_atomically(journal.path, "".join(lines).encode())
    except OSError as error:
        _log.error("the journal of updates cannot be shortened", extra={"why": str(error)})
        return journal
    shorter = Journal(journal.path, gate)
    journal.close()
    return shorter
