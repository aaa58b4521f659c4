"""A socket that keeper has closed: what still waits in its queue is served, whoever came in the last moment."""

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from front.plain_client import untrusting
from staffetta.front import door as door_module
from staffetta.front.certificates import CertificateStore
from staffetta.front.door import Door
from staffetta.front.settings import FrontSettings

CALLERS = 40
LONG = b"x" * 40_000
"""More than the kernel takes of it at once, and little enough to count as written."""
PATIENT = FrontSettings(handshake_seconds=100.0, header_seconds=100.0)
"""The callers speak one after another: the last one's turn comes late on a busy machine."""


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(0.5)
    return web.Response(text="slowly")


async def long(_: web.Request) -> web.Response:
    return web.Response(body=LONG)


def app() -> web.Application:
    made = web.Application()
    made.router.add_get("/long", long)
    made.router.add_get("/slow", slow)
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


SOON = FrontSettings(drain_idle_seconds=0.1)
ASK = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
BOTH = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@contextlib.asynccontextmanager
async def idle(pem: Path, path: bytes) -> AsyncIterator[tuple[Door, ssl.SSLSocket]]:
    """A door with little room to send, and a client of it that has asked once and reads nothing yet."""
    door = Door(app(), CertificateStore(pem), SOON)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await door.set_sockets([listener.dup()])
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.settimeout(20)
    caller.connect(listener.getsockname())
    # What ends without the end of TLS is an error then.
    line = await asyncio.to_thread(untrusting().wrap_socket, caller, suppress_ragged_eofs=False)
    with line:
        line.sendall(ASK % path)
        while not door.answers:
            await asyncio.sleep(0.01)
        yield door, line
    listener.close()
    await door.close()


def rest_of(line: ssl.SSLSocket, slowly: bool = False) -> bytes:
    answer = b""
    while piece := line.recv(1000 if slowly else 65536):
        answer += piece
        if slowly:
            time.sleep(0.05)
    return answer


@BOTH
@pytest.mark.req("U9")
def test_nobody_waits_for_a_client_that_does_not_read_the_end(pem: Path, run: Callable[..., None]) -> None:
    async def tried() -> None:
        async with idle(pem, b"/") as (door, line):
            assert await asyncio.wait_for(door.drain(60.0), 20) == 0
            assert (await asyncio.to_thread(rest_of, line)).endswith(b"hello"), "to the client it is an end like others"

    run(tried())


@BOTH
@pytest.mark.req("U9")
def test_nor_for_one_that_was_answered_in_the_drain(pem: Path, run: Callable[..., None]) -> None:
    async def tried() -> None:
        async with idle(pem, b"/") as (door, line):
            line.sendall(ASK % b"/slow")
            while not door.requests_under_way:
                await asyncio.sleep(0.01)
            assert await asyncio.wait_for(door.drain(60.0), 20) == 0
            assert (await asyncio.to_thread(rest_of, line)).endswith(b"slowly"), "it had Connection: close"

    run(tried())


@BOTH
@pytest.mark.req("U9")
def test_clients_that_never_read_are_given_up_in_the_end(
    pem: Path, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "_TLS_CLOSE_SECONDS", 1.0)

    async def tried() -> None:
        async with contextlib.AsyncExitStack() as stack:
            doors = [(await stack.enter_async_context(idle(pem, b"/long")))[0] for _ in range(30)]
            assert await asyncio.gather(*(door.drain(60.0) for door in doors)) == [0] * 30

    run(tried())


@BOTH
@pytest.mark.req("U9")
def test_what_is_on_its_way_to_a_slow_client_is_not_cut(pem: Path, run: Callable[..., None]) -> None:
    async def tried() -> None:
        async with idle(pem, b"/long") as (door, line):
            leaving = asyncio.ensure_future(door.drain(60.0))
            await asyncio.sleep(3)
            assert not leaving.done()
            assert (await asyncio.to_thread(rest_of, line, slowly=True)).endswith(LONG)
            assert await asyncio.wait_for(leaving, 20) == 0

    run(tried())


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
