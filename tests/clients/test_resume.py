"""A session survives what happens to its connections: nothing lost, nothing doubled, and the pauses are told."""

import asyncio
import contextlib
import json
import random
import socket
import ssl
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pexpect
import pytest

from clients.conftest import PROMPT, World, broken
from clients.simulated_gateway import HOST, Gateway, Site, wait_for
from staffetta.wire.vocabulary import Channel, EndName

pytestmark = pytest.mark.live

ECHO = Path(__file__).with_name("echo.py")
STANDSTILL_SECONDS = 30.0
"""Longer than an end takes for one attempt with all its pauses (a dial, an attach, the longest wait between two)."""


class Typist:
    """Types a counter into the remote echo program and compares what arrived and what came back."""

    def __init__(self, world: World, gateway: Gateway, folder: Path) -> None:
        self.kept = folder / "kept"
        self.events = folder / "events.jsonl"
        world.computer()
        self.console = world.connect(world.sign_in(gateway), "desk", "--events", str(self.events))
        self.console.expect_exact(PROMPT)
        self.console.send(f"{sys.executable} {ECHO} {self.kept}\r".encode())
        self.console.expect_exact("READY")
        self.typed = b""
        self.shown = b""

    def type_for(self, seconds: float, every: float = 0.02) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            keys = b"%06d;" % (len(self.typed) // 7)
            self.typed += keys
            self.console.send(keys)
            self._look(every)

    def finish(self) -> None:
        """Everything typed must have come back, in order, once; and nothing else."""
        self._wait_while_it_goes_on("the echo of all that was typed", lambda: len(self.shown) >= len(self.typed))
        self.console.send(b"Q")
        self._wait_while_it_goes_on("the end of the echo", lambda: b"DONE" in self.shown)
        assert self.kept.read_bytes() == self.typed
        assert self.shown.partition(b"DONE")[0] == self.typed
        self.console.send(b"exit\r")
        self.console.expect(pexpect.EOF)
        self.console.wait()
        assert self.console.exitstatus == 0

    def _wait_while_it_goes_on(self, what: str, done: Callable[[], bool]) -> None:
        """Wait however long it takes, as long as something happens: more is shown, or the console tells of an event."""
        seen, since = (-1, -1), time.monotonic()
        while not done():
            self._look(0.05)
            now = (len(self.shown), len(self.told()))
            if now != seen:
                seen, since = now, time.monotonic()
            assert time.monotonic() - since < STANDSTILL_SECONDS, (
                f"nothing happens any more, and not yet: {what}; "
                f"{len(self.shown)} of {len(self.typed)} bytes shown; {self.told()[-6:]}"
            )

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events.read_text().splitlines()]

    def _look(self, seconds: float) -> None:
        """Read for a while; our own title is not the remote program's output."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self.shown += self.console.read_nonblocking(65536, left)
            except (pexpect.TIMEOUT, pexpect.EOF):
                break
        while (start := self.shown.find(b"\x1b]0;")) >= 0 and (end_of := self.shown.find(b"\x07", start)) >= 0:
            self.shown = self.shown[:start] + self.shown[end_of + 1 :]
        for line in (b"reconnecting, input held", b"connected again"):
            self.shown = self.shown.replace(b"\r\n[staffetta] " + line + b"\r\n", b"")


def _away(site: Site, generation: str) -> dict[EndName, list[int | None]]:
    """How long the ends that attached at this generation say that they were away."""
    ends = {end for at, end, _ in site.attaches if at == generation}
    return {end: [away for at, who, away in site.attaches if (at, who) == (generation, end)] for end in ends}


def _first_away(site: Site, generation: str) -> dict[EndName, int | None]:
    return {end: told[0] for end, told in _away(site, generation).items()}


def test_a_move_loses_nothing_and_tells_its_pause(world: World, site: Site, gateway: Gateway, tmp_path: Path) -> None:
    typist = Typist(world, gateway, tmp_path)
    typist.type_for(0.5)
    other = site.gateway("site-two", "1.1.0")
    site.run(gateway.move(other))
    typist.type_for(1.5)
    wait_for("both ends at the other gateway", lambda: site.run(other.ends()) == 2)
    wait_for("no end at the one before", lambda: site.run(gateway.ends()) == 0)
    wait_for("the Jump Client online at the other", lambda: site.run(other.online()))
    typist.finish()
    told = typist.told()
    moved = [one for one in told if one["event"] == "moved"]
    assert len(moved) == 1 and moved[0]["generation"] == "site-two" and moved[0]["site_version"] == "1.1.0"
    assert broken(told) == []
    assert [one for one in told if one["pause_ms"] is not None]
    assert _first_away(site, "site-two") == {EndName.CONSOLE: 0, EndName.JUMP_CLIENT: 0}
    assert _first_away(site, gateway.generation) == {EndName.CONSOLE: None, EndName.JUMP_CLIENT: None}
    wait_for("the update question asked again after the move", lambda: len(site.updates_asked) >= 2)


@pytest.mark.req("S1")
def test_ends_that_come_to_a_gateway_that_just_leaves_go_on_to_the_next(
    world: World, site: Site, gateway: Gateway, tmp_path: Path
) -> None:
    """The place and the move away from it arrive together, several times over; both ends meet where it ends."""
    typist = Typist(world, gateway, tmp_path)
    typist.type_for(0.3)
    way = [site.gateway(f"site-{number}", f"1.{number}.0") for number in range(1, 6)]
    for one, after in pairwise(way):
        site.run(one.drain(after))
    site.run(gateway.move(way[0]))
    wait_for("both ends at the last gateway", lambda: site.run(way[-1].ends()) == 2)
    typist.type_for(0.3)
    typist.finish()


def test_a_restarted_site_is_found_again(world: World, site: Site, gateway: Gateway, tmp_path: Path) -> None:
    typist = Typist(world, gateway, tmp_path)
    typist.type_for(0.5)
    port = gateway.port
    stopped = time.monotonic()
    site.run(gateway.stop())
    typist.type_for(0.3)
    site.gateway("site-two", "1.1.0", port)
    typist.type_for(1.0)
    typist.finish()
    events = [one["event"] for one in typist.told()]
    assert "lost" in events and "resumed" in events
    assert "site-two" in [one["generation"] for one in typist.told() if one["event"] == "resumed"]
    assert [one for one in typist.told() if one["pause_ms"]]
    whole = (time.monotonic() - stopped) * 1000
    away = _away(site, "site-two")
    assert away.keys() == set(EndName)
    assert all(one is not None and 0 < one <= whole for told in away.values() for one in told), away


def test_a_silent_gateway_is_left_after_two_seconds(world: World, site: Site, gateway: Gateway, tmp_path: Path) -> None:
    typist = Typist(world, gateway, tmp_path)
    began = time.monotonic()
    typist.type_for(0.3)
    site.run(gateway.deafen())
    typist.type_for(4.0)
    typist.finish()
    whole = (time.monotonic() - began) * 1000
    lost, resumed = (next(one for one in typist.told() if one["event"] == what) for what in ("lost", "resumed"))
    assert "nothing heard" in lost["detail"]
    assert resumed["counter"] > 1
    pause = max(one["pause_ms"] or 0 for one in typist.told())
    assert 1900 < pause < whole, "from the last sign of life, not from its discovery"
    again = [away for _, _, away in site.attaches if away is not None]
    assert len(again) >= 2 and all(1900 < away < whole for away in again), again


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 13))])
def test_random_losses_moves_and_restarts_lose_nothing(
    world: World, site: Site, gateway: Gateway, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    typist = Typist(world, gateway, tmp_path)
    here = gateway
    for number in range(14):
        typist.type_for(chance.uniform(0.1, 0.8))
        match chance.choice(("drop", "drop console", "drop client", "move", "restart", "all")):
            case "drop":
                site.run(here.drop())
            case "drop console":
                site.run(here.drop(end=EndName.CONSOLE))
            case "drop client":
                site.run(here.drop(end=EndName.JUMP_CLIENT))
            case "all":
                site.run(here.drop(everything=True))
            case "move":
                after = site.gateway(f"site-{number}", f"1.{number}.0")
                site.run(here.move(after))
                here = after
            case "restart":
                ports = list(here.ports)
                site.run(here.stop())
                here = site.gateway(f"site-{number}", f"1.{number}.0", ports[0])
                for port in ports[1:]:
                    site.run(here.listen(port))
    typist.type_for(0.5)
    typist.finish()
    # What was recorded on the way is the union of numbered frames: nothing missing.
    frames = {
        frame.sequence: frame.payload
        for end, frame in site.recorded
        if end is EndName.CONSOLE and frame.channel == Channel.SHELL
    }
    assert sorted(frames) == list(range(len(frames)))
    assert typist.typed in b"".join(frames[sequence] for sequence in sorted(frames))


def test_output_is_held_at_four_mebibytes_while_the_console_does_not_read(
    world: World, site: Site, gateway: Gateway, tmp_path: Path
) -> None:
    computer = world.computer()
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    progress = tmp_path / "progress"
    program = tmp_path / "printer.py"
    program.write_text(
        "import os, sys\n"
        "kept = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "for number in range(200_000):\n"
        "    os.write(1, b'%063d\\n' % number)\n"
        "    if number % 64 == 0:\n"
        "        os.pwrite(kept, b'%09d' % (number * 64), 0)\n"
        "os.pwrite(kept, b'%09d' % (200_000 * 64), 0)\n"
    )
    console.send(f"stty -echo -opost; {sys.executable} {program} {progress}; exit 5\r".encode())
    wait_for("the program prints", lambda: progress.exists() and progress.read_bytes())
    last, since, deadline = -1, time.monotonic(), time.monotonic() + 20
    while time.monotonic() - since < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        now = int(progress.read_bytes() or b"0")
        if now != last:
            last, since = now, time.monotonic()
    assert 3_000_000 < last < 5_200_000, "held between what is kept and a little for terminals and sockets"
    resident = _resident(computer.process.pid)
    assert resident < 80 * 2**20
    wanted = b"%063d\n" % 199_999
    shown = b""
    while wanted not in shown[-4096:]:
        shown += console.read_nonblocking(1 << 20, 20)
    body = shown[shown.index(b"%063d\n" % 0) :]
    assert body[: 64 * 200_000] == b"".join(b"%063d\n" % number for number in range(200_000))
    console.expect(pexpect.EOF)
    console.wait()
    assert console.exitstatus == 5


def _resident(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_a_stopped_gateway_gives_no_place_to_who_was_at_its_door(site: Site, gateway: Gateway) -> None:
    """A simulated gateway dies like a process, or an end could wait in it for a peer that never comes."""
    waiting = socket.create_connection((HOST, gateway.port), timeout=10)
    site.run(asyncio.sleep(0.1))  # it is accepted; its handshake has not begun
    site.run(gateway.stop())
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    heard = b""
    with contextlib.suppress(OSError), trusting.wrap_socket(waiting) as door:
        door.sendall(
            b"GET /client/session HTTP/1.1\r\nHost: site\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: staffetta.1\r\n\r\n"
        )
        while piece := door.recv(4096):
            heard += piece
            if b"challenge" in heard:
                break
    assert b"challenge" not in heard
