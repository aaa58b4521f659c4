"""Pure: everything the doctor saw, as findings in the order in which things depend on each other."""

from __future__ import annotations

from dataclasses import replace

from staffetta.base.doctor import address_rules, disk_rules, running_rules
from staffetta.base.doctor.facts import BaseSeen, Facts
from staffetta.base.doctor.findings import Finding, Level


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Every finding, in the order in which things depend on each other."""
    return tuple(_said_to(facts, finding) for finding in _judge(facts))


def _said_to(facts: Facts, finding: Finding) -> Finding:
    """Root is not told to run this as root."""
    return replace(finding, todo="") if facts.as_root and finding.level is Level.UNSEEN else finding


def _judge(facts: Facts) -> tuple[Finding, ...]:
    base = facts.base
    return (
        *disk_rules.folders(facts.places),
        *disk_rules.strangers(facts.strangers),
        *(one for seen in facts.releases for one in disk_rules.release(seen)),
        *disk_rules.room(facts.room),
        *running_rules.clock(facts.clock, base, facts.now),
        *running_rules.keeper(facts.keeper_runs, base),
        *running_rules.ports(facts.ports, facts.keeper_runs is True or isinstance(base, BaseSeen)),
        *running_rules.base(base, facts),
        *running_rules.site(base, facts.releases),
        *disk_rules.certificates(facts.certificates, facts.now),
        *running_rules.server(facts.server, base, facts.now),
        *(one for seen in facts.databases for one in disk_rules.database(seen)),
        *running_rules.jobs(facts.jobs),
        *running_rules.pair(base),
        *address_rules.shared(facts.shared, isinstance(base, BaseSeen)),
    )
