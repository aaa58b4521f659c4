"""Puts together what can be seen of an appliance, from whatever answers."""

from __future__ import annotations

import os
from datetime import datetime

from staffetta.base.doctor import looking
from staffetta.base.doctor.asking import ask_base, ask_server
from staffetta.base.doctor.databases import check_database
from staffetta.base.doctor.facts import BaseSeen, ClockSeen, Facts, ServerSeen, Unseen
from staffetta.base.doctor.machine import clock_synchronised, keeper_runs, ports
from staffetta.control.paths import ApplianceDescription, AppliancePaths, read_description


def examine(paths: AppliancePaths, actor: str, now: datetime, *, online: bool = True) -> Facts:
    """Look and ask. ``online`` lets the update server be asked. Raises NotAnAppliance and BadDescription."""
    description = read_description(paths)
    base = ask_base(paths, actor, online=online)
    whose = looking.owners(paths)
    certificates = looking.certificates(paths, description, now)
    if isinstance(certificates, Unseen) and isinstance(base, BaseSeen):
        certificates = base.certificates
    jobs = looking.job_seen(base.jobs) if isinstance(base, BaseSeen) else looking.jobs(paths)
    return Facts(
        now=now,
        root=str(paths.root),
        as_root=os.geteuid() == 0,
        places=looking.places(paths, whose),
        strangers=looking.strangers(paths, whose),
        releases=tuple(looking.release(paths, program) for program in looking.PROGRAMS),
        room=looking.room(paths),
        clock=ClockSeen(clock_synchronised(), looking.time_floor(paths)),
        keeper_runs=keeper_runs(paths),
        ports=ports(description),
        certificates=certificates,
        databases=tuple(check_database(paths, program) for program in looking.PROGRAMS),
        server=_server(base, description, online=online),
        jobs=jobs,
        base=base,
    )


def _server(base: BaseSeen | Unseen, description: ApplianceDescription, *, online: bool) -> ServerSeen | Unseen:
    if isinstance(base, BaseSeen):
        return Unseen("Base asked it.")
    return ask_server(description) if online else Unseen("It was not asked (--offline).")
