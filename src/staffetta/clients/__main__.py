"""How a client's release starts a role: ``-m staffetta.clients jump-client --state DIR``.

Imports what the role needs and no more: an idle Jump Client holds neither the installer nor the console in memory.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from staffetta.clients import installed
from staffetta.clients.jump_client.service import serve
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import configure


def main(arguments: list[str] | None = None) -> int:
    """Run a role until it is stopped; returns the exit status, that of the error's class if one ended it."""
    parser = argparse.ArgumentParser(prog="run", description="Runs a role of this release.")
    roles = parser.add_subparsers(dest="role", required=True)
    jump_client = roles.add_parser("jump-client", help="the unattended agent")
    jump_client.add_argument("--state", type=Path, required=True, help="the client's own folder")
    given = parser.parse_args(arguments)
    try:
        client = installed.load(given.state)
        configure("jump-client", client=client.id)
        asyncio.run(serve(client))
    except StaffettaError as error:
        sys.stderr.write(f"staffetta: {error.message}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
