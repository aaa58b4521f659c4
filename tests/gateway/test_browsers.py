"""Browsers at the gateway: only the site's own pages may connect, and they are told the certificate they cannot see."""

import aiohttp
import pytest

from gateway.world import World
from staffetta.wire import frames, messages, tickets

pytestmark = pytest.mark.req("S1")

PATHS = ("/client/connect", "/client/session")


async def status_of(world: World, path: str, **headers: str) -> int:
    """What a WebSocket's handshake with these headers is answered with; 101 if it is let in."""
    try:
        socket = await world.http.ws_connect(
            f"https://{world.address}{path}", protocols=(frames.SUBPROTOCOL,), headers=headers
        )
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    await socket.close()
    return 101


@pytest.mark.parametrize("path", PATHS)
async def test_only_pages_of_the_site_may_connect(world: World, path: str) -> None:
    await world.gateway()
    port = world.port
    assert await status_of(world, path) == 101, "a client that is no browser"
    for own in (f"https://{world.address}", f"https://LocalHost:{port}"):
        assert await status_of(world, path, Origin=own, Host=own.removeprefix("https://")) == 101, own
    assert await status_of(world, path, Origin=f"https://{world.address}", Host=f"localhost:{port}") == 101
    for other in (
        "https://evil.example",
        f"https://evil.example:{port}",
        f"http://{world.address}",
        "https://127.0.0.1",
        f"https://127.0.0.1:{port + 1}",
        f"https://{world.address}.evil.example",
        "null",
        "",
    ):
        assert await status_of(world, path, Origin=other) == 403, other


async def test_a_page_at_the_usual_port_names_none(world: World) -> None:
    await world.gateway()
    assert await status_of(world, PATHS[0], Origin="https://support.example", Host="support.example:443") == 101
    assert await status_of(world, PATHS[0], Origin="https://support.example", Host="support.example") == 101
    assert await status_of(world, PATHS[0], Origin="https://support.example", Host="other.example") == 403


async def test_the_challenge_names_the_certificate_that_is_shown(world: World) -> None:
    """What an end signs that cannot see it is what an end signs that can."""
    await world.gateway()
    opened = await world.opened()
    socket = await world.http.ws_connect(
        f"https://{world.address}/client/session",
        protocols=(frames.SUBPROTOCOL,),
        headers={"Origin": f"https://{world.address}"},
    )
    frame = frames.decode(await socket.receive_bytes())
    assert isinstance(frame, frames.Control)
    challenge = messages.parse(frame)
    assert isinstance(challenge, messages.Challenge)
    assert challenge.certificate == world.signer.certificate() == opened.at_console.leaf
    told = challenge.certificate
    attach = tickets.make_attach(opened.console_ticket, 1, challenge.nonce, told, opened.rep.key, "1.0.0")
    await socket.send_bytes(messages.encode(attach))
    answer = frames.decode(await socket.receive_bytes())
    assert isinstance(answer, frames.Control)
    assert isinstance(messages.parse(answer), messages.Attached)
    await socket.close()


def test_an_older_gateways_challenge_names_none() -> None:
    older = frames.Control("challenge", {"nonce": "A" * 43, "statement": "s"})
    challenge = messages.parse(older)
    assert isinstance(challenge, messages.Challenge)
    assert challenge.certificate is None
