"""A door on a loopback port, in this process, for the tests of this room."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from staffetta.front.certificates import CertificateStore, make_self_signed
from staffetta.front.door import Door
from staffetta.front.settings import FrontSettings

OpenDoor = Callable[..., Awaitable[tuple[Door, int]]]


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "door.pem"
    path.write_bytes(make_self_signed(["localhost"], ["127.0.0.1"], 10))
    return path


@pytest.fixture
async def open_door(pem: Path) -> AsyncIterator[OpenDoor]:
    doors: list[Door] = []

    async def start(app: web.Application, settings: FrontSettings | None = None) -> tuple[Door, int]:
        door = Door(app, CertificateStore(pem), settings)
        doors.append(door)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await door.set_sockets([listener])
        return door, port

    yield start
    for door in doors:
        await door.close()
