"""The update server's doors: what it hands out, to whom, how fast, and what it refuses (U3, U14, V3)."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tuf.api.metadata import Metadata

from releases.served import served
from staffetta.kernel.clock import utc_now
from staffetta.lab.ports import free_port
from staffetta.packages import Installed, Kind, Version
from staffetta.packages.offers import sign_request
from staffetta.vendor.server import ServerOrder, make_server
from vendor.publisher import Publisher

DEVICE = Ed25519PrivateKey.from_private_bytes(b"d" * 32)
INSTALLED = Installed(Version("1.0"))


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path, utc_now())
    made.release(Kind.SITE, "1.0", content={"lib/noise": bytes(range(256)) * 1000})
    return made


@pytest.fixture(params=[None, 4_000_000], ids=["unlimited", "limited"])
def client(request: pytest.FixtureRequest, publisher: Publisher) -> Iterator[httpx.Client]:
    app = make_server(ServerOrder(publisher.repository, publisher.keys, request.param))
    with served(app) as url, httpx.Client(base_url=url) as opened:
        yield opened


def path_of(publisher: Publisher) -> tuple[str, bytes]:
    (info,) = publisher.repository.infos()
    file = publisher.repository.target_file(info.target, info.sha256)
    return f"/targets/{file.relative_to(publisher.repository.targets)}", file.read_bytes()


@pytest.mark.req("U3")
def test_a_download_can_be_taken_up_again(client: httpx.Client, publisher: Publisher) -> None:
    path, data = path_of(publisher)
    whole = client.get(path)
    assert (whole.status_code, whole.content) == (200, data)
    rest = client.get(path, headers={"Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, data[100:])
    assert rest.headers["Content-Range"] == f"bytes 100-{len(data) - 1}/{len(data)}"
    assert client.get(path, headers={"Range": "bytes=10-19"}).content == data[10:20]
    assert client.get(path, headers={"Range": "bytes=-5"}).content == data[-5:]
    assert client.get(path, headers={"Range": f"bytes={len(data)}-"}).status_code == 416


@pytest.mark.req("U14")
def test_only_the_repository_is_handed_out(client: httpx.Client, publisher: Publisher) -> None:
    (publisher.folder / "repository/targets/secret").write_text("x")
    assert client.get("/metadata/timestamp.json").headers["Cache-Control"] == "no-cache"
    assert "immutable" in client.get("/metadata/1.root.json").headers["Cache-Control"]
    for path in (
        "/metadata/9.root.json", "/metadata/..%2f..%2fkeys%2fonline%2ftimestamp.pem", "/metadata/.lock",
        "/targets/secret", "/targets/..%2f..%2fkeys%2fonline%2ftimestamp.pem", "/keys/online/timestamp.pem",
        "/targets/site/..%2f..%2f.lock",
    ):  # fmt: skip
        assert client.get(path).status_code == 404, path


@pytest.mark.req("U14")
def test_a_question_is_answered_only_when_it_is_signed_and_of_our_product(client: httpx.Client) -> None:
    body = sign_request(DEVICE, b"n" * 32, INSTALLED)
    answer = client.post("/v1/offers", content=body)
    assert answer.status_code == 200
    assert set(answer.json()) == {"targets", "time", "nonce", "signature"}
    assert answer.json()["targets"] == ["site/site-1.0.tar.zst"]
    changed = json.loads(body) | {"installed": {"base": "0.1", "site": None, "licences": []}}
    for content, status, code in (
        (b"junk", 400, "request-invalid"),
        (b"{}", 400, "request-invalid"),
        (json.dumps(changed).encode(), 403, "not-trusted"),
        (sign_request(DEVICE, b"n" * 32, INSTALLED, product="other"), 403, "unknown-product"),
    ):
        refused = client.post("/v1/offers", content=content)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert refused.json()["message"].endswith(".")
    assert client.post("/v1/offers", content=b"x" * 100_000).status_code == 413


@pytest.mark.req("U14")
def test_a_timestamp_past_half_its_life_is_renewed_when_the_server_starts(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path, utc_now() - timedelta(days=10))
    path = publisher.repository.metadata / "timestamp.json"
    before = Metadata.from_file(str(path)).signed
    with served(make_server(ServerOrder(publisher.repository, publisher.keys))):
        after = Metadata.from_file(str(path)).signed
    assert after.version == before.version + 1
    assert after.expires > utc_now() + timedelta(days=13)


def test_a_limited_download_takes_its_time(publisher: Publisher) -> None:
    path, data = path_of(publisher)
    rate = len(data) * 2
    with served(make_server(ServerOrder(publisher.repository, publisher.keys, rate))) as url:
        began = time.monotonic()
        assert httpx.get(url + path).content == data
        assert time.monotonic() - began > 0.4


@pytest.mark.live
def test_the_command_serves_until_it_is_told_to_end(publisher: Publisher) -> None:
    listen = f"127.0.0.1:{free_port()}"
    code = "from staffetta.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "vendor", "serve", "--repository", publisher.repository.folder,
         "--keys", publisher.folder / "keys", "--listen", listen],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert httpx.get(f"http://{listen}/metadata/timestamp.json").status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        process.terminate()
    assert process.wait(20) == 0
