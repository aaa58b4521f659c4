"""One generation of a small program behind a door, for tests: told by lines on standard input what keeper would say.

Arguments: descriptor of the shared listening socket, PEM file. Lines: ``accept``, ``stop``, ``drain``.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from staffetta.front.certificates import CertificateStore
from staffetta.front.door import Door


async def who(request: web.Request) -> web.Response:
    return web.Response(text=str(os.getpid()))


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(0.3)
    return web.Response(text=str(os.getpid()))


async def upload(request: web.Request) -> web.Response:
    length = 0
    async for chunk in request.content.iter_any():
        length += len(chunk)
    return web.Response(text=str(length))


async def main(descriptor: int, pem: Path) -> None:
    app = web.Application()
    app.router.add_get("/", who)
    app.router.add_get("/slow", slow)
    app.router.add_post("/upload", upload)
    door = Door(app, CertificateStore(pem))
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print("ready", flush=True)
    while line := (await lines.readline()).decode().strip():
        if line == "accept":
            await door.set_sockets([socket.socket(fileno=os.dup(descriptor))])
        elif line == "stop":
            await door.stop_accepting()
        elif line == "drain":
            cut = await door.drain(30.0)
            print(f"drained {cut}", flush=True)
            await door.close()
            return
        print(line, flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
