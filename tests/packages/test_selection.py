"""What may be installed now, what waits, and the way to the newest: against rules stated in other words."""

from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staffetta.packages import Installed, InstalledLicence, Kind, PackageInfo, Requirement, Version, target_name
from staffetta.packages.errors import OlderPackage, PrerequisiteUnmet
from staffetta.packages.selection import offers, path_to_newest, require_installable


def info(kind: Kind, version: str, *requires: str) -> PackageInfo:
    return PackageInfo(
        target=target_name(kind, Version(version)),
        kind=kind,
        version=Version(version),
        size=1,
        sha256="0" * 64,
        requires=tuple(map(Requirement.parse, requires)),
        eula_sha256=None,
        notes="",
        installed_size=1,
        python_abi="abi",
        platform="platform",
        interpreter="/usr/bin/python3",
        published=datetime(2026, 1, 1, tzinfo=UTC),
    )


def installed(base: str, site: str | None = None) -> Installed:
    return Installed(Version(base), None if site is None else Version(site))


numbers = st.integers(1, 4)
requirements = st.builds(
    lambda kind, operator, number: f"{kind}{operator}{number}",
    st.sampled_from(["base", "site"]),
    st.sampled_from([">=", "==", "<", "<="]),
    numbers,
)
packages = st.builds(
    lambda kind, number, requires: info(kind, str(number), *requires),
    st.sampled_from([Kind.BASE, Kind.SITE, Kind.LICENCE, Kind.CLIENT]),
    numbers,
    st.lists(requirements, max_size=2),
)
repositories = st.lists(packages, max_size=5, unique_by=lambda package: package.target)
appliances = st.builds(
    lambda base, site: installed(str(base), None if site is None else str(site)), numbers, st.none() | numbers
)


@pytest.mark.req("U2", "U11")
@settings(deadline=None)
@given(appliances, repositories)
def test_nothing_older_or_equal_is_offered_and_selectable_means_installable(
    appliance: Installed, repository: list[PackageInfo]
) -> None:
    listed = offers(appliance, repository)
    for offer in listed:
        assert offer.info.kind is not Kind.CLIENT
        assert all(offer.info.version > version for version in appliance.versions(offer.info.kind))
        assert offer.selectable == (offer.needs == ())
        if offer.selectable:
            require_installable(appliance, offer.info)
        else:
            with pytest.raises(PrerequisiteUnmet):
                require_installable(appliance, offer.info)
    for package in set(repository) - {offer.info for offer in listed}:
        with pytest.raises(OlderPackage):
            require_installable(appliance, package)


@pytest.mark.req("U2", "U15")
@settings(max_examples=200, deadline=None)
@given(appliances, repositories)
def test_the_path_is_a_shortest_way_to_the_newest_that_can_be_reached(
    appliance: Installed, repository: list[PackageInfo]
) -> None:
    def walk(order: tuple[PackageInfo, ...]) -> Installed | None:
        state = appliance
        for package in order:
            if not any(offer.info == package and offer.selectable for offer in offers(state, repository)):
                return None
            state = state.after(package)
        return state

    def rank(state: Installed) -> tuple[bool, Version, Version]:
        return (state.site is not None, state.site or Version("0"), state.base)

    path = path_to_newest(appliance, repository)
    reached = walk(path)
    assert reached is not None, "every step must be selectable when its turn comes"
    movable = [package for package in repository if package.kind in (Kind.BASE, Kind.SITE)]
    ways = [order for length in range(len(movable) + 1) for order in permutations(movable, length)]
    ends = [(state, len(order)) for order in ways if (state := walk(order)) is not None]
    best = max(rank(state) for state, _ in ends)
    assert rank(reached) == best
    assert len(path) == min(length for state, length in ends if rank(state) == best)


@pytest.mark.req("U2", "U15")
def test_an_appliance_many_versions_behind_goes_through_what_each_package_needs() -> None:
    repository = [
        info(Kind.SITE, "2", "base>=2"),
        info(Kind.SITE, "3", "site>=2", "base>=3"),
        info(Kind.BASE, "2"),
        info(Kind.BASE, "3", "base>=2"),
    ]
    path = path_to_newest(installed("1", "1"), repository)
    assert [f"{step.kind} {step.version}" for step in path] == ["base 2", "site 2", "base 3", "site 3"]


@pytest.mark.req("U2")
def test_a_disabled_package_names_what_it_needs_and_installing_that_enables_it() -> None:
    base, site = info(Kind.BASE, "1.1"), info(Kind.SITE, "2.0", "base>=1.1")
    (first, second) = offers(installed("1.0", "1.0"), [site, base])
    assert (first.info, first.selectable) == (base, True)
    assert (second.info, second.selectable) == (site, False)
    assert second.needs == ("Needs base 1.1 or newer first; base 1.0 is installed.",)
    (only,) = offers(installed("1.0", "1.0").after(base), [site, base])
    assert only.info == site and only.selectable


@pytest.mark.req("U1")
def test_a_new_appliance_has_no_site_and_a_licence_is_offered_once() -> None:
    licence = info(Kind.LICENCE, "5", "site>=1")
    (offer,) = offers(installed("1"), [licence])
    assert offer.needs == ("Needs site 1 or newer first; no site is installed.",)
    holder = Installed(Version("1"), Version("1"), (InstalledLicence(licence.target, licence.version),))
    assert offers(holder, [licence]) == []
