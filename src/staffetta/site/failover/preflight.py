"""Pure: what must be so before a pair upgrade begins, each thing named, and which versions it goes to (F7, U2, U9)."""

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from staffetta.kernel.clock import spoken_time
from staffetta.site.data.roles import Role
from staffetta.site.failover.job_errors import NothingNewer, NotReady
from staffetta.site.failover.job_facts import ApplianceFacts, BaseFacts, Facts, Limits, Need, OfferFact
from staffetta.site.failover.job_record import Targets
from staffetta.site.failover.job_states import Side
from staffetta.site.failover.swing.choice import swing_of

_KINDS = ("base", "site")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so. What comes by itself, or is only waited for, has a ``need``."""

    name: str
    ok: bool
    detail: str
    need: Need | None = None


def choose_targets(a: BaseFacts, b: BaseFacts, wanted: str | None) -> Targets:
    """The newest site that both appliances can have (or the one that is wanted), and the newest base before it.

    Raises ``NothingNewer`` when there is none, ``NotReady`` when it is not the wanted one.
    """
    site = _newest(a, b, "site", wanted)
    if site is None and wanted is not None:
        raise NotReady(f"Site {wanted} is not on offer on both appliances: check for updates on both.")
    if site is None:
        raise NothingNewer(_nothing_newer(a, b))
    return Targets(site, _newest(a, b, "base", None))


def _nothing_newer(a: BaseFacts, b: BaseFacts) -> str:
    asked = [one.checked_at for one in (a, b)]
    earliest = None if None in asked else min(one for one in asked if one is not None)
    if earliest is None:
        return "Nothing newer is on offer on both appliances, and not both have checked for updates yet."
    when = spoken_time(earliest)
    if a.site_version != b.site_version:
        return (
            f"One appliance runs site {a.site_version}, the other {b.site_version}, and no version is on offer that "
            f"both could have. Checked {when}."
        )
    return f"Both appliances run site {a.site_version}, and nothing newer is on offer for both. Checked {when}."


def _newest(a: BaseFacts, b: BaseFacts, kind: str, wanted: str | None) -> str | None:
    """The newest version of a kind that is on offer or installed on both, and not yet installed on both."""
    possible = _possible(a, kind) & _possible(b, kind)
    installed = {_installed(a, kind), _installed(b, kind)}
    newest = max(possible, default=None, key=version)
    if wanted is not None:
        newest = next((one for one in possible if version(one) == version(wanted)), None)
    return None if newest is None or installed == {newest} else newest


def _possible(base: BaseFacts, kind: str) -> set[str]:
    return {one.version for one in base.offers if one.kind == kind} | {_installed(base, kind)}


def _installed(base: BaseFacts, kind: str) -> str:
    return base.base_version if kind == "base" else base.site_version


def version(text: str) -> Version:
    """A version that can be compared; what is none comes before all others."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")


def offer_of(base: BaseFacts, kind: str, wanted: str) -> OfferFact | None:
    """The offer of a version on an appliance."""
    return next((one for one in base.offers if one.kind == kind and version(one.version) == version(wanted)), None)


def checks(job: str, targets: Targets, facts: Facts, limits: Limits) -> tuple[Check, ...]:
    """Every check of the pre-flight, in the order in which people read them."""
    a, b = facts.a, facts.b
    if a is None or b is None:
        missing = Side.A if a is None else Side.B
        return (Check("peer", False, f"Appliance {missing} does not answer.", Need.PEER),)
    found = [*_pair(a, b), _synced(b, facts, limits), _clocks(a, b, facts, limits), _certificate(b), _shared(a, b)]
    for side, one in ((Side.A, a), (Side.B, b)):
        found += _appliance(job, side, one, targets, facts)
    return tuple(found)


def _pair(a: ApplianceFacts, b: ApplianceFacts) -> Iterator[Check]:
    yield Check(
        "relationship",
        a.related and b.related,
        "Both appliances hold the failover relationship."
        if a.related and b.related
        else "The failover relationship does not hold on both appliances: establish it first.",
    )
    right = a.role is Role.PRIMARY and b.role is Role.BACKUP and a.term == b.term
    yield Check(
        "roles",
        right,
        f"{a.host} is primary, {b.host} its backup, term {a.term}."
        if right
        else f"{a.host} is {a.role} (term {a.term}), {b.host} is {b.role} (term {b.term}).",
    )


def _synced(b: ApplianceFacts, facts: Facts, limits: Limits) -> Check:
    if b.sync_error:
        return Check("data-sync", False, f"Data-sync fails: {b.sync_error}", Need.NOTHING)
    if b.sync_finished is None:
        return Check("data-sync", False, "The first data-sync has not ended yet.", Need.NOTHING)
    age = max(0.0, (facts.now - b.sync_finished).total_seconds())
    if age > limits.synced_seconds or b.behind:
        return Check("data-sync", False, f"Data-sync is {age:.0f} s and {b.behind} items behind.", Need.NOTHING)
    return Check("data-sync", True, f"The backup is {age:.0f} s behind.")


def _clocks(a: ApplianceFacts, b: ApplianceFacts, facts: Facts, limits: Limits) -> Check:
    for one in (a, b):
        if one.base is not None and one.base.clock_problem:
            return Check("clocks", False, f"{one.host}: {one.base.clock_problem}")
    ok = facts.clock_difference <= limits.clock_seconds
    return Check("clocks", ok, f"The clocks differ by {facts.clock_difference:.1f} s.")


def _certificate(b: ApplianceFacts) -> Check:
    if b.covers_shared_name:
        return Check("certificate", True, f"{b.host} holds a certificate for {b.shared_name}.")
    return Check(
        "certificate", False, f"{b.host} holds no certificate for {b.shared_name}: install the site's there first."
    )


def _shared(a: ApplianceFacts, b: ApplianceFacts) -> Check:
    seen = swing_of(a, b).ready()
    return Check("shared address", seen.ok, seen.sentence, Need.NOTHING if seen.passing else None)


def _appliance(job: str, side: Side, one: ApplianceFacts, targets: Targets, facts: Facts) -> Iterator[Check]:
    if one.base is None:
        yield Check(f"base on {side}", False, f"Base of {one.host} does not answer.", Need.BASE)
        return
    for kind in _KINDS:
        wanted = targets.base if kind == "base" else targets.site
        if wanted is not None:
            yield _offered(side, one, one.base, kind, wanted, targets)
    yield _granted(job, side, one, one.base, facts)
    busy = one.other_job or one.base.install
    yield Check(
        f"no other job on {side}",
        busy is None,
        "Nothing else is under way." if busy is None else f"{busy} is under way on {one.host}: let it end first.",
    )


def _offered(side: Side, one: ApplianceFacts, base: BaseFacts, kind: str, wanted: str, targets: Targets) -> Check:
    name = f"{kind} on {side}"
    installed = _installed(base, kind)
    if version(installed) == version(wanted):
        return Check(name, True, f"{one.host} has {kind} {wanted} already.")
    if version(installed) > version(wanted):
        return Check(name, False, f"{one.host} has {kind} {installed}, which is newer than {wanted}.")
    offer = offer_of(base, kind, wanted)
    if offer is None:
        why = base.updates_error or "check for updates there."
        return Check(name, False, f"{kind} {wanted} is not on offer on {one.host}: {why}")
    if offer.eula_missing:
        return Check(name, False, f"The licence agreement of {kind} {wanted} must be accepted on {one.host}.")
    base_first = kind == "site" and targets.base is not None and version(base.base_version) < version(targets.base)
    if not offer.selectable and not base_first:
        return Check(name, False, f"{kind} {wanted} cannot be installed on {one.host}: {' '.join(offer.needs)}")
    return Check(name, True, f"{kind} {installed} to {wanted} on {one.host}.")


def _granted(job: str, side: Side, one: ApplianceFacts, base: BaseFacts, facts: Facts) -> Check:
    name = f"grant on {side}"
    if base.granted_until is None or base.granted_until <= facts.now:
        return Check(
            name,
            False,
            f"An administrator of {one.host} must permit the pair upgrade: "
            "`staffetta appliance grant-pair-upgrade`, or its page /appliance.",
            Need.GRANT,
        )
    if base.grant_job not in (None, job):
        return Check(name, False, f"The grant on {one.host} is used by another pair job: grant again.", Need.GRANT)
    return Check(name, True, f"Permitted on {one.host} until {spoken_time(base.granted_until)}.")
