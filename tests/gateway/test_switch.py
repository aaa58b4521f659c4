"""A session goes on while its gateway is replaced under it: the clients' own runtime, nothing lost, all recorded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.test_sessions import recorded_frames
from gateway.world import VERSION, Opened, World, until_true
from staffetta.clients.runtime.events import Happening, SessionEvent
from staffetta.clients.runtime.network import Network
from staffetta.clients.runtime.session import Session
from staffetta.front.certificates import make_self_signed
from staffetta.kernel.files import write_atomically
from staffetta.site.data.database import in_database
from staffetta.site.fleet import service as fleet
from staffetta.wire import frames, messages, signed
from staffetta.wire.addresses import AddressBook
from staffetta.wire.identity import SigningKey
from staffetta.wire.vocabulary import Channel, EndName

KEYS = 3000


class LiveEnd:
    """An end of the clients' own runtime."""

    def __init__(self, session: Session, network: Network) -> None:
        self.session = session
        self.network = network
        self.events: list[SessionEvent] = []
        self.running: asyncio.Task[str] | None = None


@asynccontextmanager
async def live_end(world: World, name: EndName, ticket: str, key: SigningKey) -> AsyncIterator[LiveEnd]:
    events: list[SessionEvent] = []
    book = AddressBook(world.site_key.public, (world.address,), world.signer.statement())
    async with Network(book, lambda _: None) as network:
        session = Session(network, name, ticket, key, VERSION, events.append)
        end = LiveEnd(session, network)
        end.events = events
        end.running = asyncio.ensure_future(session.run())
        try:
            yield end
        finally:
            end.running.cancel()
            await asyncio.gather(end.running, return_exceptions=True)


async def echo(end: LiveEnd) -> None:
    while (frame := await end.session.arrived()) is not None:
        end.session.consumed(frame)
        if await end.session.writable():
            end.session.send(Channel.SHELL, frame.payload)


async def type_numbers(end: LiveEnd, pause: float) -> None:
    for number in range(KEYS):
        assert await end.session.writable()
        end.session.send(Channel.SHELL, number.to_bytes(4, "big"))
        if number % 10 == 0:
            await asyncio.sleep(pause)


async def collect(end: LiveEnd) -> list[int]:
    found: list[int] = []
    while len(found) < KEYS:
        frame = await end.session.arrived()
        assert frame is not None, end.session.over
        end.session.consumed(frame)
        found.append(int.from_bytes(frame.payload, "big"))
    return found


@asynccontextmanager
async def both_ends(world: World, opened: Opened) -> AsyncIterator[tuple[LiveEnd, LiveEnd]]:
    async with (
        live_end(world, EndName.CONSOLE, opened.console_ticket, opened.rep.key) as console,
        live_end(world, EndName.JUMP_CLIENT, opened.client_ticket, opened.client.key) as client,
    ):
        yield console, client


@pytest.mark.req("U9", "S1", "S2")
async def test_a_session_keeps_every_byte_through_three_gateways(world: World) -> None:
    gateway = await world.gateway()
    opened = await world.opened()
    async with both_ends(world, opened) as (console, client):
        echoing = asyncio.ensure_future(echo(client))
        typing = asyncio.ensure_future(type_numbers(console, 0.01))
        collecting = asyncio.ensure_future(collect(console))
        for _ in range(2):
            await asyncio.sleep(0.5)
            newer = await world.gateway(active=False)
            await gateway.deactivate()
            await newer.activate([world.kept()])
            draining = asyncio.ensure_future(gateway.drain(30.0))
            await opened.at_client.close()
            await opened.at_console.close()
            await draining
            await world.leave(gateway)
            gateway = newer
        async with asyncio.timeout(30):
            assert await collecting == list(range(KEYS))
        await typing
        for end in (console, client):
            moves = [event for event in end.events if event.event in (Happening.MOVED, Happening.RESUMED)]
            assert len(moves) >= 2, end.events
        console.session.end("typed enough")
        echoing.cancel()

    async def all_recorded() -> bool:
        found = await recorded_frames(opened.session)
        each = {
            (frame.end, frame.data.channel, frame.data.sequence): frame.data.payload
            for frame in found
            if frame.data.channel == Channel.SHELL
        }
        expected = {
            (end, Channel.SHELL, number): number.to_bytes(4, "big") for end in EndName for number in range(KEYS)
        }
        return each == expected

    await until_true(all_recorded)


@pytest.mark.req("U9")
async def test_a_gateway_that_dies_costs_a_pause_and_nothing_else(world: World) -> None:
    gateway = await world.gateway()
    opened = await world.opened()
    async with both_ends(world, opened) as (console, client):
        echoing = asyncio.ensure_future(echo(client))
        typing = asyncio.ensure_future(type_numbers(console, 0.01))
        collecting = asyncio.ensure_future(collect(console))
        await asyncio.sleep(0.5)
        await world.leave(gateway)
        await world.gateway()
        async with asyncio.timeout(30):
            assert await collecting == list(range(KEYS))
        await typing
        echoing.cancel()


async def test_a_generation_that_is_put_back_serves_again(world: World) -> None:
    older = await world.gateway()
    client = await world.enrolled()
    end = await world.online(client)
    await older.deactivate()
    newer = await world.gateway()
    fresh = await world.online(await world.enrolled())
    await newer.deactivate()
    await world.leave(newer)
    assert await fresh.close_code() is not None
    await older.activate([world.kept()])
    again = await world.online(await world.enrolled())
    for online in (end, again):
        await online.websocket.send_bytes(frames.encode(frames.Ping(3)))
        assert frames.decode(await online.websocket.receive_bytes()) == frames.Pong(3)


async def test_the_statement_names_a_certificate_that_was_just_swapped(world: World) -> None:
    await world.gateway()
    before = await world.online(await world.enrolled())
    write_atomically(world.pem, make_self_signed(["localhost"], ["127.0.0.1"], 20))
    world.certificates.reload()
    after = await world.online(await world.enrolled())
    statement = signed.read_statement(after.statement, world.site_key.public)
    assert before.leaf != after.leaf
    assert statement.names(after.leaf)
    assert statement.names(before.leaf)
    first = signed.read_statement(before.statement, world.site_key.public)
    assert statement.sequence > first.sequence


async def test_what_does_not_move_by_itself_is_closed_and_counted(world: World) -> None:
    world.settings(move_patience_seconds=0.3)
    gateway = await world.gateway()
    opened = await world.opened()
    stubborn = await world.attach(opened.console_ticket, 1, opened.rep.key)
    assert isinstance(await stubborn.hear(), messages.Attached)
    draining = asyncio.ensure_future(gateway.drain(10.0))
    assert isinstance(await opened.at_client.hear(), messages.Move)
    assert isinstance(await stubborn.hear(), messages.Move)
    for end in (stubborn, opened.at_client, opened.at_console):
        assert await end.close_code() == 4412
    await draining
    gone = await in_database(fleet.list_clients, opened.client.id)
    assert [row.online for row in gone] == [False]
