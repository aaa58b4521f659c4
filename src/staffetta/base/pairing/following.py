"""The shared address follows the role: what the site says it is, asked of it again and again while base is active."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from staffetta.base.pairing.shared import SharedAddressService
from staffetta.base.status import StatusService
from staffetta.control.private import Facts
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger

_log = get_logger(__name__)

LOOK_SECONDS: Final = 1.0


class Following:
    """Runs between `start` and `stop`. A site that does not answer changes nothing: it may be restarting."""

    def __init__(self, shared: SharedAddressService, status: StatusService) -> None:
        self._shared = shared
        self._status = status
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._said: str | None = None

    def start(self) -> None:
        """Begin to look; nothing to do on an appliance without a shared address."""
        if self._task is None and self._shared.exists:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more; what is held stays held."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait({task})

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    async def look(self) -> None:
        """Ask the site once, and follow. Raises what keeper or a damaged file answers."""
        facts = await self._status.site_facts()
        if facts is not None:
            await self._shared.follow(*role_of(facts), facts.peer_role or "")

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.look()
                self._said = None
            except Exception as error:  # noqa: BLE001 - looking goes on, whatever the site answered
                if str(error) != self._said:
                    self._said = str(error)
                    expected = isinstance(error, (StaffettaError, OSError))
                    _log.warning("the shared address cannot follow the role: %s", error, exc_info=not expected)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)


def role_of(facts: Facts) -> tuple[str, int]:
    """The role and its term; a site that knows of no pair is alone."""
    return facts.role or "alone", facts.role_term or 0
