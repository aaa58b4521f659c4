"""`python bench/fleet_rows.py`: puts enrolled Jump Clients into a site's database that nobody runs.

Ten thousand of them as real processes would measure this machine, not the pages.
"""

import argparse
import os
from datetime import timedelta
from pathlib import Path

from staffetta.cli.site_process import become, set_up_site

NAME = "desk-{number:05d}"
GROUP = 1000


def main() -> None:
    """Enrol as many as told; each was last seen at a time of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--appliance", type=Path, required=True)
    parser.add_argument("--clients", type=int, required=True)
    given = parser.parse_args()
    owner = set_up_site(given.appliance)
    from staffetta.kernel.clock import utc_now
    from staffetta.site.fleet.models import JumpClient, Presence

    become(owner)
    now = utc_now()
    for first in range(0, given.clients, GROUP):
        numbers = range(first, min(first + GROUP, given.clients))
        made = JumpClient.objects.bulk_create(
            JumpClient(
                name=NAME.format(number=number),
                public_key=os.urandom(32),
                platform={"system": "Linux", "release": "6.1.0-40-amd64"},
                enrolled_at=now - timedelta(days=30),
                enrolled_by_token="bench",
            )
            for number in numbers
        )
        Presence.objects.bulk_create(
            Presence(
                client=client,
                holder="",
                version="0.1.0",
                last_seen=now - timedelta(minutes=number),
                detail={},
                address="192.0.2.1",
            )
            for number, client in zip(numbers, made, strict=True)
        )


if __name__ == "__main__":
    main()
