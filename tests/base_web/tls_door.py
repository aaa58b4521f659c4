"""The real TLS door in front of the pages of a test, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from staffetta.front.certificates import CertificateStore, make_self_signed
from staffetta.front.door import Door
from staffetta.front.passing import pages_to


@contextmanager
def door_before(pages: Path, listener: socket.socket, certificate: Path) -> Iterator[None]:
    """Pass everything that comes in on `listener` to the web process on the socket `pages`."""
    certificate.write_bytes(make_self_signed(["localhost"], ["127.0.0.1"], 10))
    started = threading.Event()
    loop = asyncio.new_event_loop()
    leave = asyncio.Event()

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", pages_to(pages))
        door = Door(application, CertificateStore(certificate))
        await door.set_sockets([listener])
        started.set()
        await leave.wait()
        await door.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(60)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(60)
        loop.close()
