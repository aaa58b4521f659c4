"""The private socket: facts, proofs, and every way in which a generation can fail to answer."""

import asyncio
import gzip
import shutil
import tempfile
from pathlib import Path

import pytest
from aiohttp import web

from staffetta.control.private import (
    BadPrivateAnswer,
    Check,
    Facts,
    PrivateUnreachable,
    Proof,
    facts,
    private_app,
    prove,
    serve_private,
)

GOOD = Facts("site", "site-a", "1.0", sessions_live=3, clients_online=8)


@pytest.fixture
def path():
    folder = Path(tempfile.mkdtemp(prefix="stf-"))
    yield folder / "private.sock"
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"program": "site", "generation": "g", "version": "1", "new": 1}, Facts("site", "g", "1")),
        (
            {"program": "site", "generation": "g", "version": "1", "role": "backup", "role_term": 4},
            Facts("site", "g", "1", role="backup", role_term=4),
        ),
        (
            {"program": "site", "generation": "g", "version": "1", "first_password": True},
            Facts("site", "g", "1", first_password=True),
        ),
        ({"program": "site", "generation": "g", "version": "1", "sessions_live": True}, None),
        ({"program": "site", "generation": "g"}, None),
    ],
    ids=["older", "of a pair", "just installed", "no number", "no version"],
)
async def test_facts_of_older_and_newer_generations(path: Path, answer: object, expected: Facts | None) -> None:
    async def answering(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/v1/facts", answering)
    runner = await serve_private(app, path)
    try:
        if expected is None:
            with pytest.raises(BadPrivateAnswer):
                await facts(path)
        else:
            assert await facts(path) == expected
    finally:
        await runner.cleanup()


async def good_facts() -> Facts:
    return GOOD


async def good_proof() -> Proof:
    return Proof.of((Check("log in", True, "as admin", 12.5), Check("write", True, "a record", 1.0)))


async def broken_proof() -> Proof:
    raise RuntimeError("no such table: accounts")


async def hanging_proof() -> Proof:
    await asyncio.sleep(60)
    return await good_proof()


@pytest.mark.req("U10")
async def test_a_generation_states_facts_and_proves_itself(path: Path) -> None:
    path.write_text("left by a process that was killed")
    runner = await serve_private(private_app(good_facts, good_proof), path)
    try:
        assert path.stat().st_mode & 0o777 == 0o660
        assert await facts(path) == GOOD
        proof = await prove(path, timeout=5)
        assert proof == await good_proof()
        assert proof.ok
    finally:
        await runner.cleanup()
    with pytest.raises(PrivateUnreachable):
        await facts(path)


@pytest.mark.req("U10")
async def test_what_raises_is_a_failed_check(path: Path) -> None:
    runner = await serve_private(private_app(good_facts, broken_proof), path)
    try:
        proof = await prove(path)
        assert not proof.ok
        assert proof.checks[0].detail == "RuntimeError: no such table: accounts"
    finally:
        await runner.cleanup()


@pytest.mark.req("U10")
async def test_a_generation_that_hangs_is_given_up(path: Path) -> None:
    runner = await serve_private(private_app(good_facts, hanging_proof), path)
    try:
        with pytest.raises(PrivateUnreachable, match=r"within 0\.2 s"):
            await prove(path, timeout=0.2)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "answer",
    [
        web.json_response([]),
        web.json_response({"ok": True}),
        web.json_response({"ok": True, "checks": [{"name": "x"}]}),
        web.json_response({"ok": "yes", "checks": []}),
        web.Response(text="<html>"),
        web.Response(text="[" * 100_000),
        web.Response(body=gzip.compress(b'{"ok": true, "checks": []}'), headers={"Content-Encoding": "gzip"}),
        web.Response(status=500),
    ],
)
async def test_nonsense_is_no_proof(path: Path, answer: web.Response) -> None:
    async def nonsense(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_post("/v1/prove", nonsense)
    runner = await serve_private(app, path)
    try:
        with pytest.raises(BadPrivateAnswer):
            await prove(path)
    finally:
        await runner.cleanup()


def test_a_proof_is_as_good_as_its_checks() -> None:
    assert not Proof.of(()).ok
    assert not Proof.of((Check("a", True, "", 1), Check("b", False, "", 1))).ok


async def test_a_claim_without_checks_is_not_believed(path: Path) -> None:
    async def boast() -> Proof:
        return Proof(True, (Check("login", False, "did not work", 1.0),))

    runner = await serve_private(private_app(good_facts, boast), path)
    try:
        assert not (await prove(path)).ok
    finally:
        await runner.cleanup()
