"""`python -m staffetta.keeper --appliance DIR`: keeper of one appliance, in the foreground, until SIGTERM."""

import argparse
import fcntl
import os
import sys
from pathlib import Path

from staffetta.keeper import Refusal
from staffetta.keeper.config import load_config
from staffetta.keeper.privileged import Machine
from staffetta.keeper.serving import Keeper


def main() -> int:
    """Exit status 0 after SIGTERM, 2 for a wrong configuration, 5 when another keeper has the appliance."""
    parser = argparse.ArgumentParser(prog="staffetta-keeper", description=__doc__)
    parser.add_argument("--appliance", type=Path, required=True, metavar="DIR")
    root = parser.parse_args().appliance.absolute()
    os.umask(0o022)
    try:
        config = load_config(root)
        # Held until this process is gone: two keepers would fight over the same sockets and generations.
        lock = os.open(root / "keeper" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"Another keeper runs for {root}.\n")
            return 5
        return Keeper(config, Machine()).run()
    except (Refusal, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
