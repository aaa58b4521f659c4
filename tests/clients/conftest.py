"""A simulated site, and real client programs against it: Jump Clients as processes, consoles in pseudo-terminals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

from clients.simulated_gateway import Gateway, Site, wait_for
from staffetta.wire.fields import to_base64url

COMMAND = (sys.executable, "-c", "from staffetta.cli.main import main; main()")
PROMPT = "staffetta-test> "


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as simulated:
        yield simulated


@pytest.fixture
def gateway(site: Site) -> Gateway:
    return site.gateway()


def run(*arguments: str, status: int | None = 0, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the public command; its exit status must be ``status``, if one is given."""
    done = subprocess.run([*COMMAND, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert status in (None, done.returncode), f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def broken(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Connections that a console has lost for another reason than that the whole machine stood still for seconds."""
    return [one for one in told if one["event"] == "lost" and "nothing heard" not in one["detail"]]


@dataclass
class Computer:
    """A remote computer with an enrolled, running Jump Client."""

    state: Path
    id: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


class World:
    """The computers and consoles of a test."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.computers: list[Computer] = []
        self.consoles: list[pexpect.spawn] = []

    def enrol(self, name: str = "desk") -> Path:
        state = self.folder / name
        run("jump-client", "enrol", "--token", self.site.installer_token(), "--state", str(state), "--name", name)
        return state

    def computer(self, name: str = "desk", gateway: Gateway | None = None) -> Computer:
        """Enrol a computer, start its Jump Client, wait until it is online (at ``gateway``)."""
        state = self.enrol(name)
        computer = self.start(state)
        where = gateway or self.site.gateways[-1]
        wait_for("the Jump Client online", lambda: computer.id in self.site.run(where.online()))
        return computer

    def start(self, state: Path) -> Computer:
        log = state.with_suffix(".log")
        shell = self.folder / "shell.sh"
        shell.write_text(f"#!/bin/sh\nPS1='{PROMPT}' exec /bin/sh -i\n")
        shell.chmod(0o755)
        environment = {
            **os.environ,
            "SHELL": str(shell),
            "STAFFETTA_SECRET": "must not be seen",
            "HOME": str(self.folder),
        }
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "staffetta.clients", "jump-client", "--state", str(state)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
            )
        name = next(one.id for one in self.site.clients.values() if one.name == state.name)
        computer = Computer(state, name, process, log)
        self.computers.append(computer)
        return computer

    def sign_in(self, gateway: Gateway, name: str = "console") -> Path:
        state = self.folder / name
        secret = self.folder / "password"
        secret.write_text("correct horse\n")
        run(
            "console", "sign-in", "--site", f"https://{gateway.address}", "--identity", identity(self.site),
            "--user", "rita", "--password-file", str(secret), "--state", str(state),
        )  # fmt: skip
        return state

    def connect(
        self, state: Path, computer: str = "desk", *more: str, columns: int = 80, rows: int = 24
    ) -> pexpect.spawn:
        """Start a console in a terminal of its own."""
        console = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], "console", "connect", computer, "--state", str(state), *more],
            timeout=60,
            dimensions=(rows, columns),
            encoding=None,
        )
        console.delaybeforesend = None
        self.consoles.append(console)
        return console

    def close(self) -> None:
        for console in self.consoles:
            console.close(force=True)
        for computer in self.computers:
            if computer.process.poll() is None:
                computer.process.kill()
                computer.process.wait(10)


def identity(site: Site) -> str:
    return to_base64url(site.key.public)


@pytest.fixture
def world(site: Site, tmp_path: Path) -> Iterator[World]:
    made = World(site, tmp_path)
    try:
        yield made
    finally:
        made.close()
