"""What a passive client listens for: real sockets, and strangers who try."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from staffetta.clients.jump_client import waking as listening
from staffetta.clients.jump_client.waking import WakeListener
from staffetta.lab.ports import free_port
from staffetta.wire import waking
from staffetta.wire.identity import SigningKey

pytestmark = pytest.mark.req("C4")
SITE, STRANGER = SigningKey(bytes(32)), SigningKey(bytes(range(32)))
CLIENT = "client-1"


class Sleeper:
    """A listener, and how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0
        self.listener = WakeListener(free_port(), SITE.public, CLIENT, self.wake)

    def wake(self) -> None:
        self.woken += 1

    async def call(self, key: SigningKey, client: str = CLIENT) -> bytes:
        """Call it as a site does; what it answered in the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            greeted = await reader.read(waking.GREETING_BYTES)
            if greeted:
                writer.write(waking.make_answer(waking.read_greeting(greeted), client, key))
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def sleeper() -> AsyncIterator[Sleeper]:
    made = Sleeper()
    await made.listener.start()
    yield made
    await made.listener.stop()


async def test_the_site_wakes_it_and_a_stranger_does_not(sleeper: Sleeper) -> None:
    assert await sleeper.call(STRANGER) == b""
    assert await sleeper.call(SITE, "client-2") == b""
    assert sleeper.woken == 0
    assert await sleeper.call(SITE) == waking.TAKEN
    assert sleeper.woken == 1


async def test_an_overheard_wake_up_is_worth_nothing(sleeper: Sleeper) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sleeper.listener.port)
    overheard = waking.make_answer(waking.read_greeting(await reader.readexactly(waking.GREETING_BYTES)), CLIENT, SITE)
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", sleeper.listener.port)
    await reader.readexactly(waking.GREETING_BYTES)
    writer.write(overheard)
    assert await reader.read() == b""
    writer.close()
    assert sleeper.woken == 0


async def test_even_the_site_wakes_it_only_so_often(sleeper: Sleeper) -> None:
    answers = [await sleeper.call(SITE) for _ in range(listening.WAKES + 3)]
    assert answers.count(waking.TAKEN) == sleeper.woken == listening.WAKES


async def test_tries_are_bounded(sleeper: Sleeper) -> None:
    for _ in range(listening.TRIES):
        await sleeper.call(STRANGER)
    reader, writer = await asyncio.open_connection("127.0.0.1", sleeper.listener.port)
    greeted = [await reader.read(1)]
    writer.close()
    for _ in range(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", sleeper.listener.port)
        greeted.append(await reader.read(1))
        writer.close()
    assert b"" in greeted, "not every stranger is answered any more"


async def test_who_connects_and_says_nothing_holds_few_places_and_not_for_long(
    sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "PATIENCE_SECONDS", 2.0)
    silent = [await asyncio.open_connection("127.0.0.1", sleeper.listener.port) for _ in range(listening.AT_ONCE)]
    for reader, _ in silent:
        await reader.readexactly(waking.GREETING_BYTES)
    assert await sleeper.call(SITE) == b"", "all places are taken"
    for reader, writer in silent:
        assert await reader.read() == b""
        writer.close()
    assert await sleeper.call(SITE) == waking.TAKEN


async def test_a_port_that_is_taken_leaves_the_client_without_wake_ups() -> None:
    with socket.create_server(("", 0)) as held:
        listener = WakeListener(held.getsockname()[1], SITE.public, CLIENT, lambda: None)
        await listener.start()
        assert listener.port is None
    off = WakeListener(0, SITE.public, CLIENT, lambda: None)
    await off.start()
    assert off.port is None
