"""Passive Jump Clients as real processes at real gateways: they come at start, woken, told, when due, and go again."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from gateway.world import PASSWORD, World, until, until_true
from staffetta.lab.ports import free_port
from staffetta.site.data.database import in_database
from staffetta.site.fleet import check_ins
from staffetta.site.fleet import service as fleet
from staffetta.wire import enrolment
from staffetta.wire.fields import to_base64url

pytestmark = [pytest.mark.live, pytest.mark.timeout(180), pytest.mark.req("C4")]
STAFFETTA = (sys.executable, "-c", "from staffetta.cli.main import main; main()")
HELLO = b"echo he''llo\nexit\n"


class Computer:
    """A remote computer, and a technician's beside it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        # A long path: it must not keep people on that computer from telling the client to check in.
        self.state = folder / ("a-folder-with-a-long-name-" * 5)
        self.folder = folder
        self.log = folder / "log"
        self.desk = str(folder / "desk")
        self.id = ""
        self.agent: asyncio.subprocess.Process | None = None
        self.started: list[asyncio.subprocess.Process] = []

    async def begin(self, *arguments: str, given: bytes = b"") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(*STAFFETTA, *arguments), stdin=PIPE, stdout=PIPE, stderr=PIPE, env={**os.environ, "SHELL": "/bin/sh"}
        )
        self.started.append(process)
        assert process.stdin is not None
        process.stdin.write(given)
        if given:
            process.stdin.write_eof()
        return process

    async def run(self, *arguments: str, given: bytes = b"") -> str:
        process = await self.begin(*arguments, given=given)
        output, errors = await process.communicate()
        assert process.returncode == 0, (arguments, errors.decode(), self.log.read_text() if self.log.exists() else "")
        return output.decode()

    async def enrol(self, *arguments: str, passive: bool = False, **settings: float) -> None:
        made = await in_database(lambda: fleet.make_installer_token("admin", 1, 1, passive=passive))
        token = replace(enrolment.parse_installer_token(made.text), addresses=(self.world.address,)).text()
        said = await self.run(
            "jump-client", "enrol", "--token", token, "--state", str(self.state), "--name", "till", *arguments
        )
        assert ("passive" in said) is (passive or "--passive" in arguments)
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (self.state / "settings.toml").write_text("[clients]\n" + "\n".join(lines) + "\n")
        self.id = json.loads((self.state / "client.json").read_text())["id"]

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.agent = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "staffetta.clients", "jump-client", "--state", str(self.state)),
                stdout=log, stderr=log, env={**os.environ, "SHELL": "/bin/sh"},
            )  # fmt: skip
        self.started.append(self.agent)

    async def sign_in(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        await self.run(
            "console", "sign-in", "--site", f"https://{self.world.address}", "--identity",
            to_base64url(self.world.site_key.public), "--user", (await self.world.rep()).username,
            "--password-file", str(secret), "--state", self.desk,
        )  # fmt: skip

    async def connect(self, *arguments: str) -> asyncio.subprocess.Process:
        return await self.begin("console", "connect", self.id, "--state", self.desk, *arguments, given=HELLO)

    async def online(self) -> bool:
        return (await self.row()).online

    async def row(self) -> fleet.ClientSummary:
        (row,) = await in_database(fleet.list_clients, self.id)
        return row

    async def rests(self) -> bool:
        return await self.rests_since(None)

    async def rests_since(self, before: datetime | None) -> bool:
        """Whether it is away, and was seen later than ``before``."""
        row = await self.row()
        return row.last_seen is not None and not row.online and (before is None or row.last_seen > before)

    def check_ins(self) -> list[str]:
        """Why it has checked in so far."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line["reason"] for line in lines if line.get("message") == "checking in"]

    async def stop(self) -> None:
        for process in self.started:
            if process.returncode is None:
                process.terminate()
                await process.wait()


@pytest.fixture
async def computer(world: World, tmp_path: Path) -> AsyncIterator[Computer]:
    world.settings(recheck_seconds=0.2, wake_again_seconds=2.0)
    await world.gateway()
    made = Computer(world, tmp_path)
    yield made
    await made.stop()


async def _next_generation(world: World) -> None:
    older = world.gateways[-1]
    await older.deactivate()
    await world.gateway()
    await older.drain(10.0)
    await world.leave(older)


async def test_it_comes_at_its_start_is_woken_holds_a_session_is_told_and_leaves_each_time(
    world: World, computer: Computer
) -> None:
    await computer.enrol("--passive", check_in_hours=10, linger_seconds=0.5, wake_port=free_port())
    await computer.sign_in()
    await computer.start()
    await until_true(computer.rests)
    assert computer.check_ins() == ["start"]
    row = await computer.row()
    assert row.passive and row.next_check_in is not None and row.last_seen is not None
    assert (row.next_check_in - row.last_seen).total_seconds() == 36_000
    # A rep connects from the console; meanwhile the site has become another generation, which knows where it is too.
    await _next_generation(world)
    connected = await computer.connect()
    await until_true(computer.online)
    output, errors = await connected.communicate()
    assert connected.returncode == 0, errors.decode()
    assert b"hello" in output and b"was woken" in errors
    assert computer.check_ins() == ["start", "woken"]
    await until_true(computer.rests)
    # Somebody at that computer tells it.
    before = (await computer.row()).last_seen
    assert "Checked in with the site" in await computer.run("jump-client", "check-in", "--state", str(computer.state))
    await until_true(lambda: computer.rests_since(before))
    assert computer.check_ins() == ["start", "woken", "asked"]
    after = (await computer.row()).last_seen
    # When no agent runs, the command itself checks in, and ends.
    await computer.stop()
    said = await computer.run("jump-client", "check-in", "--state", str(computer.state))
    assert "No Jump Client runs here now" in said
    await until_true(lambda: computer.rests_since(after))


async def test_one_that_cannot_be_woken_gives_its_session_when_it_next_checks_in(
    world: World, computer: Computer
) -> None:
    await computer.enrol(passive=True, check_in_hours=12 / 3600, linger_seconds=0.5, wake_port=0)
    await computer.sign_in()
    await computer.start()
    await until_true(computer.rests)
    events = computer.folder / "events"
    connected = await computer.connect("--events", str(events))

    def noted() -> list[dict[str, object]]:
        return [json.loads(line) for line in events.read_text().splitlines()] if events.exists() else []

    await until(lambda: bool(noted()))
    first = noted()[0]
    assert (first["event"], first["woken"]) == ("waiting", False) and first["expected"]
    await _next_generation(world)  # the wait goes along
    output, errors = await connected.communicate()
    assert connected.returncode == 0, errors.decode()
    assert b"hello" in output
    assert b"cannot be woken; the session begins when it next checks in, at the latest on 20" in errors
    assert set(computer.check_ins()[1:]) == {"due"}
    await until_true(computer.rests)


async def test_a_rep_who_does_not_want_to_wait_cancels(computer: Computer) -> None:
    await computer.enrol(passive=True, check_in_hours=10, linger_seconds=0.5, wake_port=0)
    await computer.sign_in()
    await computer.start()
    await until_true(computer.rests)
    connected = await computer.connect()
    assert connected.stderr is not None
    assert b"Waiting 0:00, Ctrl-C cancels" in await connected.stderr.readline()
    connected.send_signal(signal.SIGINT)
    _, errors = await connected.communicate()
    assert connected.returncode == 130 and b"no session was opened" in errors
    assert computer.check_ins() == ["start"]


async def test_its_mode_follows_the_site(computer: Computer, tmp_path: Path) -> None:
    await computer.enrol(check_in_hours=10, linger_seconds=0.5, wake_port=free_port())
    await computer.start()
    await until_true(computer.online)

    def change(passive: bool) -> Callable[[], bool]:
        return lambda: check_ins.set_mode("admin", computer.id, passive=passive)

    await in_database(change(True))
    await until_true(computer.rests)
    told = await in_database(check_ins.of_passive, computer.id)
    assert told is not None and told.wake is not None, "the site knows where it can be woken"
    await computer.stop()
    await computer.start()  # it remembers
    await until(lambda: computer.check_ins() == ["start"])
    await until_true(computer.rests)
    await in_database(change(False))
    await computer.run("jump-client", "check-in", "--state", str(computer.state))
    await until(lambda: json.loads((computer.state / "mode.json").read_text())["mode"] == "active")
    await asyncio.sleep(1.5)  # three times its linger: it would have left by now
    assert await computer.online()
