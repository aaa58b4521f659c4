"""The shared address between two real appliances: real keepers, real bases, real doors, clients that never stop."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from front.plain_client import PlainClient, Tally, untrusting
from staffetta.base.doctor.rules import judge
from staffetta.base.doctor.service import examine
from staffetta.control.appliance import ApplianceControl
from staffetta.control.local import ApplianceRefused
from staffetta.control.site_door import SharedPhase, SharedState, SiteDoor
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Unavailable
from staffetta.lab.ports import free_port
from staffetta.packages import Kind
from vendor.publisher import Publisher

from .base_packages import SOURCE, runnable_package
from .test_base_live import LiveBase, wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

SHARED = "127.0.83.3"
MOVES = 20
CLIENTS = 8


class LivePair:
    """Two appliances that share an address; each has a small site."""

    def __init__(self, folder: Path) -> None:
        publisher = Publisher(folder, utc_now())
        publisher.publish(runnable_package(publisher, Kind.BASE, "1.0"), now=utc_now())
        self.port = free_port()
        self.sides = [
            LiveBase(publisher, "http://127.0.0.1:1", f"127.0.83.{number}", self.port, SHARED) for number in (1, 2)
        ]
        for side in self.sides:
            lay_out_site(side)

    def close(self) -> None:
        for side in self.sides:
            side.close()


def lay_out_site(side: LiveBase) -> None:
    release = side.paths.releases("site") / "1.0"
    (release / "bin").mkdir(parents=True)
    (release / "manifest.json").touch()
    program = Path(__file__).with_name("tiny_site.py")
    (release / "bin" / "run").write_text(
        f'#!/bin/sh\nPYTHONPATH={SOURCE} PYTHONDONTWRITEBYTECODE=1 exec {sys.executable} {program} "$@"\n'
    )
    (release / "bin" / "run").chmod(0o755)
    (side.paths.releases("site") / "current").symlink_to("1.0")


def tell_role(side: LiveBase, role: str, term: int) -> None:
    path = side.paths.site / "role.json"
    path.with_suffix(".new").write_text(json.dumps({"role": role, "role_term": term}))
    path.with_suffix(".new").replace(path)


def state(side: LiveBase) -> SharedState | None:
    try:
        with SiteDoor(side.paths.site_door_socket) as door:
            return door.status().shared.state
    except (ApplianceRefused, Unavailable):
        return None


def doctor(side: LiveBase) -> str:
    """What the doctor says of the shared address."""
    findings = judge(examine(side.paths, "ann", utc_now(), online=False))
    return "\n".join(f"{one.level}: {one.seen}" for one in findings if one.check == "shared address")


def ask(port: int, host: str = SHARED) -> str:
    async def once() -> str:
        client = PlainClient(port, untrusting(), host)
        try:
            return (await client.ask("GET", "/")).body.decode()
        finally:
            client.close()

    return asyncio.run(once())


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[LivePair]:
    made = LivePair(tmp_path / "vendor")
    try:
        yield made
    finally:
        for side in made.sides:
            shutil.copytree(side.paths.logs, tmp_path / side.folder.name, dirs_exist_ok=True)
        made.close()


class Crowd:
    """Clients that open a TLS connection, ask, close it, and do so again, in a thread of their own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tally = Tally()
        self.answers: list[tuple[float, str]] = []
        """When the connection was begun, and who answered."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    async def _run(self) -> None:
        await asyncio.gather(*(self._loop() for _ in range(CLIENTS)))

    def who_answers(self) -> set[str]:
        """Return who answers connections that are begun from now on, twice as many as there are clients."""
        now = time.monotonic()

        def later() -> list[str]:
            return [who for began, who in self.answers if began > now]

        wait_until(lambda: len(later()) > 2 * CLIENTS, 60, "answers")
        return set(later())

    async def _loop(self) -> None:
        context = untrusting()
        while not self._over.is_set():
            client = PlainClient(self.port, context, SHARED)
            began = time.monotonic()
            try:
                answer = await client.ask("GET", "/")
                self.answers.append((began, answer.body.decode()))
            except (OSError, EOFError) as error:
                self.tally.failures.append(repr(error))
            finally:
                client.close()


@pytest.mark.req("F9")
def test_twenty_moves_refuse_and_reset_nobody(pair: LivePair) -> None:
    first, second = pair.sides
    tell_role(first, "primary", 1)
    tell_role(second, "backup", 1)
    for side in pair.sides:
        side.start()
    wait_until(lambda: state(first) is SharedState.HELD, 60, "the primary holds the shared address")
    wait_until(lambda: state(second) is SharedState.RELEASED, 60, "the backup does not")
    assert wait_until(lambda: ask(pair.port), 20, "an answer") == f"127.0.83.1:{pair.port}"

    with Crowd(pair.port) as crowd:
        for move in range(MOVES):
            giver, taker = (first, second) if move % 2 == 0 else (second, first)
            term = move + 2
            with SiteDoor(giver.paths.site_door_socket) as gives, SiteDoor(taker.paths.site_door_socket) as takes:
                gives.shared(SharedPhase.HOLD, term, "test")
                takes.shared(SharedPhase.JOIN, term, "test")
                assert crowd.who_answers() == {f"{own(giver)}:{pair.port}"}, "all stay until the turn"
                takes.shared(SharedPhase.TURN, term, "test")
                tell_role(giver, "backup", term)
                tell_role(taker, "primary", term)
                assert gives.shared(SharedPhase.LEAVE, term, "test").state is SharedState.RELEASED
                assert takes.shared(SharedPhase.SETTLE, term, "test").state is SharedState.HELD
                assert crowd.who_answers() == {f"{own(taker)}:{pair.port}"}
    assert crowd.tally.failures == []
    print(f"{len(crowd.answers)} connections, {MOVES} moves, none lost")
    assert len(crowd.answers) > MOVES * 4 * CLIENTS


def own(side: LiveBase) -> str:
    return "127.0.83.1" if "127.0.83.1:" in (side.paths.root / "appliance.json").read_text() else "127.0.83.2"


@pytest.mark.req("F9", "H5")
def test_the_address_follows_the_role_and_what_an_administrator_ticked(pair: LivePair) -> None:
    first, second = pair.sides
    for side in pair.sides:  # both alone, as laid out
        side.start()
        wait_until(lambda one=side: state(one) in (SharedState.HELD, SharedState.RELEASED), 60, "base answers")
        if side is first:
            wait_until(lambda: state(first) is SharedState.HELD, 20, "alone, with nobody there: taken")
    wait_until(lambda: ask(pair.port, "127.0.83.2"), 30, "the second site serves")
    assert state(second) is SharedState.RELEASED, "somebody answers there: it is not taken by one that is alone"
    assert ask(pair.port) == f"127.0.83.1:{pair.port}"

    tell_role(first, "primary", 1)
    tell_role(second, "backup", 1)
    first.kill_keeper()
    first.start()
    wait_until(lambda: state(first) is not None, 60, "base is back")
    wait_until(lambda: state(first) is SharedState.HELD, 20, "claimed again, by base")

    first.kill_keeper()
    tell_role(second, "primary", 2)
    wait_until(lambda: state(second) is SharedState.HELD, 20, "promoted: taken")
    assert ask(pair.port) == f"127.0.83.2:{pair.port}"
    tell_role(first, "backup", 2)
    first.start()
    wait_until(lambda: state(first) is SharedState.RELEASED, 60, "keeper restores nothing")
    assert ask(pair.port) == f"127.0.83.2:{pair.port}"

    assert (
        doctor(first)
        == "fine: 127.0.83.3 is brought by others; this appliance is the backup and does not listen there."
    )
    assert doctor(second) == "fine: 127.0.83.3 is brought by others; this appliance is the primary and listens there."

    with ApplianceControl(second.paths.control_socket) as control:
        assert control.enable_shared_address(False, "ann").state is SharedState.DISABLED
        with pytest.raises(ConnectionRefusedError):
            ask(pair.port)
        assert "warning: This appliance is the primary, but 127.0.83.3 is not enabled" in doctor(second)
        with pytest.raises(ApplianceRefused, match="not enabled"), SiteDoor(second.paths.site_door_socket) as door:
            door.shared(SharedPhase.CLAIM, 2, "test")
        control.enable_shared_address(True, "ann")
        wait_until(lambda: state(second) is SharedState.HELD, 20, "ticked: follows the role again")
