"""What the lab concludes from the Jump Clients' journals and the site's page."""

from typing import Any

import pytest

from staffetta.lab import fleet
from staffetta.lab.measures import most_at_once


def journal(*steps: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"step": step, "version": "1.1.0", "at": f"2027-01-01T10:00:{at:02}Z"} for step, at in steps]


STRAIGHT = (("fetch", 0), ("staged", 5), ("flip", 5), ("started", 6), ("proven", 8))


def page(**changed: object) -> dict[str, Any]:
    names = ("computer-1", "computer-2")
    clients = [{"name": name, "online": True, "version": "1.1.0", "revoked": False} for name in names]
    clients[0] |= changed
    return {"clients": clients, "limit": 2}


def test_who_waits_for_a_session_does_not_upgrade_meanwhile() -> None:
    begin = next(fleet.busy(journal(*STRAIGHT)))[0]
    waited = journal(("fetch", 0), ("staged", 5), ("flip", 30), ("proven", 33))
    assert [(one - begin, other - begin) for one, other in fleet.busy(waited)] == [(0, 5), (30, 33)]


def test_an_upgrade_that_goes_on_is_not_over() -> None:
    assert list(fleet.busy(journal(("fetch", 0), ("staged", 1), ("flip", 2), ("started", 3)))) != []
    assert len(list(fleet.busy(journal(("fetch", 0))))) == 0


def test_at_once_are_those_that_overlap() -> None:
    assert most_at_once([]) == 0
    assert most_at_once([(0, 2), (1, 3), (2, 4)]) == 2
    assert most_at_once([(0, 1), (1, 2)]) == 1


@pytest.mark.req("C4")
def test_a_client_is_updated_if_the_site_sees_it_and_its_journal_says_so() -> None:
    journals = {"computer-1": journal(*STRAIGHT), "computer-2": journal(*STRAIGHT)}
    found = fleet.tell(page(), journals, "1.1.0")
    assert found == {"clients": 2, "updated": 2, "limit": 2, "most_at_once": 2, "versions": {"1.1.0": 2}}
    assert fleet.tell(page(online=False), journals, "1.1.0")["updated"] == 1
    assert fleet.tell(page(version="1.0.0"), journals, "1.1.0")["updated"] == 1
    assert fleet.tell(page(), {**journals, "computer-1": journal(("fetch", 0))}, "1.1.0")["updated"] == 1
