"""What a story may break on purpose, written FAULT@STEP, and the gate at which processes are killed."""

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from staffetta.kernel.errors import InvalidInput
from staffetta.kernel.journal import GATE_VARIABLE
from staffetta.lab.appliance import Appliance
from staffetta.lab.world import World

LIST: Final = """
keystrokes   drop@typist · double@typist · drop@echo · double@echo
releases     crash@site · hang@site · probe@site: the newer site is unhealthy in that way
records      lose@record · copy@record: deleted from, or copied in, the database of B, stopped, before it is compared
processes    kill-PROCESS@KIND.STEP.WHEN: killed once, before or after that step of the job is written to the journal;
             PROCESS: keeper, service, base-web, gateway, web, worker, or any, of the appliance that writes it; with -a
             or -b after it, of that one; KIND: base or site (an install job), pair (the pair job), or any;
             STEP: a state of the job's table, or every; WHEN: before, after, or both
"""
"""Every fault there is; a story refuses those that it cannot bring about."""
PROCESSES: Final = ("keeper", "service", "base-web", "gateway", "web", "worker")
KEEPER_COUNTS: Final = 3
BACK_SECONDS: Final = 40.0  # longer than keeper's longest pause before it starts a process again
_PLACES: Final = {
    "keeper": ("keeper", ""),
    "service": ("base", "service"),
    "base-web": ("base", "web"),
    "gateway": ("site", "gateway"),
    "web": ("site", "web"),
    "worker": ("site", "worker"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to break: what, and where or when."""

    kind: str
    step: str

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read FAULT@STEP; what is not known raises ``InvalidInput`` that lists what is."""
        kind, _, step = text.partition("@")
        fault = cls(kind, step)
        if not (fault.is_keystroke or fault.is_unhealthy or fault.is_record or fault.is_kill):
            raise InvalidInput(f"{text!r} is no fault that the lab knows. Known:\n{LIST}")
        return fault

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.kind}@{self.step}"

    @property
    def is_keystroke(self) -> bool:
        """Whether it drops or doubles a keystroke, which the report must show."""
        return self.kind in ("drop", "double") and self.step in ("typist", "echo")

    @property
    def is_unhealthy(self) -> bool:
        """Whether it spoils the newer site, which must then never get a connection."""
        return self.kind in ("crash", "hang", "probe") and self.step == "site"

    @property
    def is_record(self) -> bool:
        """Whether it loses or doubles a record of a stopped appliance, which the report must show."""
        return self.kind in ("lose", "copy") and self.step == "record"

    @property
    def is_kill(self) -> bool:
        """Whether it kills processes at journal writes."""
        return self.kind.startswith("kill-") and self.process in (*PROCESSES, "any") and len(self.step.split(".")) == 3

    @property
    def process(self) -> str:
        """The process that is killed, or any."""
        return self.kind.removeprefix("kill-").removesuffix("-a").removesuffix("-b")

    @property
    def side(self) -> str:
        """The appliance whose process is killed, A or B; empty for the one that writes to its journal."""
        return {"-a": "A", "-b": "B"}.get(self.kind[-2:], "")

    @property
    def needs_pair(self) -> bool:
        """Whether there must be two appliances for it."""
        return self.is_record or self.side == "B" or self.step.startswith("pair.")

    def meets(self, kind: str, step: str, when: str) -> bool:
        """Whether this journal write is one to kill at."""
        wanted_kind, wanted_step, wanted_when = self.step.split(".")
        return wanted_kind in (kind, "any") and wanted_step in (step, "every") and wanted_when in (when, "both")


class Draw:
    """Draws which process of an appliance is killed next: one of those killed least often, so none is left out.

    With keeper every other process is gone too, which costs as much as killing each of them; so it has rarer turns.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._killed: Counter[str] = Counter()

    def candidates(self) -> list[str]:
        """Return every process, in the order in which it is wanted."""
        return sorted(PROCESSES, key=lambda name: (self._killed[name], self._random.random()))

    def note(self, process: str) -> None:
        """Note that this one was killed."""
        self._killed[process] += KEEPER_COUNTS if process == "keeper" else 1


class Gate:
    """Listens where every journal write asks to go on, and kills a process there first, each point once.

    Which process dies is drawn from a seed that the report records, for each appliance by itself, since the two write
    in no fixed order.
    """

    def __init__(self, world: World, fault: Fault, seed: int) -> None:
        self._path = world.folder / "gate.sock"
        self._fault = fault
        self._draws = {side: Draw(f"{seed} {side}") for side in ("A", "B")}
        self._seen: set[tuple[str, str, str, str]] = set()
        self._kinds: dict[str, str] = {}
        self._appliances: dict[str, Appliance] = {}
        self.armed = False
        self.kills: list[dict[str, Any]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._path.chmod(0o666)
        self._listener.listen(16)
        threading.Thread(target=self._listen, name="gate", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What the appliance's keeper must be started with for its children to ask."""
        return {GATE_VARIABLE: str(self._path)}

    def watch(self, **appliances: Appliance) -> None:
        """Kill among the processes of these appliances, called A and B, once ``armed``."""
        self._appliances = appliances

    def _listen(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            line = json.loads(connection.makefile().readline())
            entry = line["entry"]
            if entry.get("type") == "job":
                self._kinds[entry["job"]] = entry["program"]
            kind = self._kinds.get(entry["job"], "")
            step = entry.get("step", entry["type"])
            # Nobody's: the one that asked was killed meanwhile. It will ask again when it is back.
            writer = next((side for side, one in self._appliances.items() if one.owns(line["pid"])), "")
            point = (kind, step, line["when"])
            if self.armed and writer and (writer, *point) not in self._seen and self._fault.meets(*point):
                self._seen.add((writer, *point))
                self._kill(point, self._fault.side or writer, connection)
            with contextlib.suppress(OSError):  # whoever asked may be the one that was killed
                connection.sendall(b"go\n")

    def _kill(self, point: tuple[str, str, str], side: str, asker: socket.socket) -> None:
        wanted = self._fault.process
        draw = self._draws[side]
        for name in draw.candidates() if wanted == "any" else [wanted]:
            pids = list(self._pids(name, side))
            if wanted != "any":  # killed a moment ago, it is on its way back: without it this point would prove nothing
                until = time.monotonic() + BACK_SECONDS
                while not pids and time.monotonic() < until and _waits(asker):
                    time.sleep(0.1)
                    pids = list(self._pids(name, side))
            if pids:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):  # it has just left by itself
                        os.kill(pid, signal.SIGKILL)
                draw.note(name)
                self.kills.append({"at": ".".join(point), "process": name, "appliance": side, "pids": pids})
                return

    def _pids(self, name: str, side: str) -> Iterator[int]:
        """Yield an appliance's processes of a name: keeper's own, or every generation's process of that name."""
        appliance = self._appliances[side]
        if name != "keeper":
            yield from appliance.processes(*_PLACES[name])
        elif appliance.keeper().running:
            yield appliance.keeper().process.pid


def _waits(asker: socket.socket) -> bool:
    """Whether the process that asked at the gate still lives, and so waits."""
    try:
        return asker.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
