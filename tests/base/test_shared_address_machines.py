"""The shared address between two machines: network namespaces on one bridge, a client in a third (root).

Keepers put the address on their own interface and tell the neighbours; nothing is shared but the wire.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from staffetta.control.site_door import SharedPhase, SharedState, SiteDoor
from staffetta.kernel.clock import utc_now
from staffetta.packages import Kind
from vendor.publisher import Publisher

from .base_packages import SOURCE, runnable_package
from .test_base_live import LiveBase, wait_until
from .test_shared_address_live import lay_out_site, state, tell_role

pytestmark = [
    pytest.mark.live,
    pytest.mark.root,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
]

PORT = 4443
SHARED = "10.83.7.3"
MOVES = 6
SILENCE_SECONDS = 8
"""A neighbour that is not told asks anew after this long at the earliest: five seconds of delay, three of probes."""
CLIENT = """
import http.client, json, select, ssl, sys, time
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
print("ready", flush=True)
while sys.stdin.readline():
    answers, failures, last, longest = {}, [], None, 0.0
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        try:
            call = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), timeout=20, context=context)
            call.request("GET", "/")
            name = call.getresponse().read().decode()
            if name not in answers:
                print(name, flush=True)
            answers[name] = answers.get(name, 0) + 1
            call.close()
            now = time.monotonic()
            longest, last = max(longest, now - (last or now)), now
        except (OSError, http.client.HTTPException) as error:
            failures.append(repr(error))
    sys.stdin.readline()
    print(json.dumps([answers, failures, longest]), flush=True)
"""
"""Told to, it calls until it is told again; it says who answers for the first time, and at the end what it has seen."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Machines:
    """Namespaces `<mark>-1`, `-2` and `-client`, each with an interface `eth0` on one bridge."""

    def __init__(self) -> None:
        self.mark = f"sw{os.getpid() % 100000}"
        ip("link", "add", self.mark, "type", "bridge")
        ip("link", "set", self.mark, "up")
        self.names = [f"{self.mark}-{who}" for who in ("1", "2", "client")]
        for number, name in enumerate(self.names, 1):
            ip("netns", "add", name)
            outer = f"{self.mark}{number}"
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", outer, "master", self.mark, "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "address", "add", f"10.83.7.{number if number < 3 else 9}/24", "dev", "eth0")

    def close(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self.mark], check=False, capture_output=True)


@pytest.fixture
def machines() -> Iterator[Machines]:
    made = Machines()
    try:
        yield made
    finally:
        made.close()


def held_address(name: str) -> bool:
    shown = subprocess.run(["ip", "-n", name, "-brief", "address"], check=True, capture_output=True, text=True)
    return f"{SHARED}/32" in shown.stdout


@pytest.mark.req("F9", "H5")
def test_the_address_moves_between_two_machines_and_the_neighbours_follow(machines: Machines, tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "vendor", utc_now())
    publisher.publish(runnable_package(publisher, Kind.BASE, "1.0"), now=utc_now())
    sides = [LiveBase(publisher, "http://127.0.0.1:1", f"10.83.7.{n}", PORT, SHARED, "eth0") for n in (1, 2)]
    client = None
    try:
        for number, side in enumerate(sides):
            lay_out_site(side)
            tell_role(side, ("primary", "backup")[number], 1)
            side.start("ip", "netns", "exec", machines.names[number])
        first, second = sides
        wait_until(lambda: state(first) is SharedState.HELD and state(second) is not None, 60, "both are there")
        assert [held_address(name) for name in machines.names[:2]] == [True, False]
        client = subprocess.Popen(
            ["ip", "netns", "exec", machines.names[2], sys.executable, "-c", CLIENT, SHARED, str(PORT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"

        def tell(what: str) -> None:
            client.stdin.write(f"{what}\n")
            client.stdin.flush()

        def heard() -> str:
            return str(client.stdout.readline().rstrip("\n"))

        def called() -> tuple[dict[str, int], list[str], float]:
            tell("stop")
            answers, failures, longest = json.loads(heard())
            return answers, failures, longest

        for move in range(MOVES):
            giver, taker = sides if move % 2 == 0 else sides[::-1]
            term = move + 2
            before, after = (f"10.83.7.{1 + sides.index(side)}:{PORT}" for side in (giver, taker))
            tell("call")
            assert heard() == before
            with SiteDoor(giver.paths.site_door_socket) as gives, SiteDoor(taker.paths.site_door_socket) as takes:
                gives.shared(SharedPhase.HOLD, term, "test")
                takes.shared(SharedPhase.JOIN, term, "test")
                takes.shared(SharedPhase.TURN, term, "test")
                tell_role(giver, "backup", term)
                tell_role(taker, "primary", term)
                assert gives.shared(SharedPhase.LEAVE, term, "test").present is False
                assert takes.shared(SharedPhase.SETTLE, term, "test").state is SharedState.HELD
            assert heard() == after
            _, failures, longest = called()
            assert longest < SILENCE_SECONDS
            tell("call")
            assert heard() == after
            time.sleep(0.5)
            answers, more, _ = called()
            # A connection under way at the turn belongs to the giver and ends; nobody is refused, nothing hangs.
            assert len(failures) <= 1
            assert not any("refused" in one.lower() or "timed out" in one.lower() for one in failures), failures
            assert more == []
            assert set(answers) == {after}
            holds = [held_address(name) for name in machines.names[:2]]
            assert holds == [taker is first, taker is second]
    finally:
        if client is not None:
            client.kill()
            client.wait(10)
        for side in sides:
            shutil.copytree(side.paths.logs, tmp_path / side.folder.name, dirs_exist_ok=True)
            side.close()
