"""Files moved by the public command between a console and a Jump Client: whole, once, or not there at all."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clients.conftest import COMMAND, Computer, World, run
from clients.simulated_gateway import Gateway, KnownSession, Site, wait_for
from staffetta.wire.vocabulary import EndName

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]  # many commands, one after the other

MEGA = 1_000_000


@pytest.fixture
def computer(world: World, gateway: Gateway) -> Computer:
    return world.computer()


@pytest.fixture
def state(world: World, gateway: Gateway) -> Path:
    return world.sign_in(gateway)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """The Jump Client's user's home folder is the test's; this is a folder in it."""
    folder = tmp_path / "remote"
    folder.mkdir()
    return folder


def make(path: Path, size: int, seed: int = 1) -> str:
    """Write a file of random bytes; return its SHA-256."""
    content = random.Random(seed).randbytes(size)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Carrying:
    """The public command, under way."""

    def __init__(self, state: Path, events: Path, *arguments: str) -> None:
        self.events = events
        self.process = subprocess.Popen(
            [*COMMAND, "console", *arguments, "--state", str(state), "--events", str(events)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events.read_text().splitlines()] if self.events.exists() else []

    def moved(self) -> int:
        return max((one["moved"] for one in self.told() if one["event"] == "progress"), default=0)

    def wait_moved(self, least: int) -> None:
        wait_for(f"{least} bytes moved", lambda: self.moved() >= least or self.process.poll() is not None, 60)

    def finish(self, status: int = 0) -> str:
        output, errors = self.process.communicate(timeout=90)
        assert self.process.returncode == status, f"{self.process.returncode}\n{output}\n{errors}"
        return output + errors


def stored_so_far(target: Path) -> int:
    """How much of a file that is being moved is on the disk beside its place; nothing when it is at its place."""
    sizes = [0]
    for path in target.parent.glob(f".{target.name}.*.part"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return max(sizes)


def only_session(site: Site) -> KnownSession:
    (session,) = site.sessions.values()
    wait_for("the session over", lambda: session.over)
    return session


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


@pytest.mark.req("S1")
@pytest.mark.parametrize("size", [0, 1, 16_364, 16_365, 3 * MEGA + 7])
def test_a_file_is_sent_and_fetched_back(
    site: Site, computer: Computer, state: Path, remote: Path, tmp_path: Path, size: int
) -> None:
    sha256 = make(tmp_path / "source.bin", size)
    target = remote / "target.bin"
    done = run("console", "send", "desk", str(tmp_path / "source.bin"), "--to", str(target), "--state", str(state))
    assert f"desk:{target}: {size} bytes in" in done.stdout and sha256 in done.stdout
    assert sha256_of(target) == sha256
    back = tmp_path / "back.bin"
    done = run("console", "fetch", "desk", "remote/target.bin", "--to", str(back), "--state", str(state))
    assert f"{back}: {size} bytes in" in done.stdout and sha256 in done.stdout
    assert sha256_of(back) == sha256
    assert not leftovers(remote) and not leftovers(tmp_path)
    assert site.recorded == [], "a file's bytes are never recorded"
    for session, direction in zip(site.sessions.values(), ("send", "fetch"), strict=True):
        assert session.over and session.ended == "done"
        assert sorted(end for end, _ in session.told) == [EndName.CONSOLE, EndName.JUMP_CLIENT]
        for _, note in session.told:
            assert (note.direction, note.outcome, note.size) == (direction, "stored", size)
            assert note.sha256 is not None and note.sha256.hex() == sha256
            assert note.path == str(target), "the path on the remote computer, whichever way it went"


def test_what_stands_in_the_way_is_said_and_nothing_is_changed(
    site: Site, computer: Computer, state: Path, remote: Path, tmp_path: Path
) -> None:
    make(tmp_path / "source.bin", 1000)
    (remote / "there.bin").write_bytes(b"old")
    os.mkfifo(remote / "pipe")
    source = str(tmp_path / "source.bin")
    for to, status, words in (
        ("remote/there.bin", 5, "There is a file"),
        ("remote", 2, "is a directory"),
        ("remote/", 2, "is a directory"),
        ("nowhere/file.bin", 4, "There is no folder"),
        ("remote/there.bin/file.bin", 4, "There is no folder"),
        (f"remote/{'x' * 300}", 2, "cannot be the name of a file"),
    ):
        done = run("console", "send", "desk", source, "--to", to, "--state", str(state), status=status)
        assert words in done.stderr and "desk: " in done.stderr and not done.stdout
    for path, status, words in (
        ("remote/absent", 4, "There is no file"),
        ("remote", 2, "is a directory"),
        ("remote/pipe", 2, "is no regular file"),
    ):
        done = run(
            "console", "fetch", "desk", path, "--to", str(tmp_path / "new"), "--state", str(state), status=status
        )
        assert words in done.stderr and "desk: " in done.stderr
    there = len(site.sessions)
    for to in (str(remote), ".", str(remote / "there.bin"), "nowhere/x"):
        done = run("console", "fetch", "desk", "remote/pipe", "--to", to, "--state", str(state), status=None)
        assert done.returncode in (2, 4, 5) and "desk: " not in done.stderr, "said of this computer, at once"
    assert len(site.sessions) == there
    assert (remote / "there.bin").read_bytes() == b"old" and not leftovers(remote)
    assert not (tmp_path / "new").exists()
    for session in site.sessions.values():
        outcomes = {note.outcome for _, note in session.told}
        assert len(outcomes) == 1 and outcomes != {"stored"}, "both ends say the same"
    run("console", "send", "desk", source, "--to", "remote/there.bin", "--overwrite", "--state", str(state))
    assert sha256_of(remote / "there.bin") == sha256_of(tmp_path / "source.bin")
    done = run("console", "send", "desk", str(tmp_path / "absent"), "--state", str(state), status=4)
    assert "There is no file" in done.stderr


def test_a_full_disk_or_another_hash_leaves_nothing(computer: Computer, state: Path, tmp_path: Path) -> None:
    """A file with a hole is larger than the disk; nothing is written for it."""
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(2**50 if _sparse(tmp_path) else 2**43)
    done = run("console", "send", "desk", str(huge), "--to", "remote.bin", "--state", str(state), status=8)
    assert "There is no room" in done.stderr
    assert not (tmp_path / "remote.bin").exists() and not leftovers(tmp_path)


def _sparse(folder: Path) -> bool:
    try:
        with (folder / "probe").open("wb") as file:
            file.truncate(2**50)
    except OSError:
        return False
    return True


def test_an_older_site_is_not_asked(gateway: Gateway, computer: Computer, state: Path, tmp_path: Path) -> None:
    gateway.capabilities = ("shell", "resume")
    make(tmp_path / "source.bin", 10)
    done = run("console", "send", "desk", str(tmp_path / "source.bin"), "--state", str(state), status=3)
    assert "has no sessions of kind 'files' yet" in done.stderr


def test_ctrl_c_removes_what_was_moved(
    site: Site, computer: Computer, state: Path, remote: Path, tmp_path: Path
) -> None:
    make(tmp_path / "source.bin", 20 * MEGA)
    carrying = Carrying(
        state, tmp_path / "events", "send", "desk", str(tmp_path / "source.bin"), "--to", "remote/x", "--limit", "4"
    )
    carrying.wait_moved(MEGA)
    assert leftovers(remote)
    carrying.process.send_signal(signal.SIGINT)
    assert "cancelled" in carrying.finish(130)
    wait_for("the partial file gone", lambda: not leftovers(remote))
    assert not list(remote.iterdir())
    session = only_session(site)
    assert session.ended == "cancelled by the rep"
    assert [(end, note.outcome) for end, note in session.told] == [(EndName.CONSOLE, "cancelled")]


def test_a_stopped_jump_client_leaves_nothing(
    site: Site, computer: Computer, state: Path, remote: Path, tmp_path: Path
) -> None:
    make(tmp_path / "source.bin", 20 * MEGA)
    carrying = Carrying(
        state, tmp_path / "events", "send", "desk", str(tmp_path / "source.bin"), "--to", "remote/x", "--limit", "4"
    )
    carrying.wait_moved(MEGA)
    assert computer.stop() == 0
    assert not list(remote.iterdir())
    assert "the Jump Client has ended the session" in carrying.finish(6)


def test_a_file_that_becomes_shorter_is_not_stored(computer: Computer, state: Path, tmp_path: Path) -> None:
    make(tmp_path / "source.bin", 20 * MEGA)
    carrying = Carrying(
        state, tmp_path / "events", "send", "desk", str(tmp_path / "source.bin"), "--to", "x", "--limit", "8"
    )
    carrying.wait_moved(MEGA)
    os.truncate(tmp_path / "source.bin", 2 * MEGA)
    assert "became shorter" in carrying.finish(7)
    wait_for("the partial file gone", lambda: not leftovers(tmp_path))
    assert not (tmp_path / "x").exists()


@pytest.mark.req("U9", "S1")
@pytest.mark.parametrize("direction", ["send", "fetch"])
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 8))])
def test_losses_moves_and_restarts_lose_nothing_and_double_nothing(
    site: Site,
    gateway: Gateway,
    computer: Computer,
    state: Path,
    remote: Path,
    tmp_path: Path,
    direction: str,
    seed: int,
) -> None:
    """A loss whenever some more is stored; the Jump Client's memory stays what it is for a small file."""
    chance = random.Random(seed)
    sending = direction == "send"
    source, target = (tmp_path / "source", remote / "target") if sending else (remote / "source", tmp_path / "target")
    size = 60 * MEGA
    sha256 = make(source, size, seed)
    carrying = Carrying(state, tmp_path / "events", direction, "desk", str(source), "--to", str(target))
    here, losses, next_at = gateway, 0, MEGA
    while True:
        wait_for(
            "more to be stored",
            lambda at=next_at: carrying.process.poll() is not None or stored_so_far(target) >= at,
            60,
        )
        if carrying.process.poll() is not None:
            break
        next_at = stored_so_far(target) + chance.randrange(MEGA, 8 * MEGA)
        losses += 1
        match chance.choice(("drop", "drop console", "drop client", "move", "restart")):
            case "drop":
                site.run(here.drop())
            case "drop console":
                site.run(here.drop(end=EndName.CONSOLE))
            case "drop client":
                site.run(here.drop(end=EndName.JUMP_CLIENT))
            case "move":
                after = site.gateway(f"site-{losses}", f"1.{losses}.0")
                site.run(here.move(after))
                here = after
            case "restart":
                ports = list(here.ports)
                site.run(here.stop())
                here = site.gateway(f"site-{losses}", f"1.{losses}.0", ports[0])
                for port in ports[1:]:
                    site.run(here.listen(port))
    carrying.finish()
    assert losses >= 3, "8 MB at most between two of them"
    assert sha256_of(target) == sha256
    assert [one for one in carrying.told() if one["event"] in ("moved", "resumed", "peer") and one["pause_ms"]]
    (session,) = site.sessions.values()
    told = {(end, note.channel, note.outcome) for end, note in session.told}
    assert told == {(EndName.CONSOLE, 1, "stored"), (EndName.JUMP_CLIENT, 1, "stored")}
    assert _peak(computer.process.pid) < 90 * MEGA, "a file of any size costs the same memory"


def _peak(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
