"""A rep's session through real terminals at both ends: what is typed, shown, resized, and how it ends."""

import json
import time
from pathlib import Path

import pytest

from clients.conftest import PROMPT, World, broken, run
from clients.simulated_gateway import Gateway, Site, wait_for

pytestmark = pytest.mark.live


@pytest.mark.req("S1")
def test_a_shell_from_end_to_end(world: World, site: Site, gateway: Gateway, tmp_path: Path) -> None:
    world.computer()
    events = tmp_path / "events.jsonl"
    console = world.connect(world.sign_in(gateway), "desk", "--events", str(events), columns=101, rows=33)
    console.expect_exact(PROMPT)
    console.send(b"echo $((6*7)); stty size; tty; echo $TERM\r")
    console.expect_exact("42")
    console.expect_exact("33 101")
    console.expect_exact("/dev/pts/")
    console.expect_exact("xterm-256color")
    console.setwinsize(40, 120)
    console.send(b"sleep 0.2; stty size\r")
    console.expect_exact("40 120")
    console.send(b"env; echo over\r")
    console.expect_exact("over\r\n")
    assert b"STAFFETTA" not in console.before
    console.send(b"exit 7\r")
    console.expect_exact(b"\x1b[23;0t")
    console.wait()
    assert console.exitstatus == 7
    told = [json.loads(line) for line in events.read_text().splitlines()]
    kinds = [one["event"] for one in told]
    assert (kinds[0], kinds[-1]) == ("attached", "ended")
    assert broken(told) == []
    assert kinds == ["attached", "peer", "ended"] or "lost" in kinds
    assert told[0]["generation"] == "site-one" and told[0]["site_version"] == "1.0.0" and told[0]["counter"] == 1
    assert set(told[0]) >= {"at", "event", "generation", "site_version", "counter", "pause_ms"}


def test_long_output_ends_with_its_last_byte_and_the_status(world: World, gateway: Gateway) -> None:
    world.computer()
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    console.send(b"exec sh -c 'seq 1 200000; exit 3'\r")
    console.expect_exact("\r\n199999\r\n200000\r\n", timeout=30)
    console.wait()
    assert console.exitstatus == 3


def test_leaving_by_keyboard_ends_the_session_and_the_shell(world: World, site: Site, gateway: Gateway) -> None:
    computer = world.computer()
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    console.send(b"sh -c 'echo pid=$$.; exec sleep 1000'\r")
    console.expect(rb"pid=(\d+)\.")
    child = int(console.match.group(1))
    console.send(b"\r~.")
    console.wait()
    assert console.exitstatus == 0
    wait_for("the program in the foreground gone", lambda: not Path(f"/proc/{child}").exists() or _zombie(child))
    assert all(session.over for session in site.sessions.values())
    assert computer.process.poll() is None


def test_two_sessions_on_one_computer(world: World, gateway: Gateway) -> None:
    world.computer()
    state = world.sign_in(gateway)
    first, second = world.connect(state), world.connect(state)
    for number, console in enumerate((first, second)):
        console.expect_exact(PROMPT)
        console.send(f"N=n{number}\r".encode())
        console.expect_exact(PROMPT)
    for number, console in enumerate((first, second)):
        console.send(b"echo [$N]\r")
        console.expect_exact(f"[n{number}]")


def test_a_stopped_jump_client_ends_its_sessions(world: World, gateway: Gateway) -> None:
    computer = world.computer()
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    assert computer.stop() == 0
    console.expect_exact("the Jump Client has ended the session", timeout=10)
    console.wait()
    assert console.exitstatus == 6


def test_commands_through_a_pipe(world: World, gateway: Gateway) -> None:
    world.computer()
    state = world.sign_in(gateway)
    done = run("console", "connect", "desk", "--state", str(state), text="echo $((6*7))\nexit 4\n", status=4)
    assert "42" in done.stdout and "\x1b]0;" not in done.stdout
    done = run("console", "connect", "desk", "--state", str(state), text="echo $((7*7))\n")
    assert "49" in done.stdout


def _zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.req("F9")
def test_a_console_waits_while_neither_appliance_is_the_primary(world: World, gateway: Gateway) -> None:
    """As traffic moves there is a moment in which each points to the other."""
    world.enrol()
    state = world.sign_in(gateway)
    gateway.points_until = time.monotonic() + 5
    assert "desk" in run("console", "list", "--state", str(state)).stdout
