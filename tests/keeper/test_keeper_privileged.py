"""Addresses on real interfaces in a network namespace, the edge to the machine, and overwriting of files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kept_appliance import AS_ROOT, SOURCE

from staffetta.keeper import Refusal
from staffetta.keeper.config import load_config
from staffetta.keeper.privileged import erase_data
from staffetta.keeper.serving import Keeper

IN_NAMESPACE = """
import socket, subprocess, sys
from staffetta.keeper import Refusal
from staffetta.keeper.privileged import claim_address, release_address
def ip(*arguments): return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
ip("link", "set", "lo", "up")
ip("link", "add", "left", "type", "veth", "peer", "name", "right")
ip("link", "set", "left", "up"); ip("link", "set", "right", "up")
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); ear.bind(("right", 0)); ear.settimeout(20)
def heard(kind):
    while True:
        frame = ear.recv(2048)
        if frame[12:14] == kind and (kind != b"\\x86\\xdd" or frame[54] == 136): return frame
claim_address("left", "192.0.2.7/24")
request, reply = heard(b"\\x08\\x06"), heard(b"\\x08\\x06")
assert (request[21], reply[21]) == (1, 2), "announced as request and as reply"
assert request[28:32] == request[38:42] == bytes([192, 0, 2, 7])
claim_address("left", "192.0.2.7/24")
assert "192.0.2.7/24" in ip("-brief", "address", "show", "left")
socket.create_server(("192.0.2.7", 0)).close()
claim_address("left", "2001:db8::7/64")
frame = heard(b"\\x86\\xdd")
assert frame[62:78] == socket.inet_pton(socket.AF_INET6, "2001:db8::7"), "unsolicited neighbour advertisement"
line = next(one for one in ip("address", "show", "dev", "left").splitlines() if "2001:db8::7" in one)
assert "tentative" not in line
release_address("left", "192.0.2.7"); release_address("left", "192.0.2.7")
release_address("left", "2001:db8::7")
assert "192.0.2.7" not in ip("address", "show") and "2001:db8::7" not in ip("address", "show")
for wrong in (lambda: claim_address("none", "192.0.2.7/24"), lambda: release_address("none", "192.0.2.7")):
    try: wrong()
    except Refusal as refusal: assert refusal.code == "failed" and refusal.message
    else: raise AssertionError("no interface, and no refusal")
print("done")
"""


@pytest.mark.root
@pytest.mark.req("F9")
@pytest.mark.skipif(not AS_ROOT, reason="needs root: a network namespace")
def test_addresses_are_claimed_announced_and_released() -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", IN_NAMESPACE],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "done", done.stderr


class RecordingMachine:
    """Stands for the machine, whose clock and power switch no test may touch."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def set_clock(self, seconds: float) -> None:
        self.calls.append(("clock", seconds))

    def power_off(self) -> None:
        self.calls.append("off")


def make_keeper(root: Path, **more: object) -> tuple[Keeper, RecordingMachine]:
    (root / "keeper").mkdir()
    program = {"uid": None, "gid": None, "groups": [], "processes": ["service"], "tasks": []}
    config = {"appliance": "a", "programs": {"base": program}, "verb_holder": ["base", "service"], **more}
    (root / "keeper" / "config.json").write_text(json.dumps(config))
    machine = RecordingMachine()
    return Keeper(load_config(root), machine), machine


def test_the_clock_is_set_only_by_an_appliance_that_owns_its_machine(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "shared").mkdir()
    keeper, machine = make_keeper(tmp_path / "own", owns_machine=True)
    assert keeper._verb_set_clock(None, 1_900_000_000.5) == {}
    assert machine.calls == [("clock", 1_900_000_000.5)]
    keeper, machine = make_keeper(tmp_path / "shared")
    with pytest.raises(Refusal, match="shares its machine"):
        keeper._verb_set_clock(None, 1_900_000_000.5)
    assert machine.calls == []


@pytest.mark.req("H4")
@pytest.mark.parametrize("owns", [True, False])
def test_shutdown_reaches_the_machine_only_if_it_is_owned(tmp_path: Path, owns: bool) -> None:
    keeper, machine = make_keeper(tmp_path, owns_machine=owns)
    keeper._stop("power-off")
    assert keeper._leave() == 0
    assert machine.calls == (["off"] if owns else [])


@pytest.mark.req("H4")
def test_erasing_writes_over_data_but_not_through_links_and_not_into_holes(tmp_path: Path) -> None:
    for name in ("base", "site", "keeper", "releases/site/1.0", "releases/base/1.0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "releases/base/1.0/run").write_text("stays")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("stays")
    (tmp_path / "site" / "folder-link").symlink_to(outside)
    (tmp_path / "site" / "file-link").symlink_to(outside / "file")
    os.mkfifo(tmp_path / "site" / "pipe")
    sparse = tmp_path / "site" / "deep" / "sparse"
    sparse.parent.mkdir()
    with sparse.open("wb") as file:
        file.write(b"secret" * 1000)
        file.seek(20 * 2**30)
        file.write(b"secret")
        file.truncate(40 * 2**30)  # a disk full of recordings, none of which is there
    with sparse.open("rb") as open_still:
        erase_data(tmp_path)
        assert b"secret" not in open_still.read(6000)
        open_still.seek(20 * 2**30)
        assert open_still.read(6) != b"secret"
        assert os.fstat(open_still.fileno()).st_blocks * 512 < 10 * 2**20
    assert list((tmp_path / "site").iterdir()) == []
    assert list((tmp_path / "releases/site").iterdir()) == []
    assert (tmp_path / "releases/base/1.0/run").read_text() == "stays"
    assert (outside / "file").read_text() == "stays"
    erase_data(tmp_path)  # again is the same as once
