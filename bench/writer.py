"""`python bench/writer.py`: appends records at a steady rate on an appliance's site, as its programs do.

There is no public way that is fast enough: a record is written by what happens to a user.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Final

from staffetta.cli.site_process import become, set_up_site

KIND: Final = "bench.note"
TICK_SECONDS: Final = 0.05
"""What falls due within this time is written in one transaction, as a gateway writes what has happened meanwhile."""


def main() -> None:
    """Write for as long as told, at the rate told; print how many were written and how late the latest was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--appliance", type=Path, required=True)
    parser.add_argument("--rate", type=int, required=True, help="records a second")
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    owner = set_up_site(given.appliance)
    from django.db import transaction

    from staffetta.site.data import records

    become(owner)
    began = time.monotonic()
    written, latest = 0, 0.0
    while (now := time.monotonic() - began) < given.seconds:
        due = int(now * given.rate)
        if due > written:
            with transaction.atomic():
                for number in range(written, due):
                    records.append(KIND, {"number": number})
            latest = max(latest, time.monotonic() - began - written / given.rate)
            written = due
        time.sleep(TICK_SECONDS)
    seconds = time.monotonic() - began
    sys.stdout.write(json.dumps({"written": written, "seconds": round(seconds, 3), "latest": round(latest, 3)}) + "\n")


if __name__ == "__main__":
    main()
