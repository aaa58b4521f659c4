"""What keeper is told: `keeper/config.json` of the appliance, and the sockets it was asked to remember.

Both files belong to root. They are checked as strictly as a message from a child, because a mistake here would be
made as root. An address that begins with "/" is the path of a unix socket directly inside `<appliance>/run`.
"""

import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from staffetta.keeper import Refusal

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
VERSION = re.compile(r"[0-9A-Za-z.+-]{1,64}")
SOCKET_FILE = re.compile(r"[a-z][a-z0-9-]{0,31}\.sock")


@dataclass(frozen=True, slots=True)
class ProgramConfig:
    """One program: the ids it runs under (None: keeper's own), its processes and its one-shot tasks."""

    name: str
    uid: int | None
    gid: int | None
    groups: tuple[int, ...]
    processes: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SocketSpec:
    """One listening socket and the process it is for; `port` is None for a unix socket, whose path is `address`."""

    name: str
    program: str
    process: str
    address: str
    port: int | None
    freebind: bool = False
    reuse_port: bool = False
    mode: int = 0o660
    group: int | None = None

    @property
    def family(self) -> str:
        """ "unix", "inet6" or "inet", as the messages to children name it."""
        if self.port is None:
            return "unix"
        return "inet6" if ":" in self.address else "inet"

    def described(self) -> dict[str, object]:
        """The form that `state.json` and `status` use, and that `parse_socket` reads back."""
        described: dict[str, object] = {"name": self.name, "program": self.program, "process": self.process}
        if self.port is None:
            return described | {"path": self.address, "mode": self.mode, "group": self.group}
        return described | {
            "address": self.address,
            "port": self.port,
            "freebind": self.freebind,
            "reuse_port": self.reuse_port,
        }


@dataclass(frozen=True, slots=True)
class Config:
    """`keeper/config.json`. Without `owns_machine` the clock and the power switch belong to somebody else."""

    appliance: str
    root: Path
    programs: Mapping[str, ProgramConfig]
    verb_holder: tuple[str, str]
    sockets: tuple[SocketSpec, ...]
    proving_seconds: float = 60.0
    crash_limit: int = 5
    ready_seconds: float = 60.0
    owns_machine: bool = False


def load_config(root: Path) -> Config:
    """Read and check the configuration of the appliance at `root`. Raises Refusal that names what is wrong."""
    raw = _object(_read_json(root / "keeper" / "config.json"), "config.json")
    programs = {
        match(NAME, name, "program"): _parse_program(name, value)
        for name, value in _object(raw.pop("programs", None), "programs").items()
    }
    holder = raw.pop("verb_holder", None)
    if not isinstance(holder, list) or len(holder) != 2 or holder[0] not in programs:
        raise Refusal("invalid", 'verb_holder must be ["<program>", "<process>"].')
    if holder[1] not in programs[holder[0]].processes:
        raise Refusal("invalid", f"verb_holder: {holder[0]} has no process {holder[1]}.")
    sockets = _list(raw.pop("sockets", []), "sockets")
    config = Config(
        appliance=_text(raw.pop("appliance", None), "appliance"),
        root=root,
        programs=programs,
        verb_holder=(holder[0], holder[1]),
        sockets=tuple(parse_socket(one, root, programs) for one in sockets),
        proving_seconds=number(raw.pop("proving_seconds", 60), "proving_seconds", 1, 3600),
        crash_limit=int(number(raw.pop("crash_limit", 5), "crash_limit", 1, 100)),
        ready_seconds=number(raw.pop("ready_seconds", 60), "ready_seconds", 1, 3600),
        owns_machine=flag(raw.pop("owns_machine", False), "owns_machine"),
    )
    if raw:
        raise Refusal("invalid", f"config.json: unknown keys {', '.join(sorted(raw))}.")
    return config


def parse_socket(raw: object, root: Path, programs: Mapping[str, ProgramConfig]) -> SocketSpec:
    """Check one socket's description, from a file or from the verb `listen`. Raises Refusal("invalid")."""
    fields = _object(raw, "socket")
    name = match(NAME, fields.pop("name", None), "socket name")
    program = programs.get(match(NAME, fields.pop("program", None), "program"))
    process = fields.pop("process", None)
    if program is None or process not in program.processes:
        raise Refusal("invalid", f"socket {name}: no such program and process.")
    port, path = fields.pop("port", None), fields.pop("path", None)
    address = _text(fields.pop("address", None) if path is None else path, "address")
    mode = int(number(fields.pop("mode", 0o660), "mode", 0, 0o777))
    group = fields.pop("group", None)
    if group is not None:
        group = int(number(group, "group", 0, 2**32 - 2))
    freebind = flag(fields.pop("freebind", False), "freebind")
    reuse_port = flag(fields.pop("reuse_port", False), "reuse_port")
    if fields:
        raise Refusal("invalid", f"socket {name}: unknown {', '.join(sorted(fields))}.")
    if address.startswith("/"):
        place = Path(address)
        if port is not None or place.parent != root / "run" or not SOCKET_FILE.fullmatch(place.name):
            raise Refusal("invalid", f"socket {name}: a unix socket is <appliance>/run/<name>.sock, with no port.")
    else:
        try:
            address = str(ipaddress.ip_address(address))
        except ValueError:
            raise Refusal("invalid", f"socket {name}: {address!r} is not an IP address.") from None
        port = int(number(port, "port", 1, 65535))
    return SocketSpec(name, program.name, str(process), address, port, freebind, reuse_port, mode, group)


@dataclass(frozen=True, slots=True)
class SocketMemory:
    """`keeper/state.json`: sockets opened to stay, and those of the configuration that were closed to stay closed."""

    kept: tuple[SocketSpec, ...] = ()
    closed: frozenset[str] = frozenset()

    def wanted(self, config: Config) -> tuple[SocketSpec, ...]:
        """Every socket to open when keeper starts."""
        kept = {spec.name for spec in self.kept}
        configured = [spec for spec in config.sockets if spec.name not in kept | self.closed]
        return (*configured, *self.kept)

    def with_socket(self, spec: SocketSpec) -> "SocketMemory":
        others = tuple(kept for kept in self.kept if kept.name != spec.name)
        return SocketMemory((*others, spec), self.closed - {spec.name})

    def without_socket(self, name: str, config: Config) -> "SocketMemory":
        configured = {spec.name for spec in config.sockets}
        return SocketMemory(tuple(kept for kept in self.kept if kept.name != name), self.closed | ({name} & configured))

    def save(self, root: Path) -> None:
        """Write `state.json` so that after a power cut either the old or the new one is there."""
        body = {"sockets": [spec.described() for spec in self.kept], "closed": sorted(self.closed)}
        write_atomically(root / "keeper" / "state.json", json.dumps(body, indent=1).encode())


def load_memory(config: Config) -> SocketMemory:
    """The remembered sockets; none when the file is not there yet."""
    path = config.root / "keeper" / "state.json"
    if not path.exists():
        return SocketMemory()
    raw = _object(_read_json(path), "state.json")
    sockets = _list(raw.get("sockets"), "sockets of state.json")
    closed = _list(raw.get("closed"), "closed of state.json")
    kept = tuple(parse_socket(one, config.root, config.programs) for one in sockets)
    return SocketMemory(kept, frozenset(match(NAME, name, "closed") for name in closed))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a root-only file: temporary, fsync, rename, fsync of the folder."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def match(pattern: re.Pattern[str], value: object, what: str) -> str:
    """The value, if it is text that the whole pattern matches."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Refusal("invalid", f"{what}: {value!r:.80} is not allowed.")
    return value


def number(value: object, what: str, least: float, most: float) -> float:
    """The value, if it is a number within the bounds (a truth value is none, and nan is within none)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise Refusal("invalid", f"{what} must be a number from {least:g} to {most:g}.")
    return value


def flag(value: object, what: str) -> bool:
    """The value, if it is true or false."""
    if not isinstance(value, bool):
        raise Refusal("invalid", f"{what} must be true or false.")
    return value


def _parse_program(name: str, raw: object) -> ProgramConfig:
    fields = _object(raw, f"program {name}")
    # Naming root here is never meant: "keeper's own" is spelled null.
    uid, gid = (_id(value, name) for value in (fields.pop("uid", None), fields.pop("gid", None)))
    groups = tuple(_id(one, name) or 0 for one in _list(fields.pop("groups", []), "groups"))
    if (uid is None) != (gid is None) or 0 in groups:
        raise Refusal("invalid", f"program {name}: uid and gid are given together or not at all; no group is null.")
    if uid is not None and os.geteuid() not in (0, uid):
        raise Refusal("invalid", f"program {name}: only root can run it as user {uid}.")
    processes = tuple(match(NAME, one, "process") for one in _list(fields.pop("processes", []), "processes"))
    tasks = tuple(match(NAME, one, "task") for one in _list(fields.pop("tasks", []), "tasks"))
    if fields or not processes or set(processes) & set(tasks):
        raise Refusal("invalid", f"program {name}: give uid, gid, groups, processes and tasks, no name twice.")
    return ProgramConfig(name, uid, gid, groups, processes, tasks)


def _id(value: object, program: str) -> int | None:
    return None if value is None else int(number(value, f"ids of {program}", 1, 2**32 - 2))


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise Refusal("invalid", f"{what} must be a list.")
    return value


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refusal("invalid", f"{what} must be an object.")
    return dict(value)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) < 256 or not value.isprintable():
        raise Refusal("invalid", f"{what} must be a short text.")
    return value


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal("invalid", f"{path} cannot be read: {error}") from error
