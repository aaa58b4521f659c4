"""A user who asks at the shared address, on new connections, which appliance is there, and notes each time it turns.

The appliance's answer to its peer's first question names its origin; anybody may ask that.
"""

import argparse
import asyncio
import base64
import os
import time
from pathlib import Path
from typing import Any

import aiohttp

from staffetta.lab.users.acting import act, pause, trusting

PATH = "/pair/v1/hello"


async def watch(stop: asyncio.Event, given: argparse.Namespace) -> dict[str, Any]:
    """Ask until stopped; every failure counts, nothing is asked a second time."""
    account: dict[str, Any] = {"requests": 0, "failed": 0, "failures": [], "turns": []}
    began = time.time()
    connector = aiohttp.TCPConnector(ssl=trusting(given.certificate), force_close=True, limit=1)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        session._retry_connection = False  # a failure that nobody counts
        while not stop.is_set():
            account["requests"] += 1
            nonce = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
            asked = time.time()
            try:
                async with session.get(f"{given.url}{PATH}", params={"nonce": nonce}) as response:
                    response.raise_for_status()
                    origin = (await response.json())["origin"]
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
                account["failed"] += 1
                account["failures"] = [*account["failures"], f"{asked:.3f} {type(error).__name__}: {error}"][:20]
            else:
                if not account["turns"] or account["turns"][-1]["origin"] != origin:
                    account["turns"].append({"at": round(asked, 3), "origin": origin})
            await pause(stop, given.interval)
    return {**account, "began": round(began, 3), "finished": round(time.time(), 3)}


def main() -> None:
    """Read the options and ask until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--interval", type=float, default=0.05)
    given = parser.parse_args()
    act(lambda stop: watch(stop, given))


if __name__ == "__main__":
    main()
