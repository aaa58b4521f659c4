"""How a user's process starts, stops and tells: SIGTERM ends its work, its last line of output is its JSON account."""

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


def trusting(certificate: Path) -> ssl.SSLContext:
    """Return a TLS context that trusts exactly the certificate the user accepted at the first visit."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context


def act(work: Callable[[asyncio.Event], Awaitable[dict[str, Any]]]) -> None:
    """Run ``work`` until it returns; its ``asyncio.Event`` is set when the user is asked to stop."""

    async def main() -> dict[str, Any]:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await work(stop)

    account = asyncio.run(main())
    sys.stdout.write(json.dumps(account) + "\n")
    sys.stdout.flush()


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until the user is asked to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
