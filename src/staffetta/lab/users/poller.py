"""A user who asks for a page again and again, on new connections or on one kept alive, and never tries again."""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from staffetta.lab.measures import gaps, longest_gap
from staffetta.lab.users.acting import act, pause, trusting

LEAST_GAP = 0.15
"""Seconds without a success, beyond the interval, that are worth showing."""
MOST_TOLD = 50


async def poll(
    stop: asyncio.Event, url: str, certificate: Path, interval: float, *, keep_alive: bool, clients: int
) -> dict[str, Any]:
    """Request ``url`` every ``interval`` seconds from each of ``clients`` loops; count what fails and why."""
    requests = 0
    wall = time.time() - time.monotonic()
    began = time.time()
    failed_at: list[float] = []
    failures: list[str] = []
    succeeded: list[float] = []
    times: list[float] = []

    async def loop(session: aiohttp.ClientSession) -> None:
        nonlocal requests
        while not stop.is_set():
            started = time.monotonic()
            requests += 1
            try:
                async with session.get(url, allow_redirects=False) as response:
                    await response.read()
                    if response.status >= 400:  # the page is there: not to find it is a failure like any other
                        failures.append(f"{time.time():.3f} status {response.status}")
                        failed_at.append(time.time())
                    else:
                        succeeded.append(time.monotonic())
                        times.append(time.monotonic() - started)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failures.append(f"{time.time():.3f} {type(error).__name__}: {error}")
                failed_at.append(time.time())
            await pause(stop, max(0.0, interval - (time.monotonic() - started)))

    sessions = [
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusting(certificate), force_close=not keep_alive, limit=1),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        for _ in range(clients)
    ]
    for session in sessions:
        # aiohttp would ask a second time by itself when a connection breaks: a failure that nobody counts.
        session._retry_connection = False
    try:
        await asyncio.gather(*(loop(session) for session in sessions))
    finally:
        for session in sessions:
            await session.close()
    ordered = sorted(times)
    longest = sorted(gaps(sorted(succeeded), interval + LEAST_GAP), key=lambda gap: -gap[1])[:MOST_TOLD]
    return {
        "began": round(began, 3),
        "finished": round(time.time(), 3),
        "gaps": [[round(begin + wall, 3), round(seconds, 3)] for begin, seconds in sorted(longest)],
        "failed_at": [round(moment, 3) for moment in failed_at[:MOST_TOLD]],
        "requests": requests,
        "failed": len(failures),
        "failures": failures[:20],
        "longest_gap_ms": round(longest_gap(sorted(succeeded)) * 1000, 1),
        "median_ms": round(ordered[len(ordered) // 2] * 1000, 1) if ordered else None,
    }


def main() -> None:
    """Read the options and poll until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--interval", type=float, default=0.02)
    parser.add_argument("--keep-alive", action="store_true")
    parser.add_argument("--clients", type=int, default=1)
    given = parser.parse_args()
    act(
        lambda stop: poll(
            stop, given.url, given.certificate, given.interval, keep_alive=given.keep_alive, clients=given.clients
        )
    )


if __name__ == "__main__":
    main()
