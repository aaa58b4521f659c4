"""How a process is started: under its program's ids, with a message socket to keeper, a log, and nothing else of ours.

Rights are given up between fork and exec, never afterwards by the program itself. A child cannot gain rights again
(no_new_privs), and the kernel kills it should keeper be gone before it could tell the child.
"""

import array
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from staffetta.keeper import Refusal
from staffetta.keeper.config import VERSION, ProgramConfig

MESSAGE_BYTES = 64 * 1024
LOG_BYTES = 16 * 1024 * 1024
OUTPUT_BYTES = 8 * 1024  # of the end; escaped as JSON it still fits a message
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Child:
    """A running process, or task, and keeper's end of what connects the two."""

    program: ProgramConfig
    generation: str
    name: str
    popen: subprocess.Popen[bytes]
    pidfd: int
    channel: socket.socket | None  # to a process
    output: int | None = None  # from a task
    collected: bytearray = field(default_factory=bytearray)
    kill_at: float | None = None  # when it must be gone
    timed_out: bool = False

    def send(self, message: Mapping[str, object], sockets: Sequence[socket.socket] = ()) -> bool:
        """Send one message, with descriptors. False: it does not read, or is gone; then it must be killed."""
        data = json.dumps(message, separators=(",", ":")).encode()
        if self.channel is None or len(data) > MESSAGE_BYTES:
            return False
        descriptors = array.array("i", [sock.fileno() for sock in sockets])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if sockets else []
        try:
            self.channel.sendmsg([data], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def signal(self, kill: bool) -> None:
        """SIGTERM to the process, or SIGKILL to it and all that it started (its process group)."""
        if self.popen.returncode is None:
            if kill:
                os.killpg(self.popen.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def ended(self) -> str | None:
        """How it ended, in words; None while it runs. What it left behind in its process group is killed."""
        # Not yet collected, it keeps its process id, so that the group cannot be anybody else's.
        if self.popen.returncode is None and os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            self.signal(kill=True)
        status = self.popen.poll()
        if status is None:
            return None
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def close(self) -> None:
        """Give back what keeper holds of it."""
        os.close(self.pidfd)
        if self.channel is not None:
            self.channel.close()
        if self.output is not None:
            os.close(self.output)


class Launcher:
    """Starts processes and tasks of one appliance, and makes what they find there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def release(self, program: str, version: str) -> Path:
        """The release directory of a version. Raises Refusal unless it really is releases/<program>/<version>."""
        place = self.root / "releases" / program / version
        if not VERSION.fullmatch(version) or not (place / "bin" / "run").is_file():
            raise Refusal("unknown-version", f"{program} {version} is not there.")
        if place.resolve() != self.root.resolve() / "releases" / program / version:
            raise Refusal("unknown-version", f"{program} {version} is not a release directory of its own.")
        return place

    def current(self, program: str) -> str | None:
        """The version that `current` names, None when there is none."""
        link = self.root / "releases" / program / "current"
        if not link.is_symlink():
            return None
        version = str(link.readlink())
        return version if VERSION.fullmatch(version) else None

    def make_run_directory(self, program: ProgramConfig, generation: str) -> None:
        """run/<generation>, of the program's user and group, closed to others."""
        place = self.root / "run" / generation
        place.mkdir(mode=0o700)
        _give(place, program)
        place.chmod(0o770)

    def remove_run_directory(self, generation: str) -> None:
        """Remove it and all that the generation left in it."""
        shutil.rmtree(self.root / "run" / generation, ignore_errors=True)

    def start(self, program: ProgramConfig, generation: str, version: str, name: str) -> Child:
        """Start a process with its message socket. Raises OSError and Refusal."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                popen = self._execute(program, generation, version, name, theirs.fileno(), None)
        except BaseException:
            ours.close()
            raise
        return Child(program, generation, name, popen, os.pidfd_open(popen.pid), ours)

    def start_task(self, program: ProgramConfig, generation: str, version: str, name: str) -> Child:
        """Start a one-shot task whose standard output is collected."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.set_blocking(writing, True)
            popen = self._execute(program, generation, version, name, None, writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return Child(program, generation, name, popen, os.pidfd_open(popen.pid), None, reading)

    def _execute(
        self, program: ProgramConfig, generation: str, version: str, name: str, channel: int | None, output: int | None
    ) -> subprocess.Popen[bytes]:
        release = self.release(program.name, version)
        environment = {key: value for key, value in os.environ.items() if key.startswith("STAFFETTA_")}
        environment |= {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
        environment |= {
            "HOME": str(self.root / program.name),
            "STAFFETTA_APPLIANCE": str(self.root),
            "STAFFETTA_PROGRAM": program.name,
            "STAFFETTA_PROCESS": name,
            "STAFFETTA_GENERATION": generation,
            "STAFFETTA_VERSION": version,
            "STAFFETTA_RELEASE": str(release),
            "STAFFETTA_RUN": str(self.root / "run" / generation),
        }
        environment.pop("STAFFETTA_KEEPER_FD", None)
        if channel is not None:
            environment["STAFFETTA_KEEPER_FD"] = str(channel)
        as_root = os.geteuid() == 0 and program.uid is not None
        log = self._open_log(program, name)
        try:
            return subprocess.Popen(
                [release / "bin" / "run", name],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log,
                pass_fds=() if channel is None else (channel,),
                start_new_session=True,
                user=program.uid if as_root else None,
                group=program.gid if as_root else None,
                extra_groups=program.groups if as_root else None,
                umask=0o022,
                preexec_fn=_last_step_before_exec(program.uid, os.getpid()),
            )
        except subprocess.SubprocessError as error:
            raise OSError(f"rights could not be given up: {error}") from error
        finally:
            os.close(log)

    def _open_log(self, program: ProgramConfig, name: str) -> int:
        path = self.root / "logs" / f"{program.name}-{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        if os.geteuid() == 0 and program.gid is not None:
            os.fchown(log, 0, program.gid)
        return log


def _give(place: Path, program: ProgramConfig) -> None:
    if os.geteuid() == 0 and program.uid is not None and program.gid is not None:
        os.chown(place, program.uid, program.gid, follow_symlinks=False)


def _last_step_before_exec(uid: int | None, keeper: int) -> Callable[[], None]:
    def step() -> None:
        if uid is not None and os.getresuid() != (uid, uid, uid):
            raise PermissionError("still another user")
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL)):
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != keeper:
            os._exit(1)

    return step
