"""What one lab world stands on: a folder, loopback addresses of its own, and processes that all end with it.

For the appliance's keeper the world stands in for systemd: a keeper that dies is started again.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from staffetta.kernel.errors import Conflict, StaffettaError, Unavailable

NETWORK: Final = "127.0.10"
ADDRESSES_PER_WORLD: Final = 8
LOCK_PORT: Final = 8440

Value = TypeVar("Value")


class LabFailure(StaffettaError):
    """A step of a story did not come out as it must."""

    code = "lab-failure"


class NoRoom(Conflict):
    """Every block of loopback addresses is taken by another world."""

    code = "no-addresses"


def wait_until(what: str, check: Callable[[], Value | None], seconds: float = 60.0, every: float = 0.1) -> Value:
    """Return the first truthy answer of ``check``; after ``seconds`` raise ``Unavailable`` that names ``what``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Unavailable(f"Waited {seconds:.0f} s in vain for {what}.")
        time.sleep(every)


@dataclass
class Program:
    """One running process of the world, its output in a log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its log, for an error message."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(text[-lines:])


@dataclass(frozen=True, slots=True)
class Tree:
    """A source tree that releases are built from, its public command, and a Python that imports what is in it."""

    source: Path
    staffetta: tuple[str, ...]
    python: tuple[str, ...]


class World:
    """Folder, addresses and processes of one lab; ``close`` ends and removes all of it."""

    def __init__(self, say: Callable[[str], None], command: Sequence[str], source: Path) -> None:
        """``command`` is the public `staffetta` command; ``source`` the tree that releases are built from."""
        self.say = say
        self.staffetta = tuple(command)
        self.python = sys.executable
        self.source = source
        self.older = Tree(source, self.staffetta, (self.python,))
        """What the older release is built from; whoever is there before the upgrade uses its commands."""
        self.folder = Path(tempfile.mkdtemp(prefix="staffetta-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        self._programs: list[Program] = []
        self._keepers: list[threading.Event] = []
        self.may_start = threading.Event()
        """While it is not set, what is kept is not started again: as when an administrator stops the unit."""
        self.may_start.set()
        self._lock, self.block = self._claim_addresses()

    @staticmethod
    def _claim_addresses() -> tuple[socket.socket, int]:
        for block in range(30):
            claim = socket.socket()
            try:
                claim.bind((f"{NETWORK}.{block * ADDRESSES_PER_WORLD + 1}", LOCK_PORT))
                claim.listen()
            except OSError:
                claim.close()
                continue
            return claim, block
        raise NoRoom("Thirty worlds run on this machine already; end one of them.")

    def address(self, number: int) -> str:
        """Return the world's loopback address ``number``, from 1."""
        return f"{NETWORK}.{self.block * ADDRESSES_PER_WORLD + number}"

    def run(
        self,
        *arguments: str,
        seconds: float = 300.0,
        env: Mapping[str, str] | None = None,
        given: str = "",
        older: bool = False,
    ) -> str:
        """Run one `staffetta` command to its end and return what it printed; a failure raises with its words.

        ``given`` is its standard input; ``older``: the command of the older release.
        """
        result = subprocess.run(
            [*(self.older.staffetta if older else self.staffetta), *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **(env or {})},
            check=False,
        )
        if result.returncode:
            words = (result.stderr or result.stdout).strip()
            raise LabFailure(f"`staffetta {' '.join(arguments[:3])} …` ended with {result.returncode}: {words[-2000:]}")
        return result.stdout

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None, pipe: bool = False
    ) -> Program:
        """Start a process that the world ends; with ``pipe`` its standard output can be read by the caller."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else file,
                stderr=file,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        program = Program(name, process, log)
        self._programs.append(program)
        return program

    def keep(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Callable[[], Program]:
        """Start a process, again whenever it dies, as systemd does; returns a question for the present one."""
        ended = threading.Event()
        self._keepers.append(ended)
        present = [self.start(name, command, env=env)]

        def watch() -> None:
            while not ended.is_set():
                present[0].process.wait()
                self.may_start.wait()
                if not ended.wait(0.1):
                    present[0] = self.start(name, command, env=env)

        threading.Thread(target=watch, name=f"unit-{name}", daemon=True).start()
        return lambda: present[0]

    def stop(self, program: Program, seconds: float = 10.0) -> None:
        """Ask a process to end, insist after ``seconds``."""
        if program.running:
            program.process.send_signal(signal.SIGTERM)
            try:
                program.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(program.process.pid, signal.SIGKILL)
                program.process.wait(seconds)

    def account(self, program: Program, seconds: float = 60.0) -> dict[str, Any]:
        """Ask a user's process to stop and return its JSON account, the last line it prints."""
        if program.running:
            program.process.send_signal(signal.SIGTERM)
        try:
            output, _ = program.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            program.process.kill()
            raise LabFailure(f"{program.name} did not end in {seconds:.0f} s. Its log:\n{program.tail()}") from None
        lines = output.decode().strip().splitlines()
        if not lines or not lines[-1].startswith("{"):
            raise LabFailure(f"{program.name} told nothing. Its log:\n{program.tail()}")
        account: dict[str, Any] = json.loads(lines[-1])
        return account

    def close(self) -> None:
        """End every process, newest first, and remove the folder."""
        for ended in self._keepers:
            ended.set()
        self.may_start.set()
        for program in reversed(self._programs):
            self.stop(program)
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)
