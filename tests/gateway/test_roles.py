"""A gateway in each role, in this process: whom it points elsewhere, whom it still judges itself, how it steps down."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.test_sessions import join, recorded_frames
from gateway.world import PASSWORD, VERSION, WebSocketEnd, World, new_key, until_true
from staffetta.control.private import facts
from staffetta.kernel.clock import utc_now
from staffetta.site.data import identity
from staffetta.site.data.database import in_database
from staffetta.site.data.models import SiteInstance, SiteKey
from staffetta.site.data.roles import Role
from staffetta.site.data.secrets import Secret
from staffetta.site.failover.models import Relationship
from staffetta.site.fleet import service as fleet
from staffetta.site.gateway.letting_go import LettingGo
from staffetta.site.gateway.process import Gateway
from staffetta.site.gateway.standing import Pair, Standing, alone
from staffetta.site.support import service as support
from staffetta.wire import frames, messages, signed, tickets
from staffetta.wire.enrolment import make_enrol_request, to_body
from staffetta.wire.errors import CloseCode
from staffetta.wire.fields import to_base64url
from staffetta.wire.identity import SigningKey, certificate_sha256
from staffetta.wire.vocabulary import EndName

PEER = "127.0.0.1:4"
PEER_LEAF = b"p" * 32


def _store(role: Role, term: int, own_port: int) -> None:
    SiteInstance.objects.update(role=role.value, role_term=term)
    Relationship.objects.update_or_create(
        only=True,
        defaults={
            "peer_origin": "peer",
            "peer_key": b"k" * 32,
            "peer_host": "127.0.0.1",
            "peer_port": 4,
            "own_host": "127.0.0.1",
            "own_port": own_port,
            "peer_leaf": PEER_LEAF.hex(),
            "peer_role": "",
            "established_at": utc_now(),
        },
    )


def _alone_again() -> None:
    SiteInstance.objects.update(role=Role.ALONE.value, role_term=1)
    Relationship.objects.all().delete()


Become = Callable[[Gateway, Role, int], "asyncio.Future[None]"]


@pytest.fixture
async def become(world: World) -> AsyncIterator[Become]:
    """Store another role, and let the gateway look."""

    async def go(gateway: Gateway, role: Role, term: int) -> None:
        await in_database(_store, role, term, world.port)
        await gateway.look_at_role()

    yield lambda gateway, role, term: asyncio.ensure_future(go(gateway, role, term))
    await in_database(_alone_again)


async def pointed(world: World, end: WebSocketEnd, term: int) -> None:
    """The end is told where the primary is, by a statement that holds, and then closed."""
    move = await end.hear()
    assert isinstance(move, messages.Move)
    assert (move.term, move.addresses) == (term, (PEER,))
    statement = signed.read_statement(move.statement, world.site_key.public)
    assert statement.addresses[0] == PEER
    assert statement.names(end.leaf)
    assert statement.names(PEER_LEAF)
    challenged = signed.read_statement(end.statement, world.site_key.public)
    assert (challenged.term, challenged.sequence) >= (statement.term, statement.sequence), "a pointer replaces nothing"
    assert await end.close_code() == CloseCode.MOVED


@pytest.mark.req("F4")
async def test_a_backup_points_the_proven_elsewhere_and_refuses_the_others(world: World, become: Become) -> None:
    gateway = await world.gateway()
    client, revoked, rep = await world.enrolled(), await world.enrolled(), await world.rep()
    await in_database(fleet.revoke_client, "admin", revoked.id)
    await become(gateway, Role.BACKUP, 2)
    for client_id, key, close in (
        (client.id, client.key, None),
        ("enrolled-at-the-primary", new_key(), None),
        (client.id, new_key(), CloseCode.NOT_PROVEN),
        (revoked.id, revoked.key, CloseCode.REFUSED),
    ):
        end = await world.dial("/client/connect")
        await end.say(tickets.make_jump_client_hello(client_id, end.nonce, end.leaf, key, VERSION))
        if close is None:
            await pointed(world, end, 2)
        else:
            assert await end.close_code() == close
    console = await world.dial("/client/connect")
    await console.say(tickets.make_console_hello(rep.credential, console.nonce, console.leaf, rep.key, VERSION))
    await pointed(world, console, 2)
    thief = await world.dial("/client/connect")
    await thief.say(tickets.make_console_hello(rep.credential, thief.nonce, thief.leaf, new_key(), VERSION))
    assert await thief.close_code() == CloseCode.NOT_PROVEN


def _change_site_key(seed: bytes) -> bytes:
    """Store another site's key, as data-sync does on a new backup; return the seed of the one before."""
    row = SiteKey.objects.get(purpose=identity.SITE_IDENTITY)
    before = row.seed.reveal()
    row.seed = Secret(seed)
    row.save()
    return before


@pytest.mark.req("F4")
async def test_the_site_key_that_data_sync_brings_signs_without_a_restart(world: World, become: Become) -> None:
    """Else a backup that is made the primary is another site for every client that comes."""
    gateway = await world.gateway()
    seed = os.urandom(32)
    before = await in_database(_change_site_key, seed)
    try:
        shared = SigningKey(seed)
        for role, term in ((Role.BACKUP, 2), (Role.PRIMARY, 3)):
            await become(gateway, role, term)
            end = await world.dial("/client/connect")
            statement = signed.read_statement(end.statement, shared.public)
            assert (statement.term, statement.site) == (term, certificate_sha256(shared.public).hex()[:32])
        client = await world.enrolled()
        end = await world.dial("/client/connect")
        await end.say(tickets.make_jump_client_hello(client.id, end.nonce, end.leaf, client.key, VERSION))
        assert isinstance(await end.hear(), messages.Welcome)
    finally:
        await in_database(_change_site_key, before)


@pytest.mark.req("F4", "C4")
async def test_a_backup_enrols_nobody_and_signs_nobody_in_but_answers_what_both_answer(
    world: World, become: Become
) -> None:
    gateway = await world.gateway()
    rep = await world.rep()
    token = await in_database(fleet.make_installer_token, "admin", 1, 1)
    await become(gateway, Role.BACKUP, 2)
    key = new_key()
    enrol = to_body(make_enrol_request(token.text, key, world.signer.certificate(), "pc", VERSION, {}))
    asked = {"username": rep.username, "password": PASSWORD, "public_key": to_base64url(key.public)}
    for path, body in (("/client/enrol", enrol), ("/console/sign-in", json.dumps(asked).encode())):
        status, answer = await world.post(path, body)
        assert (status, answer["code"]) == (409, "elsewhere")
        assert signed.read_statement(str(answer["statement"]), world.site_key.public).addresses[0] == PEER
    bad = to_body(make_enrol_request(token.text, key, b"z" * 32, "pc", VERSION, {}))
    assert (await world.post("/client/enrol", bad))[0] == 403
    question = {"format": 1, "client": "", "kind": "console", "version": "0.9", "platform": "linux"}
    status, answer = await world.post("/client/update", json.dumps(question).encode())
    assert (status, answer["action"], answer["version"]) == (200, "stay", "0.9")
    assert "ask the primary" in str(answer["reason"]), "it may run another release, and counts slots of its own"
    assert 0 < int(str(answer["retry_seconds"])) <= 60
    seen = await facts(gateway._environment.run / "private.sock")
    assert (seen.role, seen.role_term) == ("backup", 2)
    assert "nothing lost" in await gateway._prover._session(), "a new release proves itself on a backup too"


@pytest.mark.req("F4", "F9")
async def test_a_backup_keeps_no_connection_of_who_came_by_the_shared_name(world: World, become: Become) -> None:
    """A browser would go on asking it for as long as somebody works there."""
    gateway = await world.gateway()
    statement = f"https://{world.address}/client/statement"

    async def kept(browser: aiohttp.ClientSession, host: str) -> bool:
        async with browser.get(statement, headers={"Host": host}) as answer:
            await answer.read()
            return answer.headers.get("Connection", "").lower() != "close"

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as browser:
        assert await kept(browser, "support.example.com")
        await become(gateway, Role.BACKUP, 2)
        pair = gateway._signer.standing.pair
        assert pair is not None
        assert not await kept(browser, "support.example.com")
        assert await kept(browser, pair.own)


async def test_a_page_that_is_not_for_a_backup_is_asked_for_again_elsewhere(world: World, become: Become) -> None:
    gateway = await world.gateway()
    await become(gateway, Role.BACKUP, 2)
    letting_go = LettingGo(gateway._signer)
    for status, again in ((409, "1"), (200, None), (404, None)):
        response = web.Response(status=status)
        await letting_go(make_mocked_request("GET", "/login/console", {"Host": "support.example.com"}), response)
        assert response.headers.get("Refresh") == again
        assert response.headers["Connection"] == "close"


@pytest.mark.req("F4", "S1")
async def test_stepping_down_moves_sessions_and_the_idle_and_seals_what_was_recorded(
    world: World, become: Become
) -> None:
    gateway = await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await console.websocket.send_bytes(frames.encode(frames.Data(1, 0, 5, b"ls\n")))
    assert (await client.hear_data()).payload == b"ls\n"
    await become(gateway, Role.BACKUP, 2)
    for end in (console, client, opened.at_console, opened.at_client):
        move = await end.hear()
        assert isinstance(move, messages.Move)
        assert (move.term, move.addresses) == (2, (PEER,))
    # Those who have not gone yet are served: nobody is cut.
    await client.websocket.send_bytes(frames.encode(frames.Data(1, 0, 9, b"file")))
    assert (await console.hear_data()).payload == b"file"
    await opened.at_console.say(messages.Open(9, opened.client.id, "shell"))
    assert isinstance(await opened.at_console.hear(), messages.Move)
    refused = await opened.at_console.hear()
    assert isinstance(refused, messages.Refused)
    assert refused.code == "elsewhere"
    await console.close()

    async def sealed() -> bool:
        return len(await recorded_frames(opened.session)) == 2

    await until_true(sealed, 5.0)  # long before a segment is old enough
    late = await world.attach(opened.console_ticket, 2, opened.rep.key)
    await pointed(world, late, 2)
    # Promoted again before everybody was gone: those who are still there stay.
    await become(gateway, Role.PRIMARY, 3)
    back = await world.attach(opened.console_ticket, 3, opened.rep.key)
    attached = await back.hear()
    assert isinstance(attached, messages.Attached)
    assert (attached.term, attached.peer) == (3, True)
    ticket = signed.claims_of(tickets.Ticket, signed.Typ.TICKET, attached.ticket, world.site_key.public)
    assert ticket.term == 3


async def test_who_does_not_go_is_closed_after_its_patience(world: World, become: Become) -> None:
    world.settings(move_patience_seconds=0.3)
    gateway = await world.gateway()
    stubborn = await world.online(await world.enrolled())
    await become(gateway, Role.BACKUP, 2)
    assert isinstance(await stubborn.hear(), messages.Move)
    assert await stubborn.close_code() == CloseCode.MOVED


@pytest.mark.req("F11")
async def test_a_ticket_of_a_later_term_shows_that_the_other_one_is_primary(world: World, become: Become) -> None:
    gateway = await world.gateway()
    opened = await world.opened()
    key = opened.rep.key
    later = tickets.make_ticket(opened.session, EndName.CONSOLE, key.public, 5, utc_now(), world.site_key)
    refused = await world.attach(later, 1, key)
    assert await refused.close_code() == CloseCode.NOT_PROVEN, "with no pair there is nowhere to go"
    await become(gateway, Role.PRIMARY, 2)
    end = await world.attach(later, 1, key)
    await pointed(world, end, 5)
    thief = await world.attach(later, 1, new_key())
    assert await thief.close_code() == CloseCode.NOT_PROVEN


@pytest.mark.req("F11", "S2")
async def test_an_unknown_session_is_taken_up_from_what_its_tickets_say(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    facts_of = await in_database(support.session, opened.session)
    about = tickets.About(
        facts_of.rep_id, facts_of.client_id, "shell", True, round(facts_of.opened_at.timestamp() * 1000)
    )
    for end, key in ((EndName.CONSOLE, opened.rep.key), (EndName.JUMP_CLIENT, opened.client.key)):
        ticket = tickets.make_ticket("of-the-other", end, key.public, 1, utc_now(), world.site_key, about)
        attach = await world.attach(ticket, 40, key)
        attached = await attach.hear()
        assert isinstance(attached, messages.Attached)
        assert attached.recorded
        older = await world.attach(ticket, 39, key)
        assert await older.close_code() == CloseCode.FENCED
    taken = await in_database(support.session, "of-the-other")
    assert (taken.rep_name, taken.client_name) == (opened.rep.username, "front desk")
    assert abs(taken.opened_at - facts_of.opened_at) < timedelta(milliseconds=1)


async def test_a_changed_peer_is_told_to_all_who_are_connected(world: World, become: Become) -> None:
    gateway = await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await become(gateway, Role.PRIMARY, 1)
    for end in (console, client, opened.at_console, opened.at_client):
        told = await end.hear()
        assert isinstance(told, messages.NewStatement)
        statement = signed.read_statement(told.statement, world.site_key.public)
        assert statement.addresses == (world.address, PEER)
        assert statement.names(PEER_LEAF)
        assert statement.appliance


def test_what_a_standing_says() -> None:
    pair = Pair("a:443", "b:443", "00" * 32, "primary", 7)
    primary = Standing("one", Role.PRIMARY, 6, ("shared:443", "a:443", "a-lan:443"), pair)
    assert primary.addresses == ("shared:443", "a:443", "b:443", "a-lan:443")
    assert (primary.serves, primary.term, primary.peer_leaves) == (True, 6, (bytes(32),))
    backup = Standing("one", Role.BACKUP, 6, ("shared:443", "a:443"), pair)
    assert backup.addresses == ("shared:443", "b:443", "a:443")
    assert backup.pointer == ("b:443", "shared:443", "a:443")
    assert (backup.serves, backup.term) == (False, 7)
    without_shared = Standing("one", Role.BACKUP, 6, ("a:443",), pair)
    assert without_shared.addresses == ("b:443", "a:443")
    assert Standing("one", Role.BACKUP, 6, (), Pair("a:1", "b:1", "", "", 0)).peer_leaves == ()
    assert alone(("a:443",)).addresses == alone(("a:443",)).pointer == ("a:443",)
