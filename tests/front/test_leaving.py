"""A socket that keeper has closed: what still waits in its queue is served, whoever came in the last moment."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from front.plain_client import untrusting
from staffetta.front import door as door_module
from staffetta.front.certificates import CertificateStore
from staffetta.front.door import Door
from staffetta.front.settings import FrontSettings

CALLERS = 40
PATIENT = FrontSettings(handshake_seconds=100.0, header_seconds=100.0)
"""The callers speak one after another: the last one's turn comes late on a busy machine."""


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


def app() -> web.Application:
    made = web.Application()
    made.router.add_get("/", hello)
    return made


def ask(line: socket.socket) -> bytes:
    with line, untrusting().wrap_socket(line) as secured:
        secured.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := secured.recv(65536):
            answer += piece
        return answer


def queue_up(port: int) -> list[socket.socket]:
    """Connected, in the kernel's queue: this thread is the loop's, so that nobody accepts meanwhile."""
    return [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(CALLERS)]


@pytest.mark.req("F9")
async def test_what_waits_in_a_queue_that_closes_is_answered(pem: Path) -> None:
    door = Door(app(), CertificateStore(pem), PATIENT)
    listener, staying = socket.create_server(("127.0.0.1", 0), backlog=128), socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await door.set_sockets([listener.dup(), staying.dup()])
    listener.close()
    callers = queue_up(port)
    await door.set_sockets([staying.dup()])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    answers = await asyncio.gather(*(asyncio.to_thread(ask, caller) for caller in callers))
    assert all(answer.endswith(b"hello") for answer in answers)
    assert door.accepting
    staying.close()
    await door.close()


async def test_stopping_leaves_the_queue_to_the_next_generation(pem: Path) -> None:
    door = Door(app(), CertificateStore(pem))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    await door.set_sockets([listener.dup()])
    callers = queue_up(listener.getsockname()[1])
    await door.stop_accepting()
    listener.setblocking(False)
    for caller in callers:
        listener.accept()[0].close()
        caller.close()
    listener.close()
    await door.close()


async def test_a_door_that_is_out_of_descriptors_waits_before_it_gives_the_queue_up(
    pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "_FULL_PAUSE_SECONDS", 0.05)
    door = Door(app(), CertificateStore(pem), PATIENT)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    await door.set_sockets([listener.dup()])
    callers = queue_up(listener.getsockname()[1])
    listener.close()
    filled, free = full()
    try:
        leaving = asyncio.create_task(door.set_sockets([]))
        await asyncio.sleep(0.2)
        assert not leaving.done(), "it still tries"
    finally:
        free()
    assert filled
    await leaving
    answers = await asyncio.gather(*(asyncio.to_thread(ask, caller) for caller in callers))
    assert all(answer.endswith(b"hello") for answer in answers)
    await door.close()


def full() -> tuple[int, Callable[[], None]]:
    """Use up this process's descriptors; returns how many, and what frees them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    held: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))

    def free() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        while held:
            os.close(held.pop())

    return len(held), free
