"""Running a Jump Client from one version to the next: put right what was left behind, serve, become another release.

What serves is imported only after ``starting`` has counted this start, so that a release that cannot be imported is
gone back from.
"""

import asyncio
import importlib
from pathlib import Path
from typing import Final

from staffetta.clients.updating import starting
from staffetta.clients.updating.starting import Updates
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import configure

SERVICE: Final = "staffetta.clients.jump_client.service"
REVOKED: Final = "revoked"


def run_jump_client(root: Path, *, once: bool = False) -> None:
    """Run the enrolled Jump Client, and after an update its new version in its place; ``once``: for one check-in."""
    configure("jump-client")
    updates = starting.begin(root, once=once)
    if updates is None:
        _serve(root, None, once)
        return
    try:
        again = _serve(root, updates, once)
    except Exception as error:
        pending = updates.may_go_back()
        why = error.message if isinstance(error, StaffettaError) else repr(error)
        if pending is None or (isinstance(error, StaffettaError) and error.code == REVOKED):
            raise  # struck off by the site: no other version would fare better
        updates.go_back(pending, f"it failed before it had reached the site: {why}")
        again = True
    if again:
        starting.run_current(updates, once=once)


def check(root: Path) -> None:
    """See whether the Jump Client of a folder could be run by this release: everything is there and can be read."""
    from staffetta.clients import installed

    importlib.import_module(SERVICE)
    installed.load(root)


def _serve(root: Path, updates: Updates | None, once: bool) -> bool:
    from staffetta.clients import installed
    from staffetta.clients.jump_client.service import serve

    client = installed.load(root)
    configure("jump-client", client=client.id)
    return asyncio.run(serve(client, updates, once=once))
