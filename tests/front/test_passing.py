"""Pages come from a local web process through the door: streamed both ways, and waited for while it restarts."""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from front.conftest import OpenDoor
from front.plain_client import PlainClient, untrusting
from staffetta.front.headers import passed_to_client, passed_to_pages
from staffetta.front.passing import Pages
from staffetta.front.settings import FrontSettings


class Upstream:
    """A web process on a Unix socket, in this loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[web.Request] = []
        self.release = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/headers", self._headers)
        app.router.add_post("/upload", self._upload)
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/broken", self._broken)
        app.router.add_route("*", "/", self._hello)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.path)).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _hello(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        response = web.Response(text="hello", headers={"X-Of-Page": "1", "Connection": "X-Secret", "X-Secret": "2"})
        response.set_cookie("one", "1")
        response.set_cookie("two", "2")
        return response

    async def _headers(self, request: web.Request) -> web.Response:
        return web.json_response([[name, value] for name, value in request.headers.items()])

    async def _upload(self, request: web.Request) -> web.Response:
        digest = hashlib.sha256()
        async for chunk in request.content.iter_any():
            digest.update(chunk)
        return web.Response(text=digest.hexdigest())

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await self.release.wait()
        await response.write(b"last")
        return response

    async def _broken(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"part")
        assert request.transport is not None
        request.transport.abort()
        return response


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[Upstream]:
    started = Upstream(tmp_path / "web.sock")
    await started.start()
    yield started
    started.release.set()
    await started.stop()


@contextlib.asynccontextmanager
async def passing_door(
    open_door: OpenDoor, upstream: Upstream, settings: FrontSettings | None = None
) -> AsyncIterator[PlainClient]:
    settings = settings or FrontSettings()
    app = web.Application()
    pages = Pages(upstream.path, settings)
    app.router.add_route("*", "/{path:.*}", pages.handle)
    _, port = await open_door(app, settings)
    client = PlainClient(port, untrusting())
    try:
        yield client
    finally:
        client.close()
        await pages.close()


async def test_an_answer_comes_back_whole(open_door: OpenDoor, upstream: Upstream) -> None:
    async with passing_door(open_door, upstream) as client:
        answer = await client.ask("GET", "/")
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["x-of-page"] == "1"
    assert "x-secret" not in answer.headers
    assert answer.headers["server"] == "staffetta"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "strict-transport-security" not in answer.headers  # self-signed
    assert not answer.closes


def test_what_outside_claims_about_earlier_hops_is_dropped() -> None:
    received = [
        ("Host", "support.example.com"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Accept", "text/html"),
    ]
    assert passed_to_pages(received, peer="192.0.2.7", host="support.example.com") == [
        ("Host", "support.example.com"),
        ("Accept", "text/html"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "support.example.com"),
    ]
    answered = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Transfer-Encoding", "chunked"), ("Server", "x")]
    assert passed_to_client(answered) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


async def test_a_large_upload_streams(open_door: OpenDoor, upstream: Upstream) -> None:
    piece, count = bytes(range(256)) * 1024, 64  # 16 MiB, far above any buffer on the way

    def pieces() -> Iterator[bytes]:
        for _ in range(count):
            yield piece

    async with passing_door(open_door, upstream) as client:
        answer = await client.ask("POST", "/upload", pieces(), len(piece) * count)
    assert answer.body.decode() == hashlib.sha256(piece * count).hexdigest()


async def test_a_body_above_the_limit_is_refused(open_door: OpenDoor, upstream: Upstream) -> None:
    async with passing_door(open_door, upstream, FrontSettings(body_limit_bytes=1000)) as client:
        assert (await client.ask("POST", "/upload", iter([b"x" * 1000]), 1000)).status == 200
        assert (await client.ask("POST", "/upload", iter([]), 1001)).status == 413


async def test_the_start_of_an_endless_answer_comes_at_once(open_door: OpenDoor, upstream: Upstream) -> None:
    app = web.Application()
    pages = Pages(upstream.path)
    app.router.add_route("*", "/{path:.*}", pages.handle)
    _, port = await open_door(app)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=untrusting())
    writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"first")
        upstream.release.set()
        await reader.readuntil(b"last\r\n0\r\n\r\n")
    writer.close()
    await pages.close()


async def test_a_broken_answer_is_not_taken_for_a_whole_one(open_door: OpenDoor, upstream: Upstream) -> None:
    app = web.Application()
    pages = Pages(upstream.path)
    app.router.add_route("*", "/{path:.*}", pages.handle)
    _, port = await open_door(app)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=untrusting())
    writer.write(b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(4096):
                received += chunk
    assert b"0\r\n\r\n" not in received
    writer.close()
    await pages.close()


@pytest.mark.req("U9")
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_restarting_web_process_is_waited_for(open_door: OpenDoor, upstream: Upstream, method: str) -> None:
    async with passing_door(open_door, upstream) as client:
        assert (await client.ask(method, "/")).status == 200
        await upstream.stop()
        asked = asyncio.ensure_future(client.ask(method, "/"))
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
        await upstream.start()
        assert (await asked).status == 200
    assert len(upstream.seen) == 2


async def test_a_web_process_that_stays_away_is_said(open_door: OpenDoor, upstream: Upstream) -> None:
    async with passing_door(open_door, upstream, FrontSettings(upstream_seconds=0.3)) as client:
        await upstream.stop()
        answer = await client.ask("GET", "/")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"


async def test_a_header_that_never_ends_is_cut(open_door: OpenDoor) -> None:
    _, port = await open_door(web.Application(), FrontSettings(header_seconds=0.1))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=untrusting())
    writer.write(b"GET / HTTP/1.1\r\nHost: ")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_sockets_come_and_go_live(open_door: OpenDoor) -> None:
    door, port = await open_door(web.Application())
    first = socket.create_server(("127.0.0.1", 0))
    second_port = first.getsockname()[1]
    await door.set_sockets([first])
    assert (await PlainClient(second_port, untrusting()).ask("GET", "/")).status == 404
    with pytest.raises(OSError):
        await PlainClient(port, untrusting()).ask("GET", "/")
    await door.set_sockets([first.dup()])
    assert (await PlainClient(second_port, untrusting()).ask("GET", "/")).status == 404
    await door.stop_accepting()
    assert not door.accepting
