"""The web process: the site's Django pages on ``<run>/web.sock``, behind the gateway's door.

It goes on serving after it has drained: the gateway of its generation may still have kept-alive clients, and keeper
ends both when both have drained.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import uvicorn

from staffetta.control.child import KeeperChannel, KeptSocket
from staffetta.control.paths import ProcessEnvironment
from staffetta.kernel.log import get_logger
from staffetta.site.data.database import in_database
from staffetta.site.processes.child import check_database, obey
from staffetta.site.processes.errors import WebDidNotStart

_log = get_logger(__name__)

APPLICATION: Final = "staffetta.site.web.asgi:application"
WEB_SOCKET: Final = "web.sock"
_SOCKET_MODE: Final = 0o660
_POLL_SECONDS: Final = 0.05
_LEAVE_SECONDS: Final = 2


class _Server(uvicorn.Server):
    """uvicorn, which leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


class WebProcess:
    """Keeper's orders to the pages: they have no sockets and no jobs; a drain waits for requests under way."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        """Nothing changes: requests come through the gateway."""

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        """None are for the pages."""

    async def deactivate(self) -> None:
        """Nothing changes: requests come through the gateway."""

    async def drain(self, seconds: float) -> None:
        """Return when no request is under way, at the latest after ``seconds``."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (under_way := len(self._server.server_state.tasks)) > 0:
            if asyncio.get_running_loop().time() >= deadline:
                _log.warning("drain time is over, page requests left", extra={"requests": under_way})
                return
            await asyncio.sleep(_POLL_SECONDS)


def web_server(socket: Path) -> uvicorn.Server:
    """Return the server of the pages on a Unix socket; ``serve`` it in the running loop."""
    return _Server(
        uvicorn.Config(
            APPLICATION,
            uds=str(socket),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            # Longer than the door keeps its own end, so that the door never writes into a closing connection.
            timeout_keep_alive=60,
            timeout_graceful_shutdown=_LEAVE_SECONDS,
            backlog=1024,
        )
    )


async def serve_web(environment: ProcessEnvironment, channel: KeeperChannel, leave: asyncio.Event) -> None:
    """Serve the pages until ``leave`` is set."""
    await in_database(check_database)
    socket = environment.run / WEB_SOCKET
    await asyncio.to_thread(socket.unlink, missing_ok=True)
    server = web_server(socket)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        if serving.done():
            await serving
            raise WebDidNotStart("The pages' server ended before it served; its log says why.")
        await asyncio.sleep(_POLL_SECONDS / 5)
    await asyncio.to_thread(socket.chmod, _SOCKET_MODE)
    try:
        await obey(channel, WebProcess(server), leave)
    finally:
        server.should_exit = True
        await serving
