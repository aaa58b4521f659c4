"""Who asks for pages sees every refusal, reset, cut answer, error status and wrong page, and asks nothing twice."""

import argparse
import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from staffetta.front.certificates import make_self_signed
from staffetta.lab.users import weathervane
from staffetta.lab.users.poller import poll

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def page(_: web.Request) -> web.StreamResponse:
    return web.json_response({"origin": "a"})


async def other(_: web.Request) -> web.StreamResponse:
    return web.json_response({"origin": "b"})


async def redirect(_: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/login/sign-in"})


async def error(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def missing(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404)


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half a page")
    assert request.transport is not None
    request.transport.abort()
    return response


@asynccontextmanager
async def site(folder: Path, stop: asyncio.Event, answers: list[Answer]) -> AsyncIterator[tuple[str, Path]]:
    """A site that gives these answers, one after the other, and asks the user to stop with the last."""
    pem = folder / "site.pem"
    pem.write_bytes(make_self_signed([], ["127.0.0.1"], 1))
    given = iter(answers)
    left = len(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal left
        left -= 1
        if left == 0:
            stop.set()
        return await next(given)(request)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    listening = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await listening.start()
    assert runner.addresses
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", pem
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("wrong", [error, missing, reset, cut], ids=lambda answer: str(answer.__name__))
async def test_one_answer_that_is_wrong_is_one_failure(tmp_path: Path, wrong: Answer, keep_alive: bool) -> None:
    stop = asyncio.Event()
    async with site(tmp_path, stop, [page, redirect, wrong, page]) as (url, pem):
        account = await poll(stop, f"{url}/login/", pem, 0.01, keep_alive=keep_alive, clients=1)
    assert (account["requests"], account["failed"], len(account["failed_at"])) == (4, 1, 1), account
    assert len(account["failures"]) == 1


async def test_a_refused_connection_is_a_failure(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with site(tmp_path, stop, [page]) as (url, pem):
        pass
    asyncio.get_running_loop().call_later(0.2, stop.set)
    account = await poll(stop, url, pem, 0.05, keep_alive=False, clients=1)
    assert account["failed"] == account["requests"] > 0


@pytest.mark.parametrize("wrong", [error, missing, reset, cut], ids=lambda answer: str(answer.__name__))
async def test_who_looks_who_is_there_sees_each_turn_and_each_failure(tmp_path: Path, wrong: Answer) -> None:
    stop = asyncio.Event()
    async with site(tmp_path, stop, [page, page, wrong, other, page]) as (url, pem):
        account = await weathervane.watch(stop, argparse.Namespace(url=url, certificate=pem, interval=0.01))
    assert (account["requests"], account["failed"]) == (5, 1), account
    assert [turn["origin"] for turn in account["turns"]] == ["a", "b", "a"]
