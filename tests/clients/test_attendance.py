"""A passive client and a site that it does not reach: it gives up for a while, and does not hammer."""

import asyncio
import contextlib
import time
from itertools import pairwise

import pytest

from staffetta.clients.jump_client import attendance, schedule
from staffetta.clients.jump_client.attendance import Attendance, Habits
from staffetta.clients.jump_client.schedule import Reason
from staffetta.clients.jump_client.waking import WakeListener
from staffetta.clients.runtime.link import Link
from staffetta.clients.runtime.network import Network
from staffetta.clients.runtime.presence import Presence
from staffetta.lab.ports import free_port
from staffetta.wire import tickets
from staffetta.wire.addresses import AddressBook
from staffetta.wire.identity import SigningKey

pytestmark = pytest.mark.req("C4")
KEY = SigningKey(bytes(32))


async def test_a_site_that_is_not_reached_is_left_alone_for_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "GIVE_UP_SECONDS", 0.2)
    monkeypatch.setattr(schedule, "FAILED_SECONDS", 0.4)
    nobody = f"127.0.0.1:{free_port()}"
    stays: list[float] = []
    async with Network(AddressBook(KEY.public, (nobody,)), lambda _: None) as network:

        def hello(link: Link):  # type: ignore[no-untyped-def]
            return tickets.make_jump_client_hello("client", link.nonce, link.certificate, KEY, "1.0")

        def connect() -> Presence:
            stays.append(time.monotonic())
            return Presence(network, hello, lambda _: None, lambda _: None)

        def retell() -> None:
            client.come(Reason.NEWS)  # as the client does that has something to tell and is not connected

        listener = WakeListener(0, KEY.public, "client", lambda: None)
        client = Attendance(Habits(3600.0, 1.0), True, connect, lambda: 0, lambda: False, listener, retell)
        client.come(Reason.WOKEN)
        running = asyncio.create_task(client.run())

        async def stayed(times: int) -> None:
            async with asyncio.timeout(30):
                while len(stays) < times:
                    await asyncio.sleep(0.05)

        await stayed(3)
        monkeypatch.setattr(schedule, "FAILED_SECONDS", 1000.0)
        pauses = [later - before for before, later in pairwise(stays)]
        assert pauses[0] >= 0.2 + 0.4 * 0.9
        assert pauses[1] >= 0.2 + 0.8 * 0.9
        while client._presence is not None:
            await asyncio.sleep(0.05)
        client.come(Reason.ASKED)  # who calls while it rests is heard at once
        await stayed(4)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
