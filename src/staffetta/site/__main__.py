"""Start of a site release: ``python -m staffetta.site gateway|web|worker|migrate|snapshot``, as keeper calls it.

A process logs to standard error and talks to keeper; a task prints one JSON line and leaves with 0, or with the exit
status of its error and the error in that line.
"""

import importlib
import json
import sys
from typing import Final

from staffetta.control.paths import ProcessEnvironment
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import configure
from staffetta.site.processes import child
from staffetta.site.processes.errors import NoSuchProcess

_PROCESSES: Final = {
    "gateway": "staffetta.site.gateway.process:serve_gateway",
    "web": "staffetta.site.processes.web:serve_web",
    "worker": "staffetta.site.worker.process:serve_worker",
}
_TASKS: Final = ("migrate", "snapshot")


def main(arguments: list[str]) -> int:
    """Run what the first argument names; return the exit status."""
    name = arguments[0] if len(arguments) == 1 else ""
    try:
        if name not in _PROCESSES and name not in _TASKS:
            raise NoSuchProcess(f"Name one of {', '.join((*_PROCESSES, *_TASKS))}.")
        environment = ProcessEnvironment.read()
        child.set_up_django()
        if name in _PROCESSES:
            child.run(environment, _named(_PROCESSES[name]))
        else:
            _run_task(name, environment)
    except StaffettaError as error:
        # The line that keeper takes as a task's answer, and that a log shows last.
        sys.stdout.write(json.dumps({"error": error.code, "message": error.message}) + "\n")
        return error.exit_status
    return 0


def _run_task(name: str, environment: ProcessEnvironment) -> None:
    configure("site", process=name, version=environment.version)
    # Django's apps must be set up before a module with models may be imported.
    tasks = importlib.import_module("staffetta.site.processes.tasks")
    if name == "migrate":
        result = tasks.migrate()
    else:
        result = tasks.snapshot(environment.paths.site / "snapshots", environment.version)
    sys.stdout.write(json.dumps(result) + "\n")


def _named(where: str) -> child.Serve:
    module, _, function = where.partition(":")
    found: child.Serve = getattr(importlib.import_module(module), function)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
