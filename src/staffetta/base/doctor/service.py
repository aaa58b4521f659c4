"""Puts together what can be seen of an appliance, from whatever answers."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime
from functools import partial

from staffetta.base.doctor import addresses, looking
from staffetta.base.doctor.apart import Apart
from staffetta.base.doctor.asking import ANSWER_SECONDS, BASE_SECONDS, ask_base, ask_server
from staffetta.base.doctor.databases import check_database
from staffetta.base.doctor.facts import BaseSeen, ClockSeen, DatabaseSeen, Facts, ServerSeen, Unseen
from staffetta.base.doctor.machine import clock_synchronised, keeper_process, ports
from staffetta.control.paths import ApplianceDescription, AppliancePaths, read_description
from staffetta.kernel.clock import utc_now


def examine(
    given: AppliancePaths, actor: str, now: datetime, *, online: bool = True, apart: Apart | None = None
) -> Facts:
    """Look and ask. ``online`` lets the update server be asked. Raises NotAnAppliance and BadDescription."""
    paths = AppliancePaths(given.root.resolve())  # the way there is the administrator's; links inside are not
    description = read_description(paths)
    base = ask_base(paths, actor, apart or Apart.begin(BASE_SECONDS, BASE_SECONDS), online=online)
    whose = looking.owners(paths)
    children = apart or Apart.begin()
    certificates = looking.certificates(paths, description, now, whose, children)
    if isinstance(certificates, Unseen) and isinstance(base, BaseSeen):
        certificates = base.certificates
    jobs = looking.job_seen(base.jobs) if isinstance(base, BaseSeen) else looking.jobs(paths, whose, children)
    databases = tuple(
        children.look(
            f"The database of {program}", whose.of(program), DatabaseSeen, partial(check_database, paths, program)
        )
        for program in looking.PROGRAMS
    )
    sizes = {one.program: one.size for one in databases if isinstance(one, DatabaseSeen)}
    keeper = keeper_process(paths)
    return Facts(
        now=max(now, utc_now()),  # what base has just asked is signed later than the question
        root=str(paths.root),
        as_root=os.geteuid() == 0,
        places=looking.places(paths, whose),
        strangers=looking.strangers(paths, whose, children),
        releases=tuple(looking.release(paths, program, whose, children) for program in looking.PROGRAMS),
        room=looking.room(paths, whose, children, sizes),
        clock=ClockSeen(clock_synchronised(), looking.time_floor(paths, whose, children)),
        keeper_runs=None if keeper is None else keeper > 0,
        ports=ports(description, keeper),
        certificates=certificates,
        databases=databases,
        server=_server(base, description, whose, children, online=online),
        jobs=jobs,
        base=base,
        shared=addresses.shared_address(paths, description, base, whose, children),
    )


def _server(
    base: BaseSeen | Unseen,
    description: ApplianceDescription,
    whose: looking.Owners,
    apart: Apart,
    *,
    online: bool,
) -> ServerSeen | Unseen:
    if isinstance(base, BaseSeen):
        return Unseen("Base asked it.")
    if not online:
        return Unseen("It was not asked (--offline).")
    # Also apart: what a stranger answers is not parsed by root, and the child's deadline is that of the whole question.
    question = replace(apart, longest=min(apart.longest, ANSWER_SECONDS))
    seen = question.look("The answer", whose.base, ServerSeen, lambda: ask_server(description))
    return ServerSeen(description.update_server, seen.why, None) if isinstance(seen, Unseen) else seen
