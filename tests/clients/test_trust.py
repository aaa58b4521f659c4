"""Whom a client believes, what it tells before it does, and the words when it is refused."""

import datetime
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from clients.conftest import COMMAND, PROMPT, World, identity, run
from clients.simulated_gateway import Gateway, Site, wait_for
from staffetta.kernel.ids import new_id
from staffetta.wire.fields import to_base64url

pytestmark = pytest.mark.live


def test_a_wrong_certificate_is_told_nothing(site: Site, tmp_path: Path) -> None:
    real = site.gateway()
    token = site.installer_token()
    false = site.gateway(named=False)
    site.addresses[:] = [false.address]
    for arguments in (
        ("jump-client", "enrol", "--token", site.installer_token(), "--state", str(tmp_path / "one")),
        ("console", "sign-in", "--site", false.address, "--identity", identity(site), "--user", "rita",
         "--password-file", str(_password(tmp_path)), "--state", str(tmp_path / "two")),
    ):  # fmt: skip
        done = run(*arguments, status=3)
        assert "not this site" in done.stderr and "has signed for" in done.stderr
    assert site.received == []
    site.run(false.stop())
    run("jump-client", "enrol", "--token", token, "--state", str(tmp_path / "one"))
    assert real.connections == 0 and len(site.clients) == 1


def test_an_enrolled_client_says_no_hello_to_a_wrong_certificate(
    world: World, site: Site, gateway: Gateway, tmp_path: Path
) -> None:
    state = world.enrol()
    port = gateway.port
    site.run(gateway.stop())
    false = site.gateway(port=port, named=False)
    site.received.clear()
    computer = world.start(state)
    wait_for("a few attempts", lambda: false.connections >= 2)
    assert site.received == [] and computer.process.poll() is None
    site.run(false.stop())
    true = site.gateway(port=port)
    wait_for("online at the true site", lambda: computer.id in site.run(true.online()))


def test_a_site_with_another_identity_is_refused(site: Site, tmp_path: Path) -> None:
    gateway = site.gateway()
    other = to_base64url(bytes(31) + b"\x07")
    done = run(
        "console", "sign-in", "--site", gateway.address, "--identity", other, "--user", "rita",
        "--password-file", str(_password(tmp_path)), "--state", str(tmp_path / "console"), status=3,
    )  # fmt: skip
    assert "not this site" in done.stderr
    assert site.received == []
    done = run(
        "console", "sign-in", "--site", gateway.address, "--identity", other[:-4], "--user", "rita",
        "--password-file", str(_password(tmp_path)), "--state", str(tmp_path / "console"), status=2,
    )  # fmt: skip
    assert "43 characters" in done.stderr


def test_a_revoked_client_is_told_so_and_stops(world: World, site: Site, gateway: Gateway) -> None:
    computer = world.computer()
    site.run(gateway.revoke(computer.id))
    assert computer.process.wait(10) == 3
    assert "no longer accepts this client" in computer.log.read_text()
    again = world.start(computer.state)
    assert again.process.wait(15) == 3


def test_a_foreign_key_is_refused_and_the_client_does_not_hammer(world: World, site: Site, gateway: Gateway) -> None:
    state = world.enrol()
    (state / "client.key").write_bytes(os.urandom(32))
    before = gateway.connections
    computer = world.start(state)
    wait_for("the refusal", lambda: "did not accept the proof" in computer.log.read_text())
    time.sleep(1.0)
    assert gateway.connections - before == 1
    assert computer.process.poll() is None, "a fault of the site must not empty the fleet"
    assert site.run(gateway.online()) == set()


def test_an_expired_token_says_what_to_do(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    token = site.installer_token("expired")
    done = run("jump-client", "enrol", "--token", token, "--state", str(tmp_path / "one"), status=3)
    assert "expired" in done.stderr and "new installer token" in done.stderr
    done = run("jump-client", "enrol", "--token", token[:-9], "--state", str(tmp_path / "one"), status=2)
    assert "copy the whole line" in done.stderr
    done = run("jump-client", "enrol", "--token", "-", "--state", str(tmp_path / "one"), text=site.installer_token())
    assert "Enrolled as" in done.stdout
    done = run("jump-client", "enrol", "--token", site.installer_token(), "--state", str(tmp_path / "one"), status=5)
    assert "already holds" in done.stderr


def test_an_unreachable_site_lists_what_was_tried(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    site.addresses.append("127.0.0.1:1")
    token = site.installer_token()
    site.run(gateway.stop())
    done = run("jump-client", "enrol", "--token", token, "--state", str(tmp_path / "one"), status=6)
    assert gateway.address in done.stderr and "127.0.0.1:1 " in done.stderr and "refused" in done.stderr


def test_files_are_private_and_others_files_are_not_used(world: World, tmp_path: Path) -> None:
    gateway = world.site.gateway()
    state = world.enrol()
    console = world.sign_in(gateway)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for path in (*state.iterdir(), *console.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    (state / "client.key").chmod(0o640)
    done = run("jump-client", "run", "--state", str(state), status=3)
    assert "can be read by others" in done.stderr and "chmod 600" in done.stderr
    (console / "console.json").chmod(0o604)
    done = run("console", "list", "--state", str(console), status=3)
    assert "can be read by others" in done.stderr


def test_keys_and_passwords_are_in_no_log(world: World, site: Site, gateway: Gateway) -> None:
    computer = world.computer()
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    console.send(b"exit\r")
    console.expect(pexpect.EOF)
    wait_for("the session's end", lambda: "shell ended" in computer.log.read_text())
    computer.stop()
    log = computer.log.read_text()
    key = (computer.state / "client.key").read_bytes()
    assert key.hex() not in log and to_base64url(key) not in log
    assert "eyJ" not in log, "no token of any kind"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("password-change-needed", "The password must be changed first"),
        ("locked", "Too many attempts"),
        ("may-not-start-sessions", "may not start sessions"),
    ],
)
@pytest.mark.req("H3")
def test_a_refused_sign_in_says_why(site: Site, gateway: Gateway, tmp_path: Path, code: str, words: str) -> None:
    site.refuse_sign_in = (code, f"{words}.")
    done = run(*_sign_in(site, gateway, tmp_path), status=3)
    assert words in done.stderr
    assert not (tmp_path / "console" / "console.json").exists()


@pytest.mark.req("U6")
def test_a_wrong_clock_is_named_with_its_offset(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    site.credential_age = datetime.timedelta(hours=2)
    done = run(*_sign_in(site, gateway, tmp_path), status=5)
    assert "clock is about 72" in done.stderr and "ahead of" in done.stderr
    assert not (tmp_path / "console" / "console.json").exists()


def test_sign_in_list_and_sign_out(world: World, site: Site, gateway: Gateway) -> None:
    computer = world.computer("front desk")
    state = world.sign_in(gateway)
    listed = json.loads(run("console", "list", "--json", "--state", str(state)).stdout)
    assert [(one["id"], one["name"], one["online"]) for one in listed] == [(computer.id, "front desk", True)]
    assert "front desk" in run("console", "list", "--state", str(state)).stdout
    done = run("console", "connect", "back desk", "--state", str(state), status=4)
    assert "no computer 'back desk'" in done.stderr
    computer.stop()
    wait_for("offline", lambda: not site.run(gateway.online()))
    done = run("console", "connect", "front desk", "--state", str(state), status=3)
    assert "not online" in done.stderr
    run("console", "sign-out", "--state", str(state))
    assert list(state.iterdir()) == []
    assert "sign-in" in run("console", "list", "--state", str(state), status=4).stderr


def test_the_password_is_asked_without_echo(world: World, site: Site, gateway: Gateway, tmp_path: Path) -> None:
    console = pexpect.spawn(
        sys.executable,
        ["-c", "from staffetta.cli.main import main; main()", "console", "sign-in", "--site", gateway.address,
         "--identity", identity(site), "--state", str(tmp_path / "console")],
        timeout=20,
    )  # fmt: skip
    console.expect_exact("User name")
    console.sendline("rita")
    console.expect_exact("Password")
    console.waitnoecho(5)
    console.sendline("correct horse")
    console.expect_exact("Signed in as rita")
    assert b"correct horse" not in console.before
    console.close()


def test_the_terminal_is_put_back_when_the_site_is_gone(world: World, site: Site, gateway: Gateway) -> None:
    world.computer()
    state = world.sign_in(gateway)
    command = ("console", "connect", "desk", "--state", str(state))
    console = _in_a_shell(world, command)
    site.run(gateway.stop())
    console.expect_exact("[staffetta] reconnecting, input held", timeout=10)
    console.send(b"\r~.")
    console.expect_exact("status=0")
    _is_as_before(console)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_put_back_after_a_signal(
    world: World, site: Site, gateway: Gateway, number: signal.Signals
) -> None:
    world.computer()
    state = world.sign_in(gateway)
    console = _in_a_shell(world, ("console", "connect", "desk", "--state", str(state)))
    found = subprocess.run(["pgrep", "-f", f"connect desk --state {state}"], capture_output=True, text=True, check=True)
    for process in found.stdout.split():
        if Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"/"):
            os.kill(int(process), number)
    console.expect_exact("status=6")
    _is_as_before(console)


def test_a_session_of_a_revoked_client_ends_with_words(world: World, site: Site, gateway: Gateway) -> None:
    computer = world.computer()
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    site.run(gateway.revoke(computer.id))
    console.expect_exact("the Jump Client has ended the session")
    console.wait()
    assert console.exitstatus == 6
    assert computer.process.wait(10) == 3


@pytest.mark.req("S12")
def test_a_console_that_is_signed_out_says_what_to_do(world: World, site: Site, gateway: Gateway) -> None:
    world.computer()
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    site.run(gateway.sign_out_consoles())
    console.expect_exact("this console was signed out. Run: staffetta console sign-in")
    console.wait()
    assert console.exitstatus == 3


def _in_a_shell(world: World, command: tuple[str, ...]) -> pexpect.spawn:
    """Run the console from a shell in a terminal, as a person does, and wait for the remote prompt."""
    outer = pexpect.spawn("/bin/sh", ["-i"], env={**os.environ, "PS1": "local> "}, timeout=15)
    outer.delaybeforesend = None
    world.consoles.append(outer)
    outer.expect_exact("local> ")
    outer.sendline("stty -a > " + str(world.folder / "before"))
    outer.expect_exact("local> ")
    python = COMMAND[0]
    script = world.folder / "command.py"
    script.write_text("from staffetta.cli.main import main; main()\n")
    outer.sendline(f"{python} {script} {' '.join(command)}; echo status=$?")
    outer.expect_exact(PROMPT)
    return outer


def _is_as_before(outer: pexpect.spawn) -> None:
    outer.expect_exact("local> ")
    folder = new_id()
    outer.sendline(f"stty -a; echo {folder[:5]}''{folder[5:]}")
    outer.expect_exact(folder)
    assert b" echo " in outer.before and b"-icanon" not in outer.before and b"-isig" not in outer.before


def _sign_in(site: Site, gateway: Gateway, folder: Path) -> tuple[str, ...]:
    return (
        "console", "sign-in", "--site", f"https://{gateway.address}", "--identity", identity(site), "--user", "rita",
        "--password-file", str(_password(folder)), "--state", str(folder / "console"),
    )  # fmt: skip


def _password(folder: Path) -> Path:
    path = folder / "secret"
    path.write_text("correct horse\n")
    return path
