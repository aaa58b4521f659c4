"""Pure: findings on what runs and answers: keeper, its ports, base, site, clock, update server, jobs, the pair."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from staffetta.base.doctor.facts import BaseSeen, ClockSeen, Facts, JobSeen, PortSeen, ReleaseSeen, ServerSeen, Unseen
from staffetta.base.doctor.findings import Finding, Level
from staffetta.control.appliance import ApplianceStatus, Generation, JobState
from staffetta.control.measures import NEEDS_A_PERSON, PairMeasures

ASKED_LATELY: Final = timedelta(days=7)
SYNC_LATE_SECONDS: Final = 120.0


def clock(seen: ClockSeen, base: BaseSeen | Unseen, now: datetime) -> Iterator[Finding]:
    """Kept by somebody, and not behind what was signed (U6)."""
    if isinstance(seen.floor, Unseen):
        yield Finding("clock", Level.UNSEEN, seen.floor.why, "Run this as root.")
        floor = None
    else:
        floor = seen.floor
    status = base.status if isinstance(base, BaseSeen) else None
    if floor is not None and now < floor:
        yield Finding(
            "clock",
            Level.ERROR,
            f"It is {now:%Y-%m-%d %H:%M} UTC by this machine's clock, but {floor:%Y-%m-%d %H:%M} was signed already.",
            "Set the clock: `timedatectl set-ntp true`, or chronyd or ntpd with a server that you trust.",
        )
    elif status is not None and status.clock_problem:
        yield Finding("clock", Level.ERROR, status.clock_problem, "Set the clock by NTP, then check for updates again.")
    elif seen.synchronised is False:
        yield Finding(
            "clock",
            Level.WARNING,
            f"Nothing keeps this machine's clock right{_offset(status)}.",
            "Have it set by NTP: `timedatectl set-ntp true`, or chronyd. In a container, its host does that.",
        )
    else:
        how = "is set by NTP" if seen.synchronised else "is not behind what was signed"
        yield Finding("clock", Level.FINE, f"The clock {how}{_offset(status)}.")


def _offset(status: ApplianceStatus | None) -> str:
    seconds = None if status is None else status.clock_offset_seconds
    return "" if seconds is None else f"; at the last check it was {abs(seconds):.1f} s from the update server's"


def keeper(runs: bool | None, base: BaseSeen | Unseen) -> Iterator[Finding]:
    """It runs."""
    if isinstance(base, BaseSeen):
        version = base.status.keeper_version
        yield Finding("keeper", Level.FINE, "It answers." if version is None else f"It answers, version {version}.")
    elif runs is None:
        yield Finding("keeper", Level.UNSEEN, "Whether it runs cannot be seen by this user.", "Run this as root.")
    elif runs:
        yield Finding("keeper", Level.FINE, "It runs; its version is known when base answers.")
    else:
        todo = "systemctl start staffetta-keeper, then read `journalctl -u staffetta-keeper` if it does not stay."
        yield Finding("keeper", Level.ERROR, "It does not run, so nothing of the appliance does.", todo)


def ports(ports: tuple[PortSeen, ...], kept: bool) -> Iterator[Finding]:
    """Keeper has its ports, or they are free for it."""
    bad = False
    for one in ports:
        where = f"port {one.port} of {one.address} ({one.name})"
        by = f", by {', '.join(one.holders)}" if one.holders else ""
        if kept and not one.held:
            bad = True
            yield Finding(
                "ports",
                Level.ERROR,
                f"Nobody listens on {where}.",
                "See that the address is on this machine (`ip address`) and that nothing else had the port when keeper "
                "started; keeper tries again by itself.",
            )
        elif kept and one.by_keeper is False:
            bad = True
            yield Finding(
                "ports",
                Level.ERROR,
                f"Keeper runs, but {where} is in use by another program{by}.",
                "End that program, or give it another port; keeper tries again by itself.",
            )
        elif not kept and one.held:
            bad = True
            yield Finding(
                "ports",
                Level.ERROR,
                f"Keeper does not run, but {where} is in use{by}.",
                "End that program, or give it another port, before you start keeper.",
            )
    if ports and not bad:
        seen = all(one.by_keeper for one in ports)
        said = "Free for keeper:" if not kept else "Keeper holds" if seen else "Somebody, keeper as a rule, holds"
        yield Finding("ports", Level.FINE, f"{said} {', '.join(f'{one.port} ({one.name})' for one in ports)}.")


def base(base: BaseSeen | Unseen, facts: Facts) -> Iterator[Finding]:
    """Base runs and answers."""
    if isinstance(base, Unseen):
        if facts.keeper_runs is False:
            yield Finding("base", Level.UNSEEN, "It runs only while keeper does.")
            return
        level = Level.ERROR if facts.as_root else Level.UNSEEN
        yield Finding("base", level, base.why, f"See {facts.root}/logs/base-service.log." if facts.as_root else "")
        return
    yield _program("base", base.status.generations, base.status.base_version, facts.releases)


def site(base: BaseSeen | Unseen, releases: tuple[ReleaseSeen | Unseen, ...]) -> Iterator[Finding]:
    """The site runs and answers."""
    if isinstance(base, Unseen):
        yield Finding("site", Level.UNSEEN, "Base knows, and does not answer.")
        return
    status = base.status
    if status.site_version is None and not any(one.program == "site" for one in status.generations):
        return  # not installed, which its release says
    finding = _program("site", status.generations, status.site_version, releases)
    if finding.level is Level.FINE and status.sessions_live is None:
        todo = "If that goes on, see logs/site-gateway.log in the appliance's folder."
        yield Finding("site", Level.ERROR, "It runs, but does not answer base's question.", todo)
        return
    yield finding


def _program(
    program: str,
    generations: tuple[Generation, ...],
    active: str | None,
    releases: tuple[ReleaseSeen | Unseen, ...],
) -> Finding:
    logs = f"See the files {program}-*.log in the logs folder of the appliance."
    failed = [one for one in generations if one.program == program and one.failure]
    if not active:
        said = failed[-1].failure if failed else "no generation of it has the sockets"
        return Finding(program, Level.ERROR, f"It does not run: {said}.", logs)
    current = next(
        (one.version for one in releases if isinstance(one, ReleaseSeen) and one.program == program and one.version),
        active,
    )
    if current != active:
        return Finding(
            program,
            Level.WARNING,
            f"Version {active} runs, but `current` leads to {current}.",
            "Normal for a moment in an update; else restart keeper when it suits you, and see why in the logs.",
        )
    return Finding(program, Level.FINE, f"Version {active} runs and answers.")


def server(seen: ServerSeen | Unseen, base: BaseSeen | Unseen, now: datetime) -> Iterator[Finding]:
    """It answers, and what it has signed is good."""
    network = "Check the network, name resolution and a proxy in between; bundles can be installed meanwhile."
    if isinstance(base, BaseSeen) and base.updates.error is not None:
        yield Finding("update server", Level.WARNING, base.updates.error, network)
        return
    if isinstance(seen, Unseen):
        if isinstance(base, BaseSeen):
            yield _last_answer(base, now)
        else:
            yield Finding("update server", Level.UNSEEN, seen.why)
        return
    if seen.said is not None:
        yield Finding("update server", Level.WARNING, f"{seen.url}: {seen.said}", network)
    elif seen.good_until is not None and seen.good_until <= now:
        yield Finding(
            "update server",
            Level.ERROR,
            f"{seen.url} answers, but its signed list expired on {seen.good_until:%Y-%m-%d %H:%M} UTC.",
            "See that this machine's clock is right; then tell your vendor, who must sign it anew.",
        )
    else:
        until = "" if seen.good_until is None else f"; its signed list is good until {seen.good_until:%Y-%m-%d}"
        yield Finding("update server", Level.FINE, f"{seen.url} answers{until}.")


def _last_answer(base: BaseSeen, now: datetime) -> Finding:
    at = base.updates.checked_at
    if at is None or now - at > ASKED_LATELY:
        when = "It was never asked" if at is None else f"It was last asked on {at:%Y-%m-%d}"
        return Finding("update server", Level.WARNING, f"{when}.", "`staffetta appliance updates check`.")
    return Finding("update server", Level.FINE, f"It answered on {at:%Y-%m-%d %H:%M} UTC.")


def jobs(seen: JobSeen | Unseen) -> Iterator[Finding]:
    """No install job is open, and none failed last."""
    if isinstance(seen, Unseen):
        yield Finding("install jobs", Level.UNSEEN, seen.why, "Run this as root.")
        return
    if seen.under_way is not None:
        one = seen.under_way
        back = "going back from" if one.state is JobState.UNDOING else "installing"
        yield Finding(
            "install jobs",
            Level.WARNING,
            f"{back.capitalize()} {one.kind} {one.version} is not finished: {one.text or one.step}",
            f"Nothing, while base runs: it goes on by itself. Follow it: `staffetta appliance watch {one.id}`.",
        )
    elif seen.last is not None and seen.last.state is JobState.UNDONE:
        one = seen.last
        why = one.error or one.text
        yield Finding(
            "install jobs",
            Level.WARNING,
            f"The last one, {one.kind} {one.version}, was undone: {why}",
            "Mend what it says, check for updates and install again; the version before goes on.",
        )
    else:
        done = "none yet" if seen.last is None else f"the last put {seen.last.kind} {seen.last.version} in place"
        yield Finding("install jobs", Level.FINE, f"None is open ({done}).")


def pair(base: BaseSeen | Unseen) -> Iterator[Finding]:
    """The peer answers, the clocks agree, data-sync is not late, and no job waits for a person."""
    if isinstance(base, Unseen):
        return
    pair = base.pair
    if pair is None:
        return
    if isinstance(pair, Unseen):
        yield Finding("pair", Level.UNSEEN, pair.why)
        return
    findings = [*_pair_troubles(pair)]
    yield from findings
    if not findings:
        age = "" if pair.sync_age_seconds is None else f", the last data-sync ended {pair.sync_age_seconds:.0f} s ago"
        yield Finding("pair", Level.FINE, f"{pair.peer} answers, the clocks agree within 2 s{age}.")


def _pair_troubles(pair: PairMeasures) -> Iterator[Finding]:
    for sentence in pair.alarms:
        yield Finding("pair", Level.ERROR, sentence, "See Management > Failover, or `staffetta failover status`.")
    if pair.job_state == NEEDS_A_PERSON:
        todo = f"Mend what it says, then `staffetta failover resume {pair.job}`."
        yield Finding("pair job", Level.ERROR, f"{pair.job} waits for a person: {pair.job_sentence}", todo)
    elif pair.job is not None:
        todo = f"Nothing; follow it with `staffetta failover watch {pair.job}`."
        yield Finding("pair job", Level.WARNING, f"{pair.job} is {pair.job_state}: {pair.job_sentence}", todo)
    if pair.sync_error:
        yield Finding("pair", Level.WARNING, f"Data-sync: {pair.sync_error}", "`staffetta failover status`.")
    elif pair.sync_age_seconds is None or pair.sync_age_seconds > SYNC_LATE_SECONDS:
        when = "no data-sync has ended yet" if pair.sync_age_seconds is None else "the last data-sync ended "
        age = "" if pair.sync_age_seconds is None else f"{pair.sync_age_seconds:.0f} s ago"
        todo = "The first may take hours; else see `staffetta failover status` on both appliances."
        yield Finding("pair", Level.WARNING, f"Of {pair.peer}, {when}{age}.", todo)
