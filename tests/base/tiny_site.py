"""A small site for tests, started by a real keeper: its gateway is a real door whose pages say which appliance it is.

What role it has is in `site/role.json` of its appliance. Arguments: the process.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

import uvloop
from aiohttp import web

from staffetta.control.child import KeeperChannel, KeptSocket
from staffetta.control.paths import ProcessEnvironment, read_description
from staffetta.control.private import Facts, Proof, private_app, serve_private
from staffetta.front.certificates import CertificateStore
from staffetta.front.door import Door


class Idle:
    """A process without sockets."""

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        pass

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        pass

    async def deactivate(self) -> None:
        pass

    async def drain(self, seconds: float) -> None:
        pass


class Gateway(Idle):
    """Serves pages on keeper's sockets."""

    def __init__(self, environment: ProcessEnvironment) -> None:
        self.environment = environment
        self.name = read_description(environment.paths).addresses[-1]
        app = web.Application()
        app.router.add_get("/", self.who)
        app.router.add_get("/pair/v1/hello", self.hello)
        self.door = Door(app, CertificateStore(environment.paths.certificates / "site.pem"))

    async def who(self, _: web.Request) -> web.Response:
        return web.Response(text=self.name)

    async def hello(self, _: web.Request) -> web.Response:
        return web.json_response({"origin": self.name})

    async def facts(self) -> Facts:
        path = self.environment.paths.site / "role.json"
        told = json.loads(path.read_text()) if path.exists() else {}
        return Facts("site", self.environment.generation, self.environment.version, **told)

    async def prove(self) -> Proof:
        return Proof.of(())

    async def activate(self, sockets: Sequence[KeptSocket]) -> None:
        await self.sockets(sockets)

    async def sockets(self, sockets: Sequence[KeptSocket]) -> None:
        await self.door.set_sockets([kept.sock.dup() for kept in sockets])

    async def deactivate(self) -> None:
        await self.door.stop_accepting()

    async def drain(self, seconds: float) -> None:
        await self.door.drain(seconds)


async def main(process: str) -> None:
    environment = ProcessEnvironment.read()
    channel = KeeperChannel.from_environment()
    assert channel is not None
    handler = Idle()
    if process == "gateway":
        # Base makes the certificate at its first start.
        while not (environment.paths.certificates / "site.pem").exists():
            await asyncio.sleep(0.05)
        handler = gateway = Gateway(environment)
        await serve_private(
            private_app(gateway.facts, gateway.prove), environment.paths.private_socket(environment.generation)
        )
    await channel.ready()
    await channel.run(handler)


uvloop.run(main(sys.argv[1]))
