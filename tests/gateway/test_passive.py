"""Passive Jump Clients at a gateway: let rest, told their mode, woken when a rep wants them, waited for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.world import VERSION, Enrolled, Rep, WebSocketEnd, World, until, until_true
from staffetta.kernel.clock import parse_time, utc_now
from staffetta.site.data.database import in_database
from staffetta.site.fleet import check_ins
from staffetta.site.fleet import service as fleet
from staffetta.site.gateway.process import Gateway
from staffetta.wire import frames, messages, tickets, waking
from staffetta.wire.errors import CloseCode
from staffetta.wire.vocabulary import ClientMode

pytestmark = pytest.mark.req("C4")


class Sleeper:
    """What listens on the computer of a passive client; ``deaf`` it takes no wake-up."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.client: Enrolled | None = None
        self.calls = 0
        self.woken = asyncio.Event()
        self.deaf = False
        self.server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self.server is not None
        return int(self.server.sockets[0].getsockname()[1])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        with contextlib.closing(writer):
            if self.deaf:
                return
            nonce = bytes(range(32))
            writer.write(waking.greeting(nonce))
            answer = await reader.readexactly(waking.ANSWER_BYTES)
            assert self.client is not None
            waking.check_answer(answer, nonce, self.client.id, self._world.site_key.public)
            writer.write(waking.TAKEN)
            self.woken.set()


@pytest.fixture
async def sleeper(world: World) -> AsyncIterator[Sleeper]:
    made = Sleeper(world)
    made.server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.client = await _asleep(world, made)
    yield made
    made.server.close()


async def _asleep(world: World, sleeper: Sleeper) -> Enrolled:
    """A passive client that has checked in and rests."""
    world.settings(arrival_seconds=0.3, wake_seconds=5.0, wake_again_seconds=0.5, recheck_seconds=0.1)
    await world.gateway()
    client = await world.enrolled("till")
    await in_database(lambda: check_ins.set_mode("admin", client.id, passive=True))
    end = await _comes(world, client, sleeper.port)
    await end.say(messages.Rest())
    assert await end.close_code() == CloseCode.MOVED
    await until_true(lambda: _rests(client))
    return client


async def _rests(client: Enrolled) -> bool:
    (row,) = await in_database(fleet.list_clients, client.id)
    return row.last_seen is not None and not row.online


async def _comes(world: World, client: Enrolled, port: int) -> WebSocketEnd:
    """A passive client checks in and is told its mode."""
    end = await world.dial("/client/connect")
    status = {"mode": "passive", "check_in_seconds": "7200", "wake_port": str(port)}
    capabilities = ("shell", "passive")
    await end.say(
        tickets.make_jump_client_hello(client.id, end.nonce, end.leaf, client.key, VERSION, capabilities, status)
    )
    welcome, mode = await end.hear(), await end.hear()
    assert isinstance(welcome, messages.Welcome) and "passive" in welcome.capabilities
    assert mode == messages.NewMode(ClientMode.PASSIVE)
    return end


async def _console(world: World, rep: Rep, *capabilities: str) -> WebSocketEnd:
    end = await world.dial("/client/connect")
    hello = tickets.make_console_hello(rep.credential, end.nonce, end.leaf, rep.key, VERSION, capabilities)
    await end.say(hello)
    assert isinstance(await end.hear(), messages.Welcome)
    return end


async def test_a_rep_who_connects_has_it_woken_and_gets_the_session(world: World, sleeper: Sleeper) -> None:
    assert sleeper.client is not None
    console = await _console(world, await world.rep(), "wait")
    await console.say(messages.Open(1, sleeper.client.id, "shell"))
    waiting = await console.hear()
    assert isinstance(waiting, messages.Waiting) and waiting.woken
    assert sleeper.woken.is_set()
    end = await _comes(world, sleeper.client, sleeper.port)
    invite, opened = await end.hear(), await console.hear()
    assert isinstance(invite, messages.Invite) and isinstance(opened, messages.Opened)
    assert invite.session == opened.session


async def test_a_wake_up_that_does_not_reach_it_leaves_the_rep_waiting_with_a_time(
    world: World, sleeper: Sleeper
) -> None:
    assert sleeper.client is not None and sleeper.server is not None
    sleeper.server.close()  # as behind an address translation: nobody comes in from outside
    console = await _console(world, await world.rep(), "wait")
    began = utc_now()
    await console.say(messages.Open(1, sleeper.client.id, "shell"))
    for _ in range(3):  # it is told again and again, and tries again
        waiting = await console.hear()
        assert isinstance(waiting, messages.Waiting) and not waiting.woken and waiting.expected is not None
        assert 7000 < (parse_time(waiting.expected) - began).total_seconds() <= 7200
    assert (await _listed(console, sleeper.client)).next_check_in == waiting.expected
    end = await _comes(world, sleeper.client, 1)
    assert isinstance(await end.hear(), messages.Invite)
    opened = await _until(console, messages.Opened)
    assert isinstance(opened, messages.Opened)


async def _listed(console: WebSocketEnd, client: Enrolled) -> messages.ListedClient:
    await console.say(messages.ListClients(9))
    rows: list[messages.ListedClient] = []
    while True:
        page = await _until(console, messages.Clients)
        assert isinstance(page, messages.Clients)
        rows += page.clients
        if not page.more:
            return next(row for row in rows if row.id == client.id)


async def _until(end: WebSocketEnd, kind: type[messages.Message]) -> messages.Message:
    while not isinstance(heard := await end.hear(), kind):
        pass
    return heard


async def test_a_rep_who_waits_cancels_and_nobody_is_invited(world: World, sleeper: Sleeper) -> None:
    assert sleeper.client is not None
    sleeper.deaf = True
    console = await _console(world, await world.rep(), "wait")
    await console.say(messages.Open(1, sleeper.client.id, "shell"))
    assert isinstance(await console.hear(), messages.Waiting)
    await console.close()
    await until(lambda: not world.gateways[0]._presence.consoles)
    end = await _comes(world, sleeper.client, sleeper.port)
    await end.say(messages.Rest())
    assert await end.close_code() == CloseCode.MOVED, "nothing keeps it here"


async def test_a_console_that_cannot_wait_is_refused_with_the_time(world: World, sleeper: Sleeper) -> None:
    """One of the release before this one."""
    assert sleeper.client is not None
    sleeper.deaf = True
    console = await _console(world, await world.rep(), "shell")
    await console.say(messages.Open(1, sleeper.client.id, "shell"))
    refused = await console.hear()
    assert isinstance(refused, messages.Refused)
    assert refused.code == "client-offline" and "passive" in refused.reason and "20" in refused.reason
    sleeper.deaf = False
    world.gateways[0]._connect._waker._called.clear()
    await console.say(messages.Open(2, sleeper.client.id, "shell"))
    await sleeper.woken.wait()
    end = await _comes(world, sleeper.client, sleeper.port)
    assert isinstance(await end.hear(), messages.Invite)
    assert isinstance(await console.hear(), messages.Opened)


async def test_many_reps_wake_it_with_one_call(world: World, sleeper: Sleeper) -> None:
    assert sleeper.client is not None
    consoles = [await _console(world, await world.rep(), "wait") for _ in range(4)]
    for console in consoles:
        await console.say(messages.Open(1, sleeper.client.id, "shell"))
    for console in consoles:
        assert isinstance(await console.hear(), messages.Waiting)
    assert sleeper.calls == 1
    end = await _comes(world, sleeper.client, sleeper.port)
    invites = {(await end.hear()).session for _ in consoles}  # type: ignore[union-attr]
    assert len(invites) == 4


async def test_it_is_not_let_rest_while_a_session_is_about_to_be_opened(world: World, sleeper: Sleeper) -> None:
    assert sleeper.client is not None
    end = await _comes(world, sleeper.client, sleeper.port)
    gateway: Gateway = world.gateways[0]
    gateway._connect._opening[sleeper.client.id] += 1
    await end.say(messages.Rest())
    await end.websocket.send_bytes(frames.encode(frames.Ping(1)))
    assert frames.decode(await end.websocket.receive_bytes()) == frames.Pong(1)
    gateway._connect._opening[sleeper.client.id] -= 1
    await end.say(messages.Rest())
    assert await end.close_code() == CloseCode.MOVED


async def test_who_is_connected_is_told_when_its_mode_is_changed(world: World, sleeper: Sleeper) -> None:
    assert sleeper.client is not None
    client = sleeper.client
    end = await _comes(world, client, sleeper.port)
    older = await world.online(await world.enrolled("older"), "shell")  # knows no modes, and is told none
    await in_database(lambda: check_ins.set_mode("admin", client.id, passive=False))
    assert await end.hear() == messages.NewMode(ClientMode.ACTIVE)
    await in_database(lambda: check_ins.set_mode("admin", client.id, passive=True))
    assert await end.hear() == messages.NewMode(ClientMode.PASSIVE)
    await older.websocket.send_bytes(frames.encode(frames.Ping(1)))
    assert frames.decode(await older.websocket.receive_bytes()) == frames.Pong(1)


async def test_a_revoked_one_is_neither_woken_nor_waited_for(world: World, sleeper: Sleeper) -> None:
    assert sleeper.client is not None
    await in_database(fleet.revoke_client, "admin", sleeper.client.id)
    console = await _console(world, await world.rep(), "wait")
    await console.say(messages.Open(1, sleeper.client.id, "shell"))
    refused = await console.hear()
    assert isinstance(refused, messages.Refused) and refused.code == "client-offline"
    assert sleeper.calls == 0


@pytest.mark.req("C12")
async def test_the_gateway_remembers_since_when_its_version_serves(world: World) -> None:
    await in_database(lambda: check_ins.note_served("0.0.1"))
    before = await in_database(check_ins.served_since)
    await world.gateway()

    async def noted() -> bool:
        return await in_database(check_ins.served_since) != before

    await until_true(noted)
    since = await in_database(check_ins.served_since)
    assert since is not None and before is not None and since > before
