"""/client/session: joining with a ticket, the fence, the relay, and what is turned away."""

import asyncio
import os
import socket
import sys
from datetime import timedelta

import pytest

from gateway.world import VERSION, Opened, WebSocketEnd, World, new_key, until_true
from staffetta.kernel.clock import utc_now
from staffetta.site.data import blobs, projections
from staffetta.site.data.database import in_database
from staffetta.site.data.models import Record
from staffetta.site.fleet import service as fleet
from staffetta.site.support import service as support
from staffetta.site.support.models import SessionEvent, SessionSegment
from staffetta.site.support.segments import RecordedFrame, read_segment
from staffetta.wire import frames, messages, tickets
from staffetta.wire.errors import CloseCode
from staffetta.wire.vocabulary import EndName


async def join(world: World, opened: Opened) -> tuple[WebSocketEnd, WebSocketEnd]:
    console = await world.attach(opened.console_ticket, 1, opened.rep.key)
    attached = await console.hear()
    assert isinstance(attached, messages.Attached)
    assert not attached.peer
    client = await world.attach(opened.client_ticket, 1, opened.client.key)
    attached = await client.hear()
    assert isinstance(attached, messages.Attached)
    assert attached.peer
    assert isinstance(await console.hear(), messages.Peer)
    return console, client


async def recorded_frames(session: str) -> list[RecordedFrame]:
    """Everything that was sealed of a session's recording."""

    def read() -> list[RecordedFrame]:
        found: list[RecordedFrame] = []
        for segment in SessionSegment.objects.filter(report_id=session):
            found.extend(read_segment(blobs.path_of(segment.sha256).read_bytes())[1])
        return found

    return await in_database(read)


async def events(session: str) -> list[str]:
    return await in_database(
        lambda: [event.event for event in SessionEvent.objects.filter(report_id=session).order_by("at")]
    )


@pytest.mark.req("S1", "S2")
async def test_frames_pass_both_ways_and_are_recorded(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await console.websocket.send_bytes(frames.encode(frames.Data(1, 0, 5, b"ls\n")))
    assert (await client.hear_data()).payload == b"ls\n"
    await client.websocket.send_bytes(frames.encode(frames.Data(1, 0, 9, b"file")))
    assert (await console.hear_data()).payload == b"file"
    await console.say(messages.Sync({"1": 1}, {"1": 1}))
    assert isinstance(await client.hear(), messages.Sync)
    await console.say(messages.EndSession("done"))
    assert isinstance(await client.hear(), messages.Ended)
    assert await client.close_code() == CloseCode.ENDED
    assert isinstance(await console.hear(), messages.Ended)
    assert await console.close_code() == CloseCode.ENDED

    async def sealed() -> bool:
        return len(await recorded_frames(opened.session)) == 2

    await until_true(sealed)
    found = {(frame.end, frame.data.payload) for frame in await recorded_frames(opened.session)}
    assert found == {(EndName.CONSOLE, b"ls\n"), (EndName.JUMP_CLIENT, b"file")}

    async def noted() -> bool:
        return (await in_database(support.session, opened.session)).end_reason == "done"

    await until_true(noted)
    assert await events(opened.session) == ["opened", "attached", "attached", "detached", "detached", "ended"]
    again = await world.attach(opened.console_ticket, 2, opened.rep.key)
    assert isinstance(await again.hear(), messages.Ended)
    assert await again.close_code() == CloseCode.ENDED


async def test_a_stolen_ticket_is_worth_nothing_without_its_key(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    thief = await world.attach(opened.console_ticket, 1, new_key())
    assert await thief.close_code() == CloseCode.NOT_PROVEN
    other_end = await world.attach(opened.console_ticket, 1, opened.client.key)
    assert await other_end.close_code() == CloseCode.NOT_PROVEN


async def test_a_replayed_attach_is_refused(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    first = await world.dial("/client/session")
    attach = tickets.make_attach(opened.console_ticket, 1, first.nonce, first.leaf, opened.rep.key, VERSION)
    await first.say(attach)
    assert isinstance(await first.hear(), messages.Attached)
    replay = await world.dial("/client/session")
    await replay.say(attach)
    assert await replay.close_code() == CloseCode.NOT_PROVEN
    await first.websocket.send_bytes(frames.encode(frames.Ping(1)))
    assert frames.decode(await first.websocket.receive_bytes()) == frames.Pong(1)


async def test_an_expired_or_foreign_ticket_is_refused(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    key = opened.rep.key
    past = utc_now() - timedelta(minutes=6)
    expired = tickets.make_ticket(opened.session, EndName.CONSOLE, key.public, 1, past, world.site_key)
    foreign = tickets.make_ticket(opened.session, EndName.CONSOLE, key.public, 1, utc_now(), new_key())
    unknown = tickets.make_ticket("no-such-session", EndName.CONSOLE, key.public, 1, utc_now(), world.site_key)
    for ticket, code in (
        (expired, CloseCode.NOT_PROVEN),
        (foreign, CloseCode.NOT_PROVEN),
        (unknown, CloseCode.UNKNOWN_SESSION),
    ):
        end = await world.attach(ticket, 1, key)
        assert await end.close_code() == code


async def test_a_newer_attach_fences_the_older_and_an_older_counter_stays_out(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    newer = await world.attach(opened.console_ticket, 5, opened.rep.key)
    assert isinstance(await newer.hear(), messages.Attached)
    assert await console.close_code() == CloseCode.FENCED
    peer = await client.hear()
    assert isinstance(peer, messages.Peer)
    assert (peer.present, peer.counter) == (True, 5)
    for counter in (5, 4, 1):
        older = await world.attach(opened.console_ticket, counter, opened.rep.key)
        assert await older.close_code() == CloseCode.FENCED
    await client.websocket.send_bytes(frames.encode(frames.Data(1, 0, 0, b"x")))
    assert (await newer.hear_data()).payload == b"x"


async def test_the_fence_holds_across_gateways(world: World) -> None:
    older = await world.gateway()
    opened = await world.opened()
    first = await world.attach(opened.console_ticket, 3, opened.rep.key)
    assert isinstance(await first.hear(), messages.Attached)
    await older.deactivate()
    await world.gateway()
    stale = await world.attach(opened.console_ticket, 3, opened.rep.key)
    assert await stale.close_code() == CloseCode.FENCED
    fresh = await world.attach(opened.console_ticket, 4, opened.rep.key)
    assert isinstance(await fresh.hear(), messages.Attached)


async def test_an_end_alone_at_the_newer_generation_fetches_its_peer(world: World) -> None:
    older = await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await older.deactivate()
    await world.gateway()
    await console.close()
    peer = await client.hear()
    assert isinstance(peer, messages.Peer)
    assert not peer.present
    moved = await world.attach(opened.console_ticket, 2, opened.rep.key)
    assert isinstance(await moved.hear(), messages.Attached)
    assert isinstance(await client.hear(), messages.Move)
    follows = await world.attach(opened.client_ticket, 2, opened.client.key)
    attached = await follows.hear()
    assert isinstance(attached, messages.Attached)
    assert attached.peer


async def test_a_bad_frame_closes_one_end_and_the_session_goes_on(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await client.websocket.send_bytes(b"\x10broken")
    assert await client.close_code() == CloseCode.BAD_FRAME
    absent = await console.hear()
    assert isinstance(absent, messages.Peer)
    assert not absent.present
    again = await world.attach(opened.client_ticket, 2, opened.client.key)
    assert isinstance(await again.hear(), messages.Attached)
    present = await console.hear()
    assert isinstance(present, messages.Peer)
    assert present.present


async def test_a_revoked_clients_session_is_ended(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await in_database(fleet.revoke_client, "admin", opened.client.id)
    assert await client.close_code() == CloseCode.REFUSED
    heard = await console.hear()
    while isinstance(heard, messages.Peer):
        heard = await console.hear()
    assert isinstance(heard, messages.Ended)
    assert heard.reason == "client-revoked"
    again = await world.attach(opened.client_ticket, 2, opened.client.key)
    assert await again.close_code() in (CloseCode.REFUSED, CloseCode.ENDED)


async def test_a_session_ended_in_the_database_ends_for_both(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await in_database(support.end_session, opened.session, "ended-by-administrator")
    for end in (console, client):
        heard = await end.hear()
        assert isinstance(heard, messages.Ended)
        assert heard.reason == "ended-by-administrator"
        assert await end.close_code() == CloseCode.ENDED


@pytest.mark.req("F11")
async def test_a_session_that_the_other_appliance_has_ended_ends_here_too(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    record = Record(
        origin="the-other",
        incarnation="the-others",
        sequence=1,
        kind="session.ended",
        at=utc_now(),
        body={"session": opened.session, "reason": "left by the rep"},
    )
    await in_database(projections.apply, record)  # as when it came by data-sync
    for end in (console, client):
        heard = await end.hear()
        assert isinstance(heard, messages.Ended)
        assert heard.reason == "left by the rep"


async def test_a_silent_end_is_dropped_and_its_peer_told(world: World) -> None:
    world.settings(session_silent_seconds=1.5)
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)

    async def stay_alive() -> None:
        while True:
            await console.websocket.send_bytes(frames.encode(frames.Ping(1)))
            await asyncio.sleep(0.1)

    alive = asyncio.ensure_future(stay_alive())
    assert await client.close_code() == CloseCode.SILENT
    absent = await console.hear()
    assert isinstance(absent, messages.Peer)
    assert not absent.present
    alive.cancel()

    async def told() -> bool:
        return "detached" in await events(opened.session)

    await until_true(told)


async def test_tickets_are_renewed_on_the_live_connection(world: World) -> None:
    world.settings(ticket_renewal_seconds=0.2)
    await world.gateway()
    opened = await world.opened()
    console = await world.attach(opened.console_ticket, 1, opened.rep.key)
    assert isinstance(await console.hear(), messages.Attached)
    renewed = await console.hear()
    assert isinstance(renewed, messages.NewTicket)
    await console.close()
    again = await world.attach(renewed.ticket, 2, opened.rep.key)
    assert isinstance(await again.hear(), messages.Attached)


async def test_a_slow_reader_is_closed_and_blocks_nobody(world: World) -> None:
    world.settings(held_bytes=1_000_000, session_silent_seconds=60.0)
    world.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    await world.gateway()
    slow, other = await world.opened(), await world.opened()
    console, client = await join(world, slow)
    other_console, other_client = await join(world, other)
    with socket.socket(fileno=os.dup(console.websocket.get_extra_info("socket").fileno())) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    payload = bytes(frames.MAX_PAYLOAD)
    sequence = 0

    async def flood() -> None:
        # Not so fast that a burst alone is too much: the kernel's buffers fill up, then the gateway's own.
        nonlocal sequence
        while True:
            await client.websocket.send_bytes(frames.encode(frames.Data(1, sequence, sequence, payload)))
            sequence += 1
            await asyncio.sleep(0.001)

    flooding = asyncio.ensure_future(flood())
    try:
        # The console reads nothing; the client is told that it is gone once too much waits for it.
        async with asyncio.timeout(12):
            while True:
                heard = await client.hear(12)
                if isinstance(heard, messages.Peer) and not heard.present:
                    break
    finally:
        flooding.cancel()
    assert sequence * len(payload) > 1_000_000

    async def handed_over() -> bool:
        return not any((world.paths.site / "recordings-open").iterdir())

    async def recorded_bytes() -> int:
        return sum(len(frame.data.payload) for frame in await recorded_frames(slow.session))

    # What nobody can have received is not recorded: at most what was held, and what the kernel took meanwhile.
    await slow.at_console.close()
    await client.say(messages.EndSession("enough"))
    await until_true(handed_over, 30.0)
    assert await recorded_bytes() < 10_000_000
    await other_console.websocket.send_bytes(frames.encode(frames.Data(1, 0, 0, b"quick")))
    assert (await other_client.hear_data()).payload == b"quick"
    await console.close()


async def test_what_a_killed_process_left_of_a_recording_is_taken_over(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    folder = world.paths.site / "recordings-open"
    script = (
        "import os, sys; from pathlib import Path; from staffetta.site.support.segments import Recorder\n"
        "from staffetta.wire import frames; from staffetta.wire.vocabulary import EndName\n"
        f"recorder = Recorder(Path({str(folder)!r}), 'site-dead')\n"
        "message = frames.encode(frames.Data(1, 0, 0, b'last words'))\n"
        f"recorder.write({opened.session!r}, EndName.CONSOLE, message, 1, 1.0)\n"
        "os._exit(9)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    await process.wait()
    assert list(folder.glob("*.open"))
    await world.gateway()

    async def taken() -> bool:
        return [frame.data.payload for frame in await recorded_frames(opened.session)] == [b"last words"]

    await until_true(taken)
    assert not list(folder.iterdir())
