"""The gateway's plain HTTP: statement, enrolment, the frozen update question, the bundle, the way to the appliance."""

import hashlib
import json
from pathlib import Path

import pytest

from gateway.world import VERSION, World, new_key
from staffetta.site.data.database import in_database
from staffetta.site.fleet import service as fleet
from staffetta.site.gateway.requests import older
from staffetta.wire import signed
from staffetta.wire.enrolment import UpdateQuestion, make_enrol_request, to_body


async def test_the_statement_is_the_sites_own(world: World) -> None:
    await world.gateway()
    async with world.http.get(f"https://{world.address}/client/statement") as answer:
        body = json.loads(await answer.read())
    statement = signed.read_statement(body["statement"], world.site_key.public)
    assert statement.certificates == (world.signer.certificate(),)
    assert statement.term == 1


async def test_a_token_that_is_used_up_unknown_or_not_meant_for_this_peer_enrols_nobody(world: World) -> None:
    await world.gateway()
    made = await in_database(fleet.make_installer_token, "admin", 1, 1)
    here = world.signer.certificate()
    assert (await world.post("/client/enrol", to_body(make_enrol_request(made.text, new_key(), here, "a", "1", {}))))[
        0
    ] == 200
    status, refusal = await world.post(
        "/client/enrol", to_body(make_enrol_request(made.text, new_key(), here, "b", "1", {}))
    )
    assert (status, refusal["code"]) == (403, "token-used-up")
    status, refusal = await world.post(
        "/client/enrol", to_body(make_enrol_request("stf1.e30", new_key(), here, "b", "1", {}))
    )
    assert (status, refusal["code"]) == (403, "token-unknown")
    other = await in_database(fleet.make_installer_token, "admin", 1, 1)
    elsewhere = make_enrol_request(other.text, new_key(), hashlib.sha256(b"other").digest(), "c", "1", {})
    status, refusal = await world.post("/client/enrol", to_body(elsewhere))
    assert (status, refusal["code"]) == (403, "not-proven")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 5}', b"\xff", b"{" * 10_000])
async def test_a_body_that_is_not_understood_is_refused(world: World, body: bytes) -> None:
    await world.gateway()
    for path in ("/client/enrol", "/client/update", "/console/sign-in"):
        status, refusal = await world.post(path, body)
        assert status == 400, refusal
        assert refusal["code"] == "bad-frame"


async def test_a_body_above_the_limit_is_refused(world: World) -> None:
    await world.gateway()
    async with world.http.post(f"https://{world.address}/client/enrol", data=b"x" * 70_000) as answer:
        assert answer.status == 413


@pytest.mark.req("C4", "U12")
async def test_a_client_of_any_age_is_told_to_follow_and_can_fetch_the_bundle(world: World, folder: Path) -> None:
    release = folder / "release"
    (release / "share").mkdir(parents=True)
    content = bytes(range(256)) * 4096
    (release / "share" / "clients.bundle").write_bytes(content)
    await world.gateway(release=release)
    behind = to_body(UpdateQuestion("", "jump-client", "0.3", "linux"))
    status, answer = await world.post("/client/update", behind)
    assert status == 200
    assert answer["action"] == "update"
    assert (answer["version"], answer["size"]) == (VERSION, len(content))
    assert answer["sha256"] == hashlib.sha256(content).hexdigest()
    current = to_body(UpdateQuestion("x", "jump-client", VERSION, "linux"))
    assert (await world.post("/client/update", current))[1]["action"] == "stay"
    url = f"https://{world.address}{answer['bundle']}"
    async with world.http.get(url) as whole:
        assert await whole.read() == content
    async with world.http.get(url, headers={"Range": "bytes=1000-"}) as rest:
        assert rest.status == 206
        assert await rest.read() == content[1000:]


async def test_a_release_without_clients_says_so(world: World) -> None:
    await world.gateway()
    async with world.http.get(f"https://{world.address}/client/bundle") as answer:
        assert answer.status == 404
    status, answer_body = await world.post("/client/update", to_body(UpdateQuestion("", "console", "0.3", "linux")))
    assert (status, answer_body["action"], answer_body["version"]) == (200, "stay", "0.3")


@pytest.mark.parametrize("path", ["/appliance", "/appliance/", "/appliance/status/basics?x=1"])
async def test_the_sites_port_only_points_to_the_appliances(world: World, path: str) -> None:
    await world.gateway()
    async with world.http.get(f"https://{world.address}{path}", allow_redirects=False) as answer:
        assert answer.status == 302
        assert answer.headers["Location"] == "https://127.0.0.1:9443/appliance"


async def test_what_is_no_websocket_is_refused(world: World) -> None:
    await world.gateway()
    for path in ("/client/connect", "/client/session"):
        async with world.http.get(f"https://{world.address}{path}") as answer:
            assert answer.status == 400


@pytest.mark.parametrize(
    ("version", "than", "behind"),
    [
        ("1.0", "1.0.0", False),
        ("1.0", "1.0.1", True),
        ("1.10", "1.9", False),
        ("2", "1.9", False),
        ("1.0rc1", "1.0", True),
        ("x", "x", False),
    ],
)
def test_versions_are_compared_by_number(version: str, than: str, behind: bool) -> None:
    assert older(version, than) is behind
