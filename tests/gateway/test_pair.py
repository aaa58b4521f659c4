"""A pair: two gateways over two databases, ends of the clients' own runtime that go from one to the other and back."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from gateway.pair import SHARED, VERSION, Appliance, Couple, a_couple
from gateway.world import PASSWORD, until, until_true
from staffetta.clients import enrolment, installed
from staffetta.clients.console import account
from staffetta.clients.console.desk import Desk, desk
from staffetta.clients.runtime.events import Happening, SessionEvent
from staffetta.clients.runtime.network import Network
from staffetta.clients.runtime.presence import Presence
from staffetta.clients.runtime.session import Session
from staffetta.clients.state_directory import StateDirectory
from staffetta.kernel.clock import utc_now
from staffetta.site.support.recording import Recording
from staffetta.wire import frames, messages, signed, tickets
from staffetta.wire.addresses import AddressBook
from staffetta.wire.fields import to_base64url
from staffetta.wire.identity import SigningKey
from staffetta.wire.vocabulary import Channel, EndName

pytestmark = pytest.mark.live

STOOD_STILL = "nothing heard"
"""How an end tells that it has lost its place on a machine that stood still; no other loss is forgiven."""


@pytest.fixture
async def couple() -> AsyncIterator[Couple]:
    async with a_couple() as made:
        yield made


@contextmanager
def _joined(*appliances: Appliance) -> Iterator[Recording]:
    """What these appliances have recorded, joined."""
    with Recording() as joined:
        for appliance in appliances:
            joined.add(appliance.recorded())
        yield joined


@dataclass
class Computer:
    """A Jump Client of the clients' own runtime: online, and in the sessions it is invited to."""

    id: str
    key: SigningKey
    network: Network
    welcomes: list[messages.Welcome] = field(default_factory=list)
    invites: asyncio.Queue[messages.Invite] = field(default_factory=asyncio.Queue)


@asynccontextmanager
async def a_computer(couple: Couple, folder: Path) -> AsyncIterator[Computer]:
    """Enrol at whoever answers first of both appliances, and come online."""
    state = StateDirectory(folder / "pc")
    state.create()
    token = enrolment.token_in(couple.token)
    identity = (await enrolment.enrol(state, couple.token, token, "till")).client
    client = installed.load(folder / "pc")
    async with Network(client.site.book(), client.remember) as network:
        computer = Computer(identity, client.key, network)

        def arrived(message: messages.Message | messages.Unknown) -> None:
            if isinstance(message, messages.Invite):
                computer.invites.put_nowait(message)

        presence = Presence(
            network,
            lambda link: tickets.make_jump_client_hello(identity, link.nonce, link.certificate, client.key, VERSION),
            computer.welcomes.append,
            arrived,
        )
        online = asyncio.ensure_future(presence.run())
        try:
            await until(lambda: bool(computer.welcomes))
            yield computer
        finally:
            online.cancel()
            await asyncio.gather(online, return_exceptions=True)


@dataclass
class LiveEnd:
    """An end of a session in the clients' own runtime."""

    session: Session
    events: list[SessionEvent]


@asynccontextmanager
async def live_end(network: Network, name: EndName, ticket: str, key: SigningKey) -> AsyncIterator[LiveEnd]:
    events: list[SessionEvent] = []
    session = Session(network, name, ticket, key, VERSION, events.append)
    running = asyncio.ensure_future(session.run())
    try:
        yield LiveEnd(session, events)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@dataclass
class Work:
    """A technician who types until it is ``enough`` and sees the echo come back."""

    session: str
    console: LiveEnd
    client: LiveEnd
    shown: list[int] = field(default_factory=list)
    longest: float = 0.0
    enough: bool = False
    keys: int | None = None
    """How many were typed, once it was enough."""

    async def type(self, pause: float) -> None:
        for number in count():
            assert await self.console.session.writable(), self.console.session.over
            if self.enough:
                self.keys = number + 1  # this is the last one: its echo is still to come
            self.console.session.send(Channel.SHELL, number.to_bytes(4, "big"))
            if self.keys is not None:
                return
            if number % 10 == 0:
                await asyncio.sleep(pause)

    async def echo(self) -> None:
        while (frame := await self.client.session.arrived()) is not None:
            self.client.session.consumed(frame)
            if await self.client.session.writable():
                self.client.session.send(Channel.SHELL, frame.payload)

    async def watch(self) -> None:
        last = time.monotonic()
        while len(self.shown) != self.keys:
            frame = await self.console.session.arrived()
            assert frame is not None, self.console.session.over
            self.console.session.consumed(frame)
            self.shown.append(int.from_bytes(frame.payload, "big"))
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now

    async def more_comes(self) -> None:
        """Wait until what is typed from now on comes back."""
        seen = len(self.shown)
        await until(lambda: len(self.shown) > seen + 100)

    def tell(self, what: str) -> None:
        told = [f"{one.event} {one.pause_ms or 0:.0f} ms" for one in self.console.events]
        sys.stdout.write(f"{what}: longest wait for an echo {self.longest * 1000:.0f} ms; {', '.join(told)}\n")
        self.longest = 0.0


@asynccontextmanager
async def at_work(couple: Couple, computer: Computer, folder: Path) -> AsyncIterator[Work]:
    """Sign a rep in at A, open a session, type into it."""
    identity = to_base64url(couple.site_key)
    rep = await account.sign_in(folder / "console", couple.a.address, identity, lambda: ("rita", PASSWORD), utc_now)
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(Network(rep.site.book(), rep.remember))
        place: Desk = await stack.enter_async_context(desk(network, rep))
        opened = await place.open(computer.id, messages.ShellOptions())
        invite = await computer.invites.get()
        console = await stack.enter_async_context(live_end(network, EndName.CONSOLE, opened.ticket, rep.key))
        client = await stack.enter_async_context(
            live_end(computer.network, EndName.JUMP_CLIENT, invite.ticket, computer.key)
        )
        work = Work(opened.session, console, client)
        tasks = [asyncio.ensure_future(one) for one in (work.type(0.02), work.echo())]
        try:
            yield work
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _swap(giver: Appliance, taker: Appliance, term: int, gap: float = 0.0) -> None:
    """The other appliance becomes the primary, in the order of a planned swap; for a while there may be none."""
    update = "update failover_relationship set peer_role = ?, peer_term = ?"
    await asyncio.to_thread(taker.sql, update, ("backup", term))
    await asyncio.to_thread(giver.sql, update, ("primary", term))
    assert await giver.becomes("backup", term) == {"role": "backup", "role_term": term}
    await asyncio.sleep(gap)
    assert await taker.becomes("primary", term) == {"role": "primary", "role_term": term}


async def _pauses(appliance: Appliance) -> set[tuple[str, int | None]]:
    """The pause of each attach that this appliance has in its reports."""
    query = "select distinct end, pause_ms from support_sessionevent where event = 'attached'"
    rows = await asyncio.to_thread(appliance.sql, query)
    return {(str(end), pause if isinstance(pause, int) else None) for end, pause in rows}


async def _has_pauses(appliance: Appliance, *pauses: int | None) -> None:
    """Wait until this appliance has attaches with each of these pauses of both ends."""
    wanted = {(str(end), pause) for end in EndName for pause in pauses}

    async def has() -> bool:
        return wanted <= await _pauses(appliance)

    await until_true(has)


async def _everybody_at(appliance: Appliance, left: Appliance | None) -> None:
    async def there() -> bool:
        if left is not None and ((seen := await left.facts()).sessions_live or seen.clients_online):
            return False
        seen = await appliance.facts()
        return seen.sessions_live == 1 and seen.clients_online == 1

    await until_true(there, 30.0)


@pytest.mark.req("F4", "S1", "S2")
async def test_a_session_goes_to_the_other_appliance_and_back_while_somebody_types(
    couple: Couple, tmp_path: Path
) -> None:
    async with a_computer(couple, tmp_path) as computer, at_work(couple, computer, tmp_path) as work:
        watching = asyncio.ensure_future(work.watch())
        await work.more_comes()
        work.tell("before")
        assert (await couple.a.facts()).role == "primary"
        # B knows the client, but has never heard of the session: it is taken up from the tickets.
        await asyncio.to_thread(couple.copy_rows, couple.a, couple.b, "fleet_jumpclient")
        await _swap(couple.a, couple.b, 2)
        await _everybody_at(couple.b, couple.a)
        work.tell("A to B")
        # An end that moves has no pause, as it says.
        await _has_pauses(couple.b, 0)
        live = await asyncio.to_thread(couple.b.sql, "select rep_name, client_name from support_livesession")
        assert live == [("rita", "till")]
        assert computer.welcomes[-1].term == 2
        seen = await couple.a.facts()
        assert (seen.role, seen.role_term, seen.sessions_live) == ("backup", 2, 0)

        async def sealed() -> bool:
            return bool(await asyncio.to_thread(couple.a.recorded))

        await until_true(sealed)  # at once, not when it is old enough
        await work.more_comes()
        # A knows it with counters of the first reign; B's own rows of it came over.
        tables = ("support_livesession", "support_attachedend")
        await asyncio.to_thread(couple.copy_rows, couple.b, couple.a, *tables)
        await _swap(couple.b, couple.a, 3, gap=3.0)
        await _everybody_at(couple.a, couple.b)
        work.tell("B to A, with three seconds without a primary")
        await _has_pauses(couple.a, None, 0)
        pointers = couple.a.log().count("pointed elsewhere") + couple.b.log().count("pointed elsewhere")
        sys.stdout.write(f"{pointers} answers pointed elsewhere\n")
        assert 3 <= pointers < 60, "three ends, each again and again with growing pauses"
        await work.more_comes()
        work.enough = True
        async with asyncio.timeout(60):
            await watching
        assert work.keys is not None and work.shown == list(range(work.keys))
        assert computer.welcomes[-1].term == 3
        for end in (work.console, work.client):
            lost = [one.detail or "" for one in end.events if one.event is Happening.LOST]
            assert all(STOOD_STILL in why for why in lost), end.events
            assert lost or [one.event for one in end.events].count(Happening.MOVED) == 2
        work.console.session.end("typed enough")
        everything = 2 * work.keys

        def recorded() -> int:
            with _joined(couple.a, couple.b) as found:
                return len(list(found.frames()))

        async def all_sealed() -> bool:
            return await asyncio.to_thread(recorded) >= everything

        await until_true(all_sealed)
    with _joined(couple.a, couple.b) as both:
        assert (both.gaps, both.conflicts) == ((), 0)
        frames_of_both = list(both.frames())
    for name in EndName:
        typed = [one.data for one in frames_of_both if one.end is name and one.data.channel == Channel.SHELL]
        assert [int.from_bytes(one.payload, "big") for one in typed] == list(range(work.keys))
    for one in (couple.a, couple.b):
        with _joined(one) as alone:
            assert 0 < len(list(alone.frames())) < len(frames_of_both), "each appliance has a part"


@pytest.mark.req("F11", "S1")
async def test_a_session_outlives_its_primary(couple: Couple, tmp_path: Path) -> None:
    async with a_computer(couple, tmp_path) as computer, at_work(couple, computer, tmp_path) as work:
        watching = asyncio.ensure_future(work.watch())
        await work.more_comes()
        await asyncio.to_thread(couple.copy_rows, couple.a, couple.b, "fleet_jumpclient")
        died = time.monotonic()
        await couple.a.die()
        await asyncio.sleep(1.0)
        await asyncio.to_thread(couple.b.sql, "update failover_relationship set peer_role = '', peer_term = 1")
        await couple.b.becomes("primary", 2)
        await _everybody_at(couple.b, None)

        async def both_attached() -> bool:
            return {end for end, _ in await _pauses(couple.b)} == set(EndName)

        await until_true(both_attached)
        pauses = await _pauses(couple.b)
        whole = (time.monotonic() - died) * 1000
        assert all(pause is not None and 0 < pause <= whole for _, pause in pauses), (pauses, whole)
        await work.more_comes()
        work.enough = True
        async with asyncio.timeout(60):
            await watching
        work.tell("A died")
        assert work.keys is not None and work.shown == list(range(work.keys))
        assert couple.b.sql("select event from support_sessionevent order by at limit 1") == [("taken-up",)]


@pytest.mark.req("F4")
async def test_a_backup_points_whoever_comes_to_the_primary(couple: Couple, tmp_path: Path) -> None:
    """Who asks the backup is enrolled and signed in by the primary."""
    await _swap(couple.a, couple.b, 2)
    identity = to_base64url(couple.site_key)
    rep = await account.sign_in(tmp_path / "console", couple.a.address, identity, lambda: ("rita", PASSWORD), utc_now)
    async with a_computer(couple, tmp_path) as computer:
        assert couple.b.sql("select name from fleet_jumpclient") == [("till",)]
        assert couple.a.sql("select name from fleet_jumpclient") == []
        # A knows the client only after the next sync, and points it to B all the same.
        book = AddressBook(couple.site_key, (couple.a.address,))
        async with Network(book, lambda _: None) as network:
            peer = await network.trusted_peer()
            assert peer.address == couple.a.address
            network.adopt((await network.statement_of(peer))[1])
            assert book.addresses == (couple.a.address, SHARED, couple.b.address)
            network.place = couple.b.address  # where a client is online it asks first
            assert (await network.trusted_peer()).address == couple.b.address
            network.place = SHARED  # nobody answers there
            assert (await network.trusted_peer()).address == couple.b.address, "where it worked last"
            book.succeeded(couple.a.address)
            route = network.route()
            link = await network.open_at(couple.a.address, "/client/connect")
            hello = tickets.make_jump_client_hello(computer.id, link.nonce, link.certificate, computer.key, VERSION)
            link.send(messages.encode(hello))
            frame = frames.decode(await link.receive())
            assert isinstance(frame, frames.Control)
            move = messages.parse(frame)
            assert isinstance(move, messages.Move)
            assert (move.term, move.addresses) == (2, (couple.b.address,))
            pointed = signed.read_statement(move.statement, couple.site_key)
            assert pointed.addresses == (couple.b.address, SHARED, couple.a.address)
            assert network.follow(route, move, couple.a.address)
            assert route.next() == couple.b.address
            link.close(4412, "")
        async with Network(rep.site.book(), rep.remember) as network, desk(network, rep) as place:

            async def listed() -> bool:
                return [(one.name, one.online) for one in await place.computers()] == [("till", True)]

            await until_true(listed)
