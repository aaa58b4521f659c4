"""/client/connect: who is let in, what the list and opening a session answer, and what one bad frame does."""

import asyncio
import json

import pytest

from gateway.world import PASSWORD, VERSION, World, new_key, until_true
from staffetta.site.accounts.models import Account
from staffetta.site.data.database import in_database
from staffetta.site.fleet import service as fleet
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.wire import frames, messages, signed, tickets
from staffetta.wire.errors import CloseCode
from staffetta.wire.fields import to_base64url


async def _online_in_database(client: str) -> bool:
    rows = await in_database(fleet.list_clients, client)
    return any(row.online for row in rows)


async def test_a_client_enrols_comes_online_and_goes(world: World) -> None:
    await world.gateway()
    client = await world.enrolled("reception")
    end = await world.online(client)
    statement = signed.read_statement(end.statement, world.site_key.public)
    assert statement.names(end.leaf)
    assert statement.addresses == (world.address,)
    await until_true(lambda: _online_in_database(client.id))
    await end.websocket.send_bytes(frames.encode(frames.Ping(5)))
    assert frames.decode(await end.websocket.receive_bytes()) == frames.Pong(5)
    await end.close()

    async def offline() -> bool:
        return not await _online_in_database(client.id)

    await until_true(offline)


async def test_a_hello_without_the_clients_key_is_not_proven(world: World) -> None:
    await world.gateway()
    client = await world.enrolled()
    end = await world.dial("/client/connect")
    await end.say(tickets.make_jump_client_hello(client.id, end.nonce, end.leaf, new_key(), VERSION))
    refuse = await end.hear()
    assert isinstance(refuse, messages.Refuse)
    assert refuse.code == "not-proven"
    assert await end.close_code() == CloseCode.NOT_PROVEN


async def test_a_hello_for_another_connection_is_not_proven(world: World) -> None:
    await world.gateway()
    client = await world.enrolled()
    first, second = await world.dial("/client/connect"), await world.dial("/client/connect")
    await second.say(tickets.make_jump_client_hello(client.id, first.nonce, first.leaf, client.key, VERSION))
    assert isinstance(await second.hear(), messages.Refuse)
    assert await second.close_code() == CloseCode.NOT_PROVEN


async def test_a_revoked_client_is_closed_and_stays_out(world: World) -> None:
    assert GatewaySettings().recheck_seconds < 5, "what docs/threat-model.md says"
    await world.gateway()
    client, other = await world.enrolled(), await world.enrolled()
    end, unaffected = await world.online(client), await world.online(other)
    await in_database(fleet.revoke_client, "admin", client.id)
    assert await end.close_code() == CloseCode.REFUSED
    again = await world.dial("/client/connect")
    await again.say(tickets.make_jump_client_hello(client.id, again.nonce, again.leaf, client.key, VERSION))
    refuse = await again.hear()
    assert isinstance(refuse, messages.Refuse)
    assert refuse.code == "client-revoked"
    assert await again.close_code() == CloseCode.REFUSED
    await unaffected.websocket.send_bytes(frames.encode(frames.Ping(1)))
    assert frames.decode(await unaffected.websocket.receive_bytes()) == frames.Pong(1)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "empty-frame"),
        (b"\x77nonsense", "unknown-frame-type"),
        (b"\x01{not json", "bad-json"),
        (b"\x02short", "truncated-frame"),
        (b"\x01" + b" " * frames.MAX_MESSAGE, "oversized-frame"),
        (b"\x10" + b"x" * 100_000, "oversized-frame"),
    ],
)
async def test_a_bad_frame_ends_its_own_connection_only(world: World, message: bytes, reason: str) -> None:
    await world.gateway()
    victim, other = await world.enrolled(), await world.enrolled()
    bad, good = await world.online(victim), await world.online(other)
    await bad.websocket.send_bytes(message)
    assert await bad.close_code() == CloseCode.BAD_FRAME
    assert bad.close_reason.startswith(reason)
    await good.websocket.send_bytes(frames.encode(frames.Ping(9)))
    assert frames.decode(await good.websocket.receive_bytes()) == frames.Pong(9)


async def test_text_is_a_bad_frame(world: World) -> None:
    await world.gateway()
    end = await world.online(await world.enrolled())
    await end.websocket.send_str("hello")
    assert await end.close_code() == CloseCode.BAD_FRAME


async def test_a_connection_without_a_hello_is_closed(world: World) -> None:
    world.settings(hello_seconds=0.2)
    await world.gateway()
    end = await world.dial("/client/connect")
    assert await end.close_code() == CloseCode.SILENT


async def test_a_newer_connection_of_a_client_replaces_the_older(world: World) -> None:
    await world.gateway()
    client = await world.enrolled()
    older = await world.online(client)
    newer = await world.online(client)
    assert await older.close_code() == CloseCode.FENCED
    await newer.websocket.send_bytes(frames.encode(frames.Ping(2)))
    assert frames.decode(await newer.websocket.receive_bytes()) == frames.Pong(2)


async def test_the_console_lists_clients(world: World) -> None:
    await world.gateway()
    client = await world.enrolled("printer room")
    end = await world.online(client)
    await until_true(lambda: _online_in_database(client.id))
    console = await world.console(await world.rep())
    await console.say(messages.ListClients(3))
    listed = []
    while True:
        page = await console.hear()
        assert isinstance(page, messages.Clients)
        assert page.request == 3
        listed.extend(page.clients)
        if not page.more:
            break
    mine = next(row for row in listed if row.id == client.id)
    await end.close()
    assert (mine.name, mine.online, mine.version, mine.platform) == ("printer room", True, VERSION, "Linux")


async def test_opening_a_session_with_an_offline_client_is_refused(world: World) -> None:
    await world.gateway()
    client = await world.enrolled()
    console = await world.console(await world.rep())
    await console.say(messages.Open(1, client.id, "shell"))
    refused = await console.hear()
    assert isinstance(refused, messages.Refused)
    assert refused.code == "client-offline"
    await console.say(messages.Open(2, client.id, "teleport"))
    refused = await console.hear()
    assert isinstance(refused, messages.Refused)
    assert refused.code == "kind-unknown"


async def test_a_client_still_at_the_older_generation_is_fetched_when_it_is_needed(world: World) -> None:
    older = await world.gateway()
    client = await world.enrolled()
    at_older = await world.online(client)
    await until_true(lambda: _online_in_database(client.id))
    await older.deactivate()
    await world.gateway()
    console = await world.console(await world.rep())
    await console.say(messages.Open(1, client.id, "shell"))
    assert isinstance(await at_older.hear(), messages.Move)
    at_newer = await world.online(client)
    assert isinstance(await at_newer.hear(), messages.Invite)
    assert isinstance(await console.hear(), messages.Opened)


async def test_an_invitation_that_went_down_with_its_connection_is_sent_again(world: World) -> None:
    gateway = await world.gateway()
    opened = await world.opened()
    await world.leave(gateway)
    await world.gateway()
    again = await world.online(opened.client)
    invite = await again.hear()
    assert isinstance(invite, messages.Invite)
    assert invite.session == opened.session
    joined = await world.attach(invite.ticket, 1, opened.client.key)
    assert isinstance(await joined.hear(), messages.Attached)
    await again.close()
    third = await world.online(opened.client)
    await third.websocket.send_bytes(frames.encode(frames.Ping(4)))
    assert frames.decode(await third.websocket.receive_bytes()) == frames.Pong(4)


async def test_a_disabled_rep_loses_the_console(world: World) -> None:
    await world.gateway()
    rep = await world.rep()
    console = await world.console(rep)
    await in_database(lambda: Account.objects.filter(pk=rep.id).update(is_active=False))
    assert await console.close_code() == CloseCode.REFUSED


async def test_a_credential_is_worth_nothing_without_its_key_or_after_its_time(world: World) -> None:
    await world.gateway()
    rep = await world.rep()
    end = await world.dial("/client/connect")
    await end.say(tickets.make_console_hello(rep.credential, end.nonce, end.leaf, new_key(), VERSION))
    assert await end.close_code() == CloseCode.NOT_PROVEN


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [({"password": "wrong"}, 403, "wrong-password"), ({"public_key": "AAAA"}, 400, "bad-frame")],
)
async def test_a_wrong_sign_in_is_refused(world: World, change: dict[str, str], status: int, code: str) -> None:
    await world.gateway()
    rep = await world.rep()
    body = {"username": rep.username, "password": PASSWORD, "public_key": to_base64url(new_key().public), **change}
    answered, refusal = await world.post("/console/sign-in", json.dumps(body).encode())
    assert (answered, refusal["code"]) == (status, code)


async def test_a_herd_is_told_to_move_at_the_set_rate(world: World) -> None:
    world.settings(moves_per_second=40)
    gateway = await world.gateway()
    clients = [await world.enrolled(f"pc {number}") for number in range(12)]
    ends = [await world.online(client) for client in clients]
    began = asyncio.get_running_loop().time()
    draining = asyncio.ensure_future(gateway.drain(20.0))
    told = []
    for end in ends:
        assert isinstance(await end.hear(), messages.Move)
        told.append(asyncio.get_running_loop().time() - began)
        await end.close()
    await draining
    assert 0.1 < told[-1] < 20.0, "within the time that the drain has"
    assert world.gateways
