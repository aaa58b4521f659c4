"""Asking the update server: what is on offer and what time it is, believed only when signed for this question."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from releases.served import served
from staffetta.kernel.clock import utc_now
from staffetta.packages import Installed, Kind, Version
from staffetta.packages.errors import NotTrusted
from staffetta.packages.offers import sign_request, sign_statement
from staffetta.releases import UpdateServer, open_repository
from staffetta.releases.errors import ServerUnreachable
from staffetta.vendor.server import ServerOrder, make_server
from vendor.publisher import Publisher

DEVICE = Ed25519PrivateKey.from_private_bytes(b"d" * 32)
INSTALLED = Installed(Version("1.0"), Version("1.0"))


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "vendor", utc_now())
    for version in ("1.0", "1.1"):
        made.release(Kind.BASE, version)
        made.release(Kind.CLIENT, version)
    return made


@pytest.fixture
def url(publisher: Publisher) -> Iterator[str]:
    with served(make_server(ServerOrder(publisher.repository, publisher.keys))) as address:
        yield address


@pytest.mark.req("U3", "U6")
def test_a_device_is_told_what_is_newer_and_how_wrong_its_clock_is(
    publisher: Publisher, url: str, tmp_path: Path
) -> None:
    keys = open_repository(url, tmp_path / "trust", publisher.root).root.statement_keys
    server = UpdateServer(url, DEVICE, keys)
    checked = server.check(INSTALLED, os.urandom(32), utc_now() - timedelta(days=2))
    assert checked.targets == ("base/base-1.1.tar.zst",)
    assert checked.offset_seconds == pytest.approx(172_800, abs=30)


@pytest.mark.req("U14")
def test_an_answer_of_somebody_else_or_played_again_is_not_believed(publisher: Publisher, url: str) -> None:
    with pytest.raises(NotTrusted, match="not signed"):
        UpdateServer(url, DEVICE, (b"x" * 32,)).check(INSTALLED, os.urandom(32), utc_now())
    key = Ed25519PrivateKey.generate()
    old = sign_statement(key, [], utc_now(), b"1" * 32)

    async def replay(request: web.Request) -> web.Response:
        return web.Response(body=old)

    app = web.Application()
    app.router.add_post("/v1/offers", replay)
    with served(app) as other, pytest.raises(NotTrusted, match="played again"):
        UpdateServer(other, DEVICE, (key.public_key().public_bytes_raw(),)).check(INSTALLED, b"2" * 32, utc_now())


@pytest.mark.req("U3")
def test_a_server_that_refuses_or_is_not_there_is_named_with_its_reason() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403, text="no contract")

    app = web.Application()
    app.router.add_post("/v1/offers", refuse)
    with served(app) as url, pytest.raises(ServerUnreachable, match=r"status 403.*no contract"):
        UpdateServer(url, DEVICE, ()).check(INSTALLED, os.urandom(32), utc_now())
    with pytest.raises(ServerUnreachable, match=r"does not answer \(Connection refused\)\. Check"):
        UpdateServer("http://127.0.0.1:9", DEVICE, ()).check(INSTALLED, os.urandom(32), utc_now())


def test_the_request_carries_no_secret() -> None:
    fields = json.loads(sign_request(DEVICE, b"n" * 32, INSTALLED))
    assert set(fields) == {"product", "device", "public_key", "nonce", "installed", "signature"}
    assert b"d" * 32 not in json.dumps(fields).encode()
