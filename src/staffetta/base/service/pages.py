"""The web process of base: base's pages on this generation's unix socket, for the door of the service process.

It holds no public socket: activation changes nothing here, and what is established is ended by the door, which asks
this process to the last. Live streams are told to move as soon as another generation takes over.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvicorn

from staffetta.base.service.process import WEB_SOCKET
from staffetta.base.web.asgi import application
from staffetta.base.web.streams import LIVE
from staffetta.control.child import KeeperChannel, KeptSocket
from staffetta.control.paths import ProcessEnvironment

GRACE_SECONDS: Final = 5


class PagesHandler:
    """What keeper tells the web process."""

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        """Serve live streams."""
        LIVE.resume()

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        """This process has none."""

    async def deactivate(self) -> None:
        """Live streams open again where the sockets are now."""
        LIVE.move()

    async def drain(self, seconds: float) -> None:
        """Nothing is established but what the door asks for; it ends that."""
        LIVE.move()


class Pages(uvicorn.Server):
    """The server, which tells keeper when it has begun to serve."""

    def __init__(self, config: uvicorn.Config, channel: KeeperChannel, socket_path: Path) -> None:
        super().__init__(config)
        self._channel = channel
        self._socket_path = socket_path

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._socket_path.chmod(0o660)
            await self._channel.ready()


async def serve(environment: ProcessEnvironment, channel: KeeperChannel) -> None:
    """Run the web process until it gets its signal."""
    path = environment.run / WEB_SOCKET
    path.unlink(missing_ok=True)
    config = uvicorn.Config(
        application,
        uds=str(path),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    orders = asyncio.create_task(channel.run(PagesHandler()))
    await Pages(config, channel, path).serve()
    orders.cancel()
