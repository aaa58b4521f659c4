"""A program on a pseudo-terminal: started in a session of its own, read, written, resized, hung up.

Rules:
- the program gets an environment made here, from a short list of harmless names, never the client's own (no
  setting, path or secret of ours reaches it), and no descriptor but its terminal;
- what was printed before the program left is read to the last byte, also when a process that it left behind keeps
  the terminal open;
- nothing is read from the terminal unless somebody asks for it: a program whose output is not wanted yet is held
  by its terminal, as by any slow one.
"""

import asyncio
import contextlib
import fcntl
import os
import pwd
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

READ_SIZE: Final = 16_000  # with the frame's header still below a message's limit
QUIET_AFTER_EXIT: Final = 0.2  # seconds of silence after which output of a program that left is complete
HANG_UP_GRACE: Final = 2.0  # seconds between SIGHUP and SIGKILL
KEPT_VARIABLES: Final = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def clean_environment(own: Mapping[str, str], term: str, also: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment of a shell: the kept names, every ``LC_*`` and ``also`` of ``own``, and TERM."""
    kept = {
        name: value for name, value in own.items() if name in KEPT_VARIABLES or name.startswith("LC_") or name in also
    }
    account = pwd.getpwuid(os.getuid()) if _has_account(os.getuid()) else None
    kept.setdefault("PATH", DEFAULT_PATH)
    if account is not None:
        kept.setdefault("HOME", account.pw_dir)
        kept.setdefault("USER", account.pw_name)
        kept.setdefault("LOGNAME", account.pw_name)
    return {**kept, "TERM": term}


def usual_shell(own: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command of the user's shell: $SHELL, else the account's, else ``/bin/sh``."""
    if own.get("SHELL"):
        return (own["SHELL"],)
    if _has_account(os.getuid()) and pwd.getpwuid(os.getuid()).pw_shell:
        return (pwd.getpwuid(os.getuid()).pw_shell,)
    return ("/bin/sh",)


class Shell:
    """A running program and our end of its terminal."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self._exited = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._waiter = asyncio.create_task(self._wait())

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], columns: int, rows: int) -> Self:
        """Start ``command`` with a controlling terminal of the given size; OSError if it cannot be started."""
        ours, theirs = os.openpty()
        try:
            _set_size(ours, columns, rows)
            os.set_blocking(ours, False)
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=dict(environment),
                cwd=_directory(environment),
                start_new_session=True,
                preexec_fn=_take_terminal,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The program's process id, which is also its session's and first group's."""
        return self._process.pid

    async def read(self) -> bytes:
        """Return the next output, at most ``READ_SIZE`` bytes; empty when there will be no more."""
        while self._terminal >= 0:
            try:
                return os.read(self._terminal, READ_SIZE)
            except BlockingIOError:
                pass
            except OSError:  # EIO: the last process that held the terminal is gone
                return b""
            quiet = QUIET_AFTER_EXIT if self._exited.is_set() else None
            if not await self._ready(writing=False, limit=quiet):
                return b""
        return b""

    async def write(self, data: bytes) -> None:
        """Give input to the program; returns when its terminal took all of it, or when it is gone."""
        rest = memoryview(data)
        while rest and self._terminal >= 0:
            try:
                rest = rest[os.write(self._terminal, rest) :]
            except BlockingIOError:
                await self._ready(writing=True, limit=None)
            except OSError:
                return

    def resize(self, columns: int, rows: int) -> None:
        """Tell the program (by SIGWINCH) that its terminal has another size."""
        if self._terminal >= 0:
            _set_size(self._terminal, columns, rows)

    async def wait(self) -> int:
        """Return the exit status when the program has left: its own, or 128 + the signal that ended it."""
        await asyncio.shield(self._waiter)
        status = self._process.returncode
        assert status is not None
        return status if status >= 0 else 128 - status

    async def close(self) -> None:
        """Hang up: close the terminal, SIGHUP to the program's group, SIGKILL to what is left after the grace."""
        if self._terminal >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._terminal)
            loop.remove_writer(self._terminal)
            os.close(self._terminal)
            self._terminal = -1
            self._wake()
        if not self._exited.is_set():
            self._signal(signal.SIGHUP)
            self._signal(signal.SIGCONT)
            try:
                await asyncio.wait_for(self._exited.wait(), HANG_UP_GRACE)
            except TimeoutError:
                self._signal(signal.SIGKILL)
        await self._waiter

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _wait(self) -> None:
        await self._process.wait()
        self._exited.set()
        self._wake()

    def _wake(self) -> None:
        for ready in self._waiting:
            if not ready.done():
                ready.set_result(None)

    async def _ready(self, *, writing: bool, limit: float | None) -> bool:
        """Wait until the terminal may be used, the program left or the shell is closed; False after ``limit``."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        terminal = self._terminal
        if writing:
            loop.add_writer(terminal, self._wake)
        else:
            loop.add_reader(terminal, self._wake)
        self._waiting.add(ready)
        try:
            async with asyncio.timeout(limit):
                await ready
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(ready)
            if self._terminal >= 0:
                (loop.remove_writer if writing else loop.remove_reader)(terminal)
        return True


def _directory(environment: Mapping[str, str]) -> str:
    home = environment.get("HOME", "/")
    return home if Path(home).is_dir() else "/"


def _take_terminal() -> None:
    # Whoever started the Jump Client may have had it ignore the hang-up (nohup); a program in a shell must not.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _has_account(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True
