"""Installs that the site's pair job asks for: once per (pair job, step), and only what a person here has granted.

The install journal is the only memory: its jobs name the pair job and the step as who began them.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from staffetta.base.errors import PairRequestInvalid, StepTaken, UnknownName
from staffetta.base.installs.record import JobRecord
from staffetta.base.installs.service import Installs
from staffetta.base.pairing.grants import Grants
from staffetta.base.updates.service import UpdateService
from staffetta.control.appliance import Job

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ACTOR: Final = "pair job "


class PairInstalls:
    """Begins and shows install jobs of pair jobs."""

    def __init__(self, installs: Installs, updates: UpdateService, grants: Grants) -> None:
        self._installs = installs
        self._updates = updates
        self._grants = grants
        self._beginning = asyncio.Lock()

    async def begin(self, job: str, step: str, target: str) -> str:
        """The install job for this step: the one that was begun for it before, or a new one.

        Raises NotGranted, StepTaken, and what an administrator would meet: JobUnderWay, PrerequisiteUnmet,
        EulaNotAccepted, UnknownName. Signatures and room are judged by the job itself, before it changes anything.
        """
        for what, word in (("job", job), ("step", step)):
            if not _WORD.fullmatch(word):
                raise PairRequestInvalid(f"The {what} of a pair job is a short word, not {word!r:.80}.")
        actor = f"{_ACTOR}{job}, step {step}"
        async with self._beginning:
            known = self._known(actor)
            if known is not None:
                if known.target != target:
                    raise StepTaken(f"For the step {step} of pair job {job}, {known.target} was begun, not {target}.")
                return known.id
            self._installs.require_free()
            await asyncio.to_thread(self._grants.require, job)
            wanted = await asyncio.to_thread(self._updates.want, target, actor)
            await asyncio.to_thread(self._grants.use, job)
            return await self._installs.begin(wanted)

    def job(self, job: str) -> Job:
        """An install job of a pair job. Raises UnknownName for any other."""
        seen = self._installs.feed.job(job)
        if not seen.actor.startswith(_ACTOR):
            raise UnknownName(f"No pair job began the install job {job}.")
        return seen

    def _known(self, actor: str) -> JobRecord | None:
        return next((one for one in self._installs.journal.jobs.values() if one.actor == actor), None)
