"""What a story may break on purpose, written FAULT@STEP, and the gate at which processes are killed.

keystrokes   drop@typist · double@typist · drop@echo · double@echo
releases     crash@site · hang@site · probe@site: the newer site is unhealthy in that way
processes    kill-PROCESS@KIND.STEP.WHEN: killed once, before or after that step of the job is written to the journal;
             PROCESS: keeper, service, base-web, gateway, web, worker, or any; KIND: base, site, or any;
             STEP: a state of the install table, or every; WHEN: before, after, or both
"""

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from staffetta.kernel.errors import InvalidInput
from staffetta.kernel.journal import GATE_VARIABLE
from staffetta.lab.appliance import Appliance
from staffetta.lab.world import World

PROCESSES: Final = ("keeper", "service", "base-web", "gateway", "web", "worker")
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
        if not (fault.is_keystroke or fault.is_unhealthy or (fault.is_kill and len(step.split(".")) == 3)):
            raise InvalidInput(f"{text!r} is no fault of this story. Known:\n{__doc__.partition(chr(10))[2]}")
        return fault

    @property
    def is_keystroke(self) -> bool:
        """Whether it drops or doubles a keystroke, which the report must show."""
        return self.kind in ("drop", "double") and self.step in ("typist", "echo")

    @property
    def is_unhealthy(self) -> bool:
        """Whether it spoils the newer site, which must then never get a connection."""
        return self.kind in ("crash", "hang", "probe") and self.step == "site"

    @property
    def is_kill(self) -> bool:
        """Whether it kills processes at journal writes."""
        return self.kind.removeprefix("kill-") in (*PROCESSES, "any") and self.kind.startswith("kill-")

    def meets(self, kind: str, step: str, when: str) -> bool:
        """Whether this journal write is one to kill at."""
        wanted_kind, wanted_step, wanted_when = self.step.split(".")
        return wanted_kind in (kind, "any") and wanted_step in (step, "every") and wanted_when in (when, "both")


class Gate:
    """Listens where every journal write asks to go on, and kills a process there first, each point once.

    Which process dies is drawn from a seed that the report records, so that a run can be repeated.
    """

    def __init__(self, world: World, fault: Fault, seed: int) -> None:
        self._path = world.folder / "gate.sock"
        self._fault = fault
        self._random = random.Random(seed)
        self._seen: set[tuple[str, str, str]] = set()
        self._kinds: dict[str, str] = {}
        self._appliance: Appliance | None = None
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

    def watch(self, appliance: Appliance) -> None:
        """Kill among this appliance's processes, once ``armed``."""
        self._appliance = appliance

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
            point = (kind, step, line["when"])
            if self.armed and point not in self._seen and self._fault.meets(*point):
                self._seen.add(point)
                self._kill(point, connection)
            with contextlib.suppress(OSError):  # whoever asked may be the one that was killed
                connection.sendall(b"go\n")

    def _kill(self, point: tuple[str, str, str], asker: socket.socket) -> None:
        wanted = self._fault.kind.removeprefix("kill-")
        candidates = list(PROCESSES) if wanted == "any" else [wanted]
        self._random.shuffle(candidates)
        for name in candidates:
            pids = list(self._pids(name))
            if wanted != "any":  # killed a moment ago, it is on its way back: without it this point would prove nothing
                until = time.monotonic() + BACK_SECONDS
                while not pids and time.monotonic() < until and _waits(asker):
                    time.sleep(0.1)
                    pids = list(self._pids(name))
            if pids:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):  # it has just left by itself
                        os.kill(pid, signal.SIGKILL)
                self.kills.append({"at": ".".join(point), "process": name, "pids": pids})
                return

    def _pids(self, name: str) -> Iterator[int]:
        """Yield the processes that carry a name: keeper's own, or every generation's process of that name."""
        assert self._appliance is not None
        if name == "keeper":
            if self._appliance.keeper().running:
                yield self._appliance.keeper().process.pid
            return
        program, process = _PLACES[name]
        yield from self._appliance.processes(program, process)


def _waits(asker: socket.socket) -> bool:
    """Whether the process that asked at the gate still lives, and so waits."""
    try:
        return asker.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
