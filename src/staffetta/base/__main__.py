"""Base's processes and tasks, by the name keeper gives as the first argument: service, web, migrate, snapshot."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import uvloop

from staffetta.control.child import KeeperChannel
from staffetta.control.paths import ProcessEnvironment
from staffetta.kernel.errors import InvalidInput, StaffettaError, Unavailable
from staffetta.kernel.log import configure

# Imported only when asked for: the service process needs no Django, a task no front.
PROCESSES: Final = {"service": "staffetta.base.service.process", "web": "staffetta.base.service.pages"}
TASKS: Final = ("migrate", "snapshot")


def main(arguments: list[str]) -> int:
    """Run one process or task; returns its exit status."""
    if len(arguments) != 1 or arguments[0] not in (*PROCESSES, *TASKS):
        sys.stderr.write(f"usage: python -m staffetta.base {{{'|'.join((*PROCESSES, *TASKS))}}}\n")
        return InvalidInput.exit_status
    name = arguments[0]
    os.umask(0o077)
    try:
        environment = ProcessEnvironment.read()
        configure("base", process=name, generation=environment.generation, version=environment.version)
        if name in TASKS:
            _say(importlib.import_module("staffetta.base.tasks").TASKS[name](environment))
        else:
            channel = KeeperChannel.from_environment()
            if channel is None:
                raise Unavailable("This process is started by keeper (STAFFETTA_KEEPER_FD is not set).")
            uvloop.run(importlib.import_module(PROCESSES[name]).serve(environment, channel))
    except StaffettaError as error:
        sys.stderr.write(f"{error.message}\n")
        if name in TASKS:
            _say({"error": error.code, "message": error.message})
        return error.exit_status
    return 0


def _say(answer: Mapping[str, Any]) -> None:
    """A task's one line, for keeper to hand on."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
