"""Who has permitted a pair upgrade on this appliance, and until when: the one grant there can be, in one file.

A grant is given by an administrator of this appliance alone, lasts for hours, and serves one pair job: the first
that uses it. The site cannot give one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from staffetta.base.errors import GrantDamaged, GrantRefused, NotGranted
from staffetta.control.local import from_json, to_json
from staffetta.control.pairing import LEAST_HOURS, MOST_HOURS, Grant
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.files import write_atomically

HOW: str = (
    "An administrator of this appliance permits it at /appliance > Updates > Pair upgrade, or with "
    "`staffetta appliance grant-pair-upgrade`."
)


class Grants:
    """`now` is the trusted time, so that a clock set back revives nothing."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._writing = threading.Lock()  # each is asked in a thread of its own; what was withdrawn stays so

    def current(self) -> Grant | None:
        """The grant in force. Raises GrantDamaged."""
        grant = self._read()
        return grant if grant is not None and self._now() < grant.until else None

    def give(self, hours: int, actor: str) -> Grant:
        """Permit one pair upgrade; takes the place of a grant that is there."""
        if not LEAST_HOURS <= hours <= MOST_HOURS:
            raise GrantRefused(f"A pair upgrade is permitted for {LEAST_HOURS} to {MOST_HOURS} hours, not {hours}.")
        now = self._now()
        grant = Grant(granted_by=actor, granted_at=now, until=now + timedelta(hours=hours))
        with self._writing:
            self._write(grant)
        return grant

    def withdraw(self) -> None:
        """Permit nothing any more; what is being installed is installed to its end."""
        with self._writing:
            self._write(None)

    def require(self, job: str) -> Grant:
        """The grant that this pair job may use. Raises NotGranted."""
        grant = self.current()
        if grant is None:
            raise NotGranted(f"Nobody has permitted a pair upgrade on this appliance, or the time is over. {HOW}")
        if grant.job not in (None, job):
            raise NotGranted(f"The permission of {grant.granted_by} was used by the pair job {grant.job}. {HOW}")
        return grant

    def use(self, job: str) -> Grant:
        """The same, and it is bound to this pair job from now on. Raises NotGranted."""
        with self._writing:
            grant = self.require(job)
            if grant.job is None:
                grant = replace(grant, job=job)
                self._write(grant)
        return grant

    def _read(self) -> Grant | None:
        try:
            fields: Any = json.loads(self._path.read_bytes())
            return None if fields is None else from_json(Grant, fields)
        except FileNotFoundError:
            return None
        except (ValueError, StaffettaError):
            raise GrantDamaged(f"{self._path} is damaged; remove it and grant the pair upgrade again.") from None

    def _write(self, grant: Grant | None) -> None:
        write_atomically(self._path, json.dumps(to_json(grant)).encode())
