"""How a client's release starts a role: ``-m staffetta.clients jump-client --state DIR``.

Imports what the role needs and no more: an idle Jump Client holds neither the installer nor the console in memory.
``jump-client --state DIR --check`` is what the version before asks of a new one: it stays as it is.
"""

import argparse
import os
import sys
from pathlib import Path

from staffetta.clients import running
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError


def main(arguments: list[str] | None = None) -> int:
    """Run a role until it is stopped; returns the exit status, that of the error's class if one ended it."""
    parser = argparse.ArgumentParser(prog="run", description="Runs a role of this release.")
    roles = parser.add_subparsers(dest="role", required=True)
    jump_client = roles.add_parser("jump-client", help="the unattended agent")
    jump_client.add_argument("--state", type=Path, required=True, help="the client's own folder")
    jump_client.add_argument("--once", action="store_true", help="check in once, and end when there is no more to do")
    jump_client.add_argument("--check", action="store_true", help="only see whether it could run")
    stage = roles.add_parser("stage", help="verify a bundle and put its client beside this one")
    stage.add_argument("--state", type=Path, required=True, help="the client's own folder")
    stage.add_argument("--bundle", type=Path, required=True, help="the fetched file")
    stage.add_argument("--version", required=True, help="the version that the site named")
    given = parser.parse_args(arguments)
    try:
        if given.role == "stage":
            _stage(given.state, given.bundle, given.version)
        elif given.check:
            running.check(given.state)
        else:
            running.run_jump_client(given.state, once=given.once)
    except StaffettaError as error:
        sys.stderr.write(f"staffetta: {error.message}\n")
        return error.exit_status
    return 0


def _stage(root: Path, bundle: Path, version: str) -> None:
    from staffetta.clients.updating import staging

    staging.end_with_parent()
    os.nice(10)
    staging.stage(root, bundle, version, utc_now())


if __name__ == "__main__":
    sys.exit(main())
