"""Licence agreements: their texts as verified, and who accepted which and when (U8).

An agreement is its text's SHA-256: what was read is what is accepted, and a changed text asks anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from staffetta.base.errors import BaseError, InstallRefused, UnknownName
from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import Damaged, StaffettaError
from staffetta.kernel.files import write_atomically


class AgreementsDamaged(BaseError, Damaged):
    """The file of acceptances cannot be read."""

    code = "agreements-damaged"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One agreement's text."""

    sha256: str
    text: str
    accepted_by: str | None = None
    accepted_at: datetime | None = None

    @property
    def is_accepted(self) -> bool:
        return self.accepted_at is not None


class Agreements:
    """The durable list of agreements, in the order in which they came."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self) -> tuple[Agreement, ...]:
        try:
            listed = json.loads(self._path.read_bytes())
            return tuple(
                Agreement(
                    sha256=fields["sha256"],
                    text=fields["text"],
                    accepted_by=fields["accepted_by"],
                    accepted_at=None if fields["accepted_at"] is None else parse_time(fields["accepted_at"]),
                )
                for fields in listed
            )
        except FileNotFoundError:
            return ()
        except (ValueError, KeyError, TypeError, StaffettaError):
            raise AgreementsDamaged(
                f"{self._path} is damaged; remove it and accept the licence agreement again."
            ) from None

    def find(self, sha256: str) -> Agreement | None:
        return next((each for each in self.known() if each.sha256 == sha256), None)

    def is_accepted(self, sha256: str | None) -> bool:
        """Whether a package with this agreement may be installed; one without an agreement may."""
        if sha256 is None:
            return True
        agreement = self.find(sha256)
        return agreement is not None and agreement.is_accepted

    def all_accepted(self) -> bool:
        """Whether there is an agreement and none waits for acceptance."""
        known = self.known()
        return bool(known) and all(each.is_accepted for each in known)

    def note(self, sha256: str, text: str) -> None:
        """Keep the text of an agreement, to be shown and accepted."""
        if self.find(sha256) is None:
            self._write((*self.known(), Agreement(sha256, text)))

    def to_show(self) -> Agreement:
        """The newest agreement that waits for acceptance, else the newest accepted. Raises UnknownName for none."""
        known = self.known()
        waiting = [each for each in known if not each.is_accepted]
        if not known:
            raise UnknownName("No package on offer has a licence agreement. Check for updates first.")
        return (waiting or known)[-1]

    def accept(self, sha256: str, actor: str, at: datetime) -> None:
        """Write down who accepted what, and when. Raises UnknownName for a text that was never shown."""
        if not actor:
            raise InstallRefused("Who accepts the licence agreement must be named.")
        agreement = self.find(sha256)
        if agreement is None:
            raise UnknownName(
                "There is no licence agreement with this SHA-256; show it again and accept what is shown."
            )
        if agreement.is_accepted:
            return
        accepted = Agreement(sha256, agreement.text, actor, at)
        self._write(tuple(accepted if each.sha256 == sha256 else each for each in self.known()))

    def _write(self, agreements: tuple[Agreement, ...]) -> None:
        listed = [
            {
                "sha256": each.sha256,
                "text": each.text,
                "accepted_by": each.accepted_by,
                "accepted_at": None if each.accepted_at is None else format_time(each.accepted_at),
            }
            for each in agreements
        ]
        write_atomically(self._path, json.dumps(listed, indent=1).encode())
