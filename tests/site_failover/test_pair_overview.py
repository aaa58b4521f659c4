"""The pair as a picture: the same on both pages, and what is not known is not shown as known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from staffetta.site.data.roles import Role
from staffetta.site.failover import overview
from staffetta.site.failover.overview import Drawn, Link
from staffetta.site.failover.pictures import (
    AlarmPicture,
    PairPicture,
    PeerSeen,
    Prefill,
    RelationshipPicture,
    SyncPicture,
)
from staffetta.wire.pair import Endpoint

pytestmark = pytest.mark.req("F3", "F4")

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
A, B = Endpoint("a.example.org", 443), Endpoint("b.example.org", 8443)
SYNC = SyncPicture(None, NOW - timedelta(seconds=2), NOW - timedelta(seconds=1), timedelta(seconds=1), 0, 0, 0, "")
PEER = PeerSeen(NOW - timedelta(seconds=1), Role.BACKUP, 3, "1.1", "2.0", 0, SYNC, suspended=False)
ON_A = PairPicture(
    role=Role.PRIMARY,
    term=3,
    origin="origin-a",
    site_version="1.0",
    base_version="1.9",
    shared_host="support.example.org",
    key_set=True,
    relationship=RelationshipPicture("origin-b", B, A, NOW - timedelta(days=9)),
    peer=PEER,
    sync=SYNC,
    alarms=(),
    prefill=Prefill(None, None),
    taking_over=False,
    suspended=True,
)
ON_B = replace(
    ON_A,
    role=Role.BACKUP,
    origin="origin-b",
    site_version="1.1",
    base_version="2.0",
    suspended=False,
    relationship=RelationshipPicture("origin-a", A, B, NOW - timedelta(days=9)),
    peer=replace(PEER, role=Role.PRIMARY, site_version="1.0", base_version="1.9", suspended=True),
)


def drawn(pair: PairPicture) -> Drawn:
    found = overview.draw(pair, NOW)
    assert found is not None
    return found


def test_both_pages_show_the_same_picture_but_for_which_appliance_is_this_one() -> None:
    on_a, on_b = drawn(ON_A), drawn(ON_B)
    assert [on_a.left.host, on_a.right.host] == ["a.example.org", "b.example.org:8443"]
    assert (on_a.left.own, on_b.left.own) == (True, False)
    for one, same in ((on_a.left, on_b.left), (on_a.right, on_b.right)):
        neutral = {"own": True, "answers": None, "seen_at": None}
        assert replace(one, **neutral) == replace(same, **neutral)  # type: ignore[arg-type]
    assert on_a.to_right is on_b.to_right is True
    assert on_a.primary == on_a.left and on_b.primary == on_b.left
    assert (on_a.told, on_b.told) == (True, False)


def test_the_appliances_stay_where_they_are_when_the_roles_are_swapped() -> None:
    assert ON_A.peer is not None
    swapped = drawn(replace(ON_A, role=Role.BACKUP, peer=replace(ON_A.peer, role=Role.PRIMARY)))
    assert swapped.left.host == "a.example.org" and swapped.primary == swapped.right
    assert swapped.to_right is False and swapped.right.traffic and not swapped.left.traffic


def test_of_two_primaries_traffic_belongs_to_the_one_of_the_higher_term() -> None:
    for term, leads in ((2, True), (4, False)):
        found = drawn(replace(ON_A, peer=replace(PEER, role=Role.PRIMARY, term=term)))
        assert (found.left.traffic, found.right.traffic) == (leads, not leads)


def test_how_long_the_other_was_not_heard_is_said_before_it_counts_as_silent() -> None:
    for seconds, said in ((9, None), (10, timedelta(seconds=10))):
        found = drawn(replace(ON_A, peer=replace(PEER, seen_at=NOW - timedelta(seconds=seconds))))
        assert (found.right.answers, found.right.quiet) == (True, said)


@pytest.mark.parametrize("roles", [(Role.PRIMARY, Role.PRIMARY), (Role.BACKUP, Role.BACKUP), (Role.BACKUP, None)])
def test_traffic_belongs_to_nobody_unless_exactly_one_is_primary(roles: tuple[Role, Role | None]) -> None:
    found = drawn(replace(ON_A, role=roles[0], peer=replace(PEER, role=roles[1])))
    assert found.primary is found.to_right is None
    assert not found.left.traffic and not found.right.traffic


def test_who_has_just_become_primary_does_not_show_the_other_as_it_was_before() -> None:
    before = replace(PEER, role=Role.PRIMARY, term=2)
    just = drawn(replace(ON_A, peer=before))
    assert (just.right.role, just.right.term, just.primary) == (None, None, just.left)
    alarm = AlarmPicture("old-primary", "It serves too.")
    still = drawn(replace(ON_A, peer=before, alarms=(alarm,)))
    assert (still.right.role, still.right.term, still.primary) == (Role.PRIMARY, 2, still.left)
    gone = drawn(replace(ON_A, peer=replace(before, seen_at=NOW - timedelta(minutes=1))))
    assert gone.right.role is Role.PRIMARY, "as it was when it was seen last, which is said"


def test_a_peer_that_was_never_heard_is_not_known() -> None:
    silent = PeerSeen(None, None, 0, "", "", None, None, None)
    found = drawn(replace(ON_A, peer=silent))
    other = found.right
    assert (other.role, other.term, other.site_version, other.suspended, other.answers) == (None, None, "", None, False)
    assert found.link is Link.SILENT
    assert found.primary == found.left, "this one is the primary, and the other has said nothing else"
    young = RelationshipPicture("origin-b", B, A, NOW - timedelta(seconds=29))
    assert drawn(replace(ON_A, peer=silent, relationship=young)).link is Link.FIRST, "it is only beginning"


@pytest.mark.parametrize(
    ("seconds", "sync", "link"),
    [
        (1, SYNC, Link.WHOLE),
        (29, SYNC, Link.WHOLE),
        (30, SYNC, Link.SILENT),
        (30, replace(SYNC, error="no room"), Link.SILENT),
        (1, replace(SYNC, error="no room", lag=timedelta(seconds=10)), Link.TROUBLE),
        (1, replace(SYNC, error="no room", lag=None, finished_at=None), Link.TROUBLE),
        (1, replace(SYNC, error="yet to join"), Link.WHOLE),
        (1, replace(SYNC, error="yet to join", records_behind=3), Link.BEHIND),
        (1, replace(SYNC, records_behind=3), Link.BEHIND),
        (1, replace(SYNC, blobs_behind=1), Link.BEHIND),
        (1, replace(SYNC, finished_at=None, lag=None, records_behind=9), Link.FIRST),
    ],
)
def test_how_data_sync_is(seconds: int, sync: SyncPicture, link: Link) -> None:
    found = drawn(replace(ON_A, sync=sync, peer=replace(PEER, seen_at=NOW - timedelta(seconds=seconds))))
    assert found.link is link
    assert found.right.answers is (link is not Link.SILENT)


def test_there_is_no_picture_without_a_relationship() -> None:
    alone = replace(ON_A, role=Role.ALONE, relationship=None, peer=None)
    assert overview.draw(alone, NOW) is None
    assert overview.hosts(alone) == {}
    assert overview.hosts(ON_A) == {"origin-a": "a.example.org", "origin-b": "b.example.org:8443"}
