"""Sessions of kind "files" at real gateways: who can have one, what the site notes of it, and that nothing is kept."""

import asyncio
import hashlib
import random
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.world import PASSWORD, Opened, World, until_true
from staffetta.site.data.database import in_database
from staffetta.site.data.projections import rebuild_projections
from staffetta.site.fleet import service as fleet
from staffetta.site.support import exports, stories
from staffetta.site.support import service as support
from staffetta.wire import enrolment, frames, messages, notes
from staffetta.wire.fields import to_base64url
from staffetta.wire.notes import Direction, Transferred
from staffetta.wire.vocabulary import EndName

MEGA = 1_000_000
SHA256 = hashlib.sha256(b"content").digest()
SENT = Transferred(1, Direction.SEND, "notes.txt", "stored", "/home/rita/notes.txt", 7, SHA256)


async def join(world: World, opened: Opened, counter: int = 1):  # type: ignore[no-untyped-def]
    console = await world.attach(opened.console_ticket, counter, opened.rep.key)
    assert isinstance(await console.hear(), messages.Attached)
    client = await world.attach(opened.client_ticket, counter, opened.client.key)
    attached = await client.hear()
    assert isinstance(attached, messages.Attached) and attached.peer
    return console, client


def note(sequence: int, told: Transferred) -> bytes:
    return frames.encode(frames.Data(0, sequence, 0, notes.encode_note(told)))


async def transfers(session: str) -> tuple[stories.StoryTransfer, ...]:
    return (await in_database(stories.story, session)).transfers


async def test_a_client_that_cannot_move_files_is_not_invited(world: World) -> None:
    await world.gateway()
    client = await world.enrolled("old till")
    at_client = await world.online(client, "shell", "resume")
    console = await world.console(await world.rep())
    await console.say(messages.Open(1, client.id, "files"))
    refused = await console.hear()
    assert isinstance(refused, messages.Refused)
    assert refused.code == "client-lacks-capability"
    assert "old till (version 1.0.0)" in refused.reason and "needs an update" in refused.reason
    await console.say(messages.Open(2, client.id, "shell"))
    assert isinstance(await console.hear(), messages.Opened)
    invite = await at_client.hear()
    assert isinstance(invite, messages.Invite) and invite.kind == "shell"


@pytest.mark.req("S1", "S2")
async def test_what_the_ends_tell_of_a_file_is_in_the_story_once_and_its_bytes_nowhere(world: World) -> None:
    older = await world.gateway()
    opened = await world.opened("files")
    console, client = await join(world, opened)
    await console.websocket.send_bytes(frames.encode(frames.Data(1, 0, 0, b"\x02the content of a file")))
    assert (await client.hear_data()).payload == b"\x02the content of a file"
    await client.websocket.send_bytes(note(0, SENT))
    assert (await console.hear_data()).channel == 0
    await client.websocket.send_bytes(note(0, SENT))
    # At the next generation the Jump Client sends it again, as after a loss, and the console tells it too.
    await older.deactivate()
    await world.gateway()
    console, client = await join(world, opened, 2)
    await client.websocket.send_bytes(note(0, SENT))
    await console.websocket.send_bytes(note(0, SENT))
    await console.websocket.send_bytes(note(1, replace(SENT, channel=2, direction=Direction.FETCH, outcome="no-space")))
    await console.websocket.send_bytes(b"\x10" + bytes([0, 0]) + bytes(16) + b'{"type":"transferred"}')

    async def both() -> bool:
        return len(await transfers(opened.session)) == 2

    await until_true(both)
    await console.say(messages.EndSession("done"))

    async def ended() -> bool:
        return (await in_database(support.session, opened.session)).ended_at is not None

    await until_true(ended)

    def told() -> dict[str, object]:
        return exports.story_json(stories.story(opened.session))

    story = await in_database(told)
    assert story["kind"] == "files" and story["recorded"] is False
    assert story["segments"] == 0 and story["recorded_bytes"] == 0
    stored, refused = story["transfers"]  # type: ignore[misc]
    assert (stored["name"], stored["size"], stored["sha256"], stored["direction"], stored["outcome"]) == (
        ("notes.txt", 7, SHA256.hex(), "send", "stored")
    )
    assert sorted(stored["told_by"]) == ["console", "jump-client"] and not stored["disputed"]
    assert (refused["direction"], refused["outcome"], refused["told_by"]) == ("fetch", "no-space", ["console"])
    events = [(event["event"], event["end"]) for event in story["story"] if event["event"] == "transferred"]
    assert sorted(events) == [("transferred", "console"), ("transferred", "console"), ("transferred", "jump-client")]
    assert not any((world.paths.site / "recordings-open").iterdir())
    await in_database(rebuild_projections)
    assert await in_database(told) == story, "it is all in the records"


async def test_ends_that_do_not_agree_are_shown_as_such(world: World) -> None:
    await world.gateway()
    opened = await world.opened("files")
    console, client = await join(world, opened)
    await console.websocket.send_bytes(note(0, SENT))
    await client.websocket.send_bytes(note(0, replace(SENT, sha256=bytes(32))))

    async def disputed() -> bool:
        return [one.disputed for one in await transfers(opened.session)] == [True]

    await until_true(disputed)


async def test_in_a_shell_nobody_tells_of_files(world: World) -> None:
    await world.gateway()
    opened = await world.opened()
    console, client = await join(world, opened)
    await console.websocket.send_bytes(note(0, SENT))
    assert (await client.hear_data()).channel == 0
    await console.say(messages.EndSession("done"))

    async def ended() -> bool:
        return (await in_database(support.session, opened.session)).ended_at is not None

    await until_true(ended)
    assert await transfers(opened.session) == ()


# Real clients


@dataclass(frozen=True, slots=True)
class Programs:
    """A Jump Client and a console as their users run them."""

    folder: Path
    site_key: bytes
    address: str

    async def run(self, *arguments: str, given: bytes = b"") -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from staffetta.cli.main import main; main()", *arguments),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        output, errors = await process.communicate(given)
        assert process.returncode == 0, (arguments, errors.decode())
        return output.decode()

    async def jump_client(self, name: str) -> asyncio.subprocess.Process:
        made = await in_database(fleet.make_installer_token, "admin", 1, 1)
        token = replace(enrolment.parse_installer_token(made.text), addresses=(self.address,)).text()
        state = str(self.folder / "jump-client")
        await self.run("jump-client", "enrol", "--token", token, "--state", state, "--name", name)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "staffetta.clients", "jump-client", "--state", state),
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
            stdout=PIPE,
            stderr=PIPE,
        )

    async def sign_in(self, username: str) -> str:
        state, secret = str(self.folder / "console"), self.folder / "password"
        secret.write_text(PASSWORD)
        await self.run(
            "console", "sign-in", "--site", f"https://{self.address}", "--identity", to_base64url(self.site_key),
            "--user", username, "--password-file", str(secret), "--state", state,
        )  # fmt: skip
        return state


@pytest.mark.live
@pytest.mark.req("U9", "S1")
async def test_a_file_is_carried_through_generations_and_a_restart(world: World, tmp_path: Path) -> None:
    gateway = await world.gateway()
    programs = Programs(tmp_path, world.site_key.public, world.address)
    jump_client = await programs.jump_client("desk")
    try:
        state = await programs.sign_in((await world.rep()).username)

        async def online() -> bool:
            return any(row.name == "desk" and row.online for row in await in_database(fleet.list_clients))

        await until_true(online)
        content = random.Random(7).randbytes(60 * MEGA)
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(content)
        sending = asyncio.ensure_future(
            programs.run("console", "send", "desk", str(source), "--to", "target", "--limit", "10", "--state", state)
        )

        async def under_way() -> bool:
            return sending.done() or any(path.stat().st_size > MEGA for path in tmp_path.glob(".target.*.part"))

        await until_true(under_way)
        generations = 1
        while not sending.done():
            generations += 1
            await gateway.deactivate()
            newer = await world.gateway()
            if generations % 2:
                await gateway.drain(10.0)
            await world.leave(gateway)
            gateway = newer
            await asyncio.wait({sending}, timeout=1.5)
        assert hashlib.sha256(content).hexdigest() in sending.result()
        assert target.read_bytes() == content
        assert not list(tmp_path.glob(".target.*"))
        assert generations >= 3

        def found() -> stories.SessionStory:
            (one,) = (one for one in stories.list_stories() if one.summary.client_name == "desk")
            return one

        async def told() -> bool:
            return [sorted(one.ends) for one in (await in_database(found)).transfers] == [
                [EndName.CONSOLE.value, EndName.JUMP_CLIENT.value]
            ]

        await until_true(told)
        story = await in_database(found)
        assert story.resumes >= 4 and len(story.generations) >= 3
        assert story.transfers[0].told.sha256 == hashlib.sha256(content).hexdigest()
        assert story.transfers[0].told.size == len(content) and not story.summary.recorded
    finally:
        jump_client.terminate()
        await jump_client.communicate()
