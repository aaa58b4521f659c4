"""The gateway's plain HTTP: statement, enrolment, the frozen update question, the bundle, the way to the appliance."""

import hashlib
import json
from pathlib import Path

import pytest

from gateway.world import Enrolled, WebSocketEnd, World, new_key, until_true
from staffetta.site.data.database import in_database
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet import updates
from staffetta.site.fleet.rollout import behind as behind_of
from staffetta.wire import messages, signed
from staffetta.wire.enrolment import UpdateQuestion, make_enrol_request, to_body
from staffetta.wire.tickets import make_jump_client_hello
from vendor.publisher import release_with_clients


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
    """It is told the client's own version, which need not be the site's."""
    release = release_with_clients(folder, "4.9", "4.10")
    content = (release / "share" / "clients.bundle").read_bytes()
    await world.gateway(release=release)
    behind = to_body(UpdateQuestion("", "jump-client", "0.3", "linux"))
    status, answer = await world.post("/client/update", behind)
    assert status == 200
    assert answer["action"] == "update"
    assert (answer["version"], answer["size"]) == ("4.10", len(content))
    assert answer["sha256"] == hashlib.sha256(content).hexdigest()
    current = to_body(UpdateQuestion("x", "jump-client", "4.10", "linux"))
    assert (await world.post("/client/update", current))[1]["action"] == "stay"
    failed = to_body(UpdateQuestion("x", "jump-client", "0.3", "linux", failed="4.10"))
    assert (await world.post("/client/update", failed))[1]["action"] == "stay"
    url = f"https://{world.address}{answer['bundle']}"
    async with world.http.get(url) as whole:
        assert await whole.read() == content
    async with world.http.get(url, headers={"Range": "bytes=1000-"}) as rest:
        assert rest.status == 206
        assert await rest.read() == content[1000:]


@pytest.mark.req("C4")
async def test_clients_update_one_after_the_other(world: World, folder: Path) -> None:
    await world.gateway(release=release_with_clients(folder, "4.10"))
    await in_database(updates.set_limit, "admin", 1)
    first, second = await world.enrolled("first"), await world.enrolled("second")

    async def asked(client: Enrolled) -> dict[str, object]:
        question = UpdateQuestion(client.id, "jump-client", "4.9", "linux")
        return (await world.post("/client/update", to_body(question)))[1]

    async def arrived(client: Enrolled, version: str, **status: str) -> WebSocketEnd:
        end = await world.dial("/client/connect")
        hello = make_jump_client_hello(client.id, end.nonce, end.leaf, client.key, version, ("shell",), status)
        await end.say(hello)
        assert "client-status" in (await end.hear()).capabilities  # type: ignore[union-attr]
        return end

    async def may(client: Enrolled) -> bool:
        return (await asked(client))["action"] == "update"

    assert (await asked(first))["action"] == "update"
    waits = await asked(second)
    assert (waits["action"], waits["version"]) == ("stay", "4.9")
    assert 1 <= int(str(waits["retry_seconds"])) <= 900 and waits["reason"]
    newer = await arrived(first, "4.10")
    await until_true(lambda: may(second))
    # A client that waits for its sessions' end says so on its connection, and lets others go first.
    end = await arrived(second, "4.9")
    third = await world.enrolled("third")
    assert not await may(third)
    await end.say(messages.ClientStatus({"update_waiting": "4.10"}))
    await until_true(lambda: may(third))
    assert not newer.websocket.closed


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
    assert behind_of(version, than) is behind
