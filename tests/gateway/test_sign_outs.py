"""Consoles that are signed out, at the gateway: refused, closed within seconds, their sessions ended."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from django.contrib.auth import SESSION_KEY

from gateway.world import PASSWORD, Enrolled, Rep, WebSocketEnd, World, new_key, until_true
from staffetta.kernel.ids import new_id
from staffetta.site.accounts import credentials
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account, WebSession
from staffetta.site.accounts.sessions import SessionStore
from staffetta.site.data.database import in_database
from staffetta.site.gateway.sessions import about_session
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.site.support import service as support
from staffetta.site.support.models import SessionReport
from staffetta.ui.signin.sessions import token_hash
from staffetta.wire import frames, messages, tickets
from staffetta.wire.errors import CloseCode
from staffetta.wire.fields import to_base64url
from staffetta.wire.vocabulary import EndName

pytestmark = pytest.mark.req("S1", "S12")

WITHIN = 5.0
"""Seconds in which who is signed out must be out, as for a client that is revoked."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A session that both ends have joined."""

    id: str
    client: Enrolled
    at_console: WebSocketEnd
    at_client: WebSocketEnd

    async def goes_on(self) -> bool:
        """Whether what the console sends reaches the computer."""
        await self.at_console.websocket.send_bytes(frames.encode(frames.Data(1, 0, 0, b"x")))
        return (await self.at_client.hear_data()).payload == b"x"


def _browser(account_id: str) -> tuple[str, Rep]:
    """The token of a new web session, and a console of its browser."""
    token = _web_session(account_id)
    web = SessionStore(token).for_consoles()
    key = new_key()
    account = Account.objects.get(pk=account_id)
    made = credentials.for_browser(account, key.public, "192.0.2.7", web)
    return token, Rep(account_id, account.username, key, made.token)


async def under_way(world: World, rep: Rep) -> UnderWay:
    """Open a session of this console, and have both ends join."""
    client = await world.enrolled(f"computer {new_id()}")
    at_client, at_console = await world.online(client, "shell"), await world.console(rep)
    await at_console.say(messages.Open(1, client.id, "shell"))
    invite, opened = await at_client.hear(), await at_console.hear()
    assert isinstance(invite, messages.Invite) and isinstance(opened, messages.Opened)
    client_end = await world.attach(invite.ticket, 1, client.key)
    assert isinstance(await client_end.hear(), messages.Attached)
    console_end = await world.attach(opened.ticket, 1, rep.key)
    assert isinstance(await console_end.hear(), messages.Attached)
    await at_console.close()
    return UnderWay(opened.session, client, console_end, client_end)


async def refused(world: World, rep: Rep) -> str:
    """With which word a console is turned away; "" if it is welcomed."""
    end = await world.dial("/client/connect")
    await end.say(tickets.make_console_hello(rep.credential, end.nonce, end.leaf, rep.key, "1.0.0"))
    answer = await end.hear()
    if isinstance(answer, messages.Refuse):
        assert (await end.close_code(), end.close_reason) == (CloseCode.REFUSED, answer.code)
        return answer.code
    assert isinstance(answer, messages.Welcome)
    await end.close()
    return ""


async def ended_with(session: UnderWay) -> str:
    """Why the site has ended a session: both ends are told, and the report shows it."""
    for end in (session.at_console, session.at_client):
        while not isinstance(said := await end.hear(), messages.Ended):
            assert isinstance(said, messages.Peer)
        assert await end.close_code() == CloseCode.ENDED

    async def reported() -> bool:
        return await in_database(SessionReport.objects.filter(pk=session.id, ended_at__isnull=False).exists)

    await until_true(reported)
    reason: str = (await in_database(SessionReport.objects.get, pk=session.id)).end_reason
    assert reason == said.reason
    return reason


async def test_signing_out_elsewhere_ends_other_consoles_and_leaves_this_one(world: World) -> None:
    await world.gateway()
    terminal = await world.rep()
    token, here = await in_database(_browser, terminal.id)
    _, there = await in_database(_browser, terminal.id)
    sessions = {rep: await under_way(world, rep) for rep in (terminal, here, there)}
    waiting = [await world.console(rep) for rep in (terminal, there)]
    account = await in_database(Account.objects.get, pk=terminal.id)
    await in_database(accounts.sign_out_elsewhere, account, token)
    for end in waiting:
        refuse = await end.hear()
        assert isinstance(refuse, messages.Refuse) and refuse.code == "signed-out" and "sign in again" in refuse.reason
        assert await end.close_code() == CloseCode.REFUSED
    assert [await ended_with(sessions[rep]) for rep in (terminal, there)] == ["signed-out"] * 2
    assert GatewaySettings().recheck_seconds < WITHIN
    assert await sessions[here].goes_on()
    assert [await refused(world, rep) for rep in (terminal, there, here)] == ["signed-out", "signed-out", ""]


async def test_who_is_signed_out_does_not_come_back_into_a_session(world: World) -> None:
    """Also before the gateway has looked whether it may go on."""
    world.settings(recheck_seconds=600.0)
    await world.gateway()
    rep = await world.rep()
    session = await under_way(world, rep)
    assert await session.goes_on()
    account = await in_database(Account.objects.get, pk=rep.id)
    await in_database(accounts.sign_out_elsewhere, account, "")
    ticket = world.signer.ticket(session.id, EndName.CONSOLE, rep.key.public, None)
    again = await world.attach(ticket, 2, rep.key)
    assert (await again.close_code(), again.close_reason) == (CloseCode.REFUSED, "signed-out")


async def test_a_session_opened_while_the_gateway_has_not_looked_yet_ends_too(world: World) -> None:
    world.settings(recheck_seconds=600.0)
    gateway = await world.gateway()
    rep = await world.rep()
    at_console = await world.console(rep)
    client = await world.enrolled()
    at_client = await world.online(client, "shell")
    account = await in_database(Account.objects.get, pk=rep.id)
    await in_database(accounts.sign_out_elsewhere, account, "")
    await at_console.say(messages.Open(1, client.id, "shell"))
    invite = await at_client.hear()
    assert isinstance(invite, messages.Invite)
    end = await world.attach(invite.ticket, 1, client.key)
    assert isinstance(await end.hear(), messages.Attached)
    await gateway._sessions.end_what_is_over()
    said = await end.hear()
    assert isinstance(said, messages.Ended) and said.reason == "signed-out"


async def test_a_terminal_that_signs_in_again_is_in(world: World) -> None:
    await world.gateway()
    rep = await world.rep()
    account = await in_database(Account.objects.get, pk=rep.id)
    await in_database(accounts.sign_out_elsewhere, account, "")
    assert await refused(world, rep) == "signed-out"
    signed_in = await in_database(accounts.authenticate_console, rep.username, PASSWORD, "192.0.2.7")
    fresh = world.signer.credential(signed_in.id, signed_in.name, rep.key.public, signed_in.consoles_since)
    assert await refused(world, Rep(rep.id, rep.username, rep.key, fresh)) == ""


async def test_a_sign_in_that_was_under_way_when_the_password_was_reset_is_void(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password was right when it was looked at, and the credential is made after the reset."""
    await world.gateway()
    rep = await world.rep()

    def reset_meanwhile(note: Callable[..., None], actor: str, act: str, *rest: object) -> None:
        if act == "user.signed-in":
            monkeypatch.undo()
            accounts.reset_password_by_command(rep.username)
        note(actor, act, *rest)

    monkeypatch.setattr(accounts.audit, "note", partial(reset_meanwhile, accounts.audit.note))
    key = new_key()
    body = {"username": rep.username, "password": PASSWORD, "public_key": to_base64url(key.public)}
    status, answer = await world.post("/console/sign-in", json.dumps(body).encode())
    assert status == 200, answer
    assert await refused(world, Rep(rep.id, rep.username, key, str(answer["credential"]))) == "signed-out"


async def test_a_web_session_that_has_not_come_by_data_sync_keeps_its_console(world: World) -> None:
    """Right after a swing: the other appliance died in the second in which somebody had signed in there."""
    await world.gateway()
    terminal = await world.rep()
    _, rep = await in_database(_browser, terminal.id)
    await in_database(_forget, terminal.id)
    session = await under_way(world, rep)
    gateway = world.gateways[0]
    await gateway._sessions.end_what_is_over()
    assert await session.goes_on()


async def test_a_session_taken_up_from_its_ticket_hangs_on_the_web_session_that_opened_it(world: World) -> None:
    """The appliance that opened it died before it told; a new password in this browser leaves it alone."""
    await world.gateway()
    terminal = await world.rep()
    token, rep = await in_database(_browser, terminal.id)
    session = await under_way(world, rep)
    facts = await in_database(support.session, session.id)
    assert facts.sign_in.web
    ticket = world.signer.ticket("of-the-dead-one", EndName.CONSOLE, rep.key.public, about_session(facts))
    account = await in_database(Account.objects.get, pk=rep.id)
    await in_database(accounts.note_password_changed, account, token, "192.0.2.7")
    end = await world.attach(ticket, 1, rep.key)
    assert isinstance(await end.hear(), messages.Attached)
    taken = await in_database(support.session, "of-the-dead-one")
    assert taken.sign_in == facts.sign_in
    await in_database(SessionStore(token).delete)
    while not isinstance(said := await end.hear(), messages.Ended):
        assert isinstance(said, messages.Peer)
    assert said.reason == "signed-out"


def _forget(account_id: str) -> None:
    SessionStore.sessions().filter(account_id=account_id).delete()


async def test_requests_at_the_same_time_draw_one_name(world: World) -> None:
    await world.gateway()
    rep = await world.rep()
    together = threading.Barrier(2)

    def ask(token: str, number: int) -> str:
        store = SessionStore(token)
        store["x"] = number
        together.wait(10)
        name = store.for_consoles()
        store.save()
        return name

    for _ in range(10):
        token = await in_database(_web_session, rep.id)
        one, other = await asyncio.gather(in_database(ask, token, 1), in_database(ask, token, 2))
        assert one == other == (await in_database(WebSession.objects.get, token_hash=token_hash(token))).console


def _web_session(account_id: str) -> str:
    store = SessionStore()
    store.create()
    store[SESSION_KEY] = account_id
    store.save()
    return str(store.session_key)
