"""What may be established, who steps down, what a start does: every named check fails by itself, every verdict."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from staffetta.site.data.roles import Role
from staffetta.site.failover import rules
from staffetta.site.failover.checklist import not_looked_at
from staffetta.site.failover.rules import Alarm, CheckName, Finding, Held, Own, Seen, Verdict, failed
from staffetta.site.failover.states import ROLES
from staffetta.wire.pair import Answer, Begin, Endpoint, Side

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp() * 1000)
LEAF_A, LEAF_B = b"a" * 32, b"b" * 32
A = Side("origin-a", b"A" * 32, "support.example.com", "2.0.0", 1, AT)
B = Side("origin-b", b"B" * 32, "support.example.com", "2.0.0", 1, AT)
OWN_A = Own(A, "support.example.com", LEAF_A, ("support.example.com",), None, True)
OWN_B = Own(B, "support.example.com", LEAF_B, ("support.example.com",), None, True)
BEGIN = Begin(b"1" * 32, A, LEAF_B, Endpoint("b.example.com", 443), Endpoint("a.example.com", 443))
ANSWER = Answer(b"2" * 32, B, LEAF_A)


def names(checks: tuple[rules.Check, ...]) -> list[str]:
    return [check.name for check in failed(checks)]


def side(of: Side, **changed: Any) -> Side:
    return dataclasses.replace(of, **changed)


@pytest.mark.req("F1")
@pytest.mark.parametrize(
    ("begin", "own", "failing"),
    [
        ({}, {}, []),
        ({"backup": Endpoint("support.example.com", 443)}, {}, [CheckName.NOT_SHARED_NAME]),
        ({"reverse": Endpoint("support.example.com", 8443)}, {}, [CheckName.NOT_SHARED_NAME]),
        ({"reverse": Endpoint("192.0.2.12", 443)}, {}, []),
        ({"reverse": Endpoint("192.0.2.12", 443)}, {"shared_address": "192.0.2.12"}, [CheckName.NOT_SHARED_NAME]),
        ({"reverse": Endpoint("2001:DB8::0:3", 443)}, {"shared_address": "2001:db8::3"}, [CheckName.NOT_SHARED_NAME]),
        ({"reverse": BEGIN.backup}, {}, [CheckName.NOT_ITSELF]),
        ({"side": side(A, origin="origin-b")}, {}, [CheckName.NOT_ITSELF]),
        ({"side": side(A, key=B.key)}, {}, [CheckName.NOT_ITSELF]),
        ({"side": side(A, site="other.example.com")}, {}, [CheckName.SAME_SITE]),
        ({"side": side(A, site="Support.Example.Com.")}, {}, []),
        ({"side": side(A, version="2.0.1")}, {}, [CheckName.SAME_VERSION]),
        ({"side": side(A, at=AT + 2_001)}, {}, [CheckName.CLOCKS]),
        ({"side": side(A, at=AT - 2_001)}, {}, [CheckName.CLOCKS]),
        ({"side": side(A, at=AT - 2_000)}, {}, []),
        ({"leaf": LEAF_A}, {}, [CheckName.DIRECT]),
        ({}, {"names": ("b.example.com", "*.support.example.com")}, [CheckName.CERTIFICATE]),
        ({}, {"names": ("*.example.com",)}, []),
        ({}, {"names": ("*.com", "*.support.example.com")}, [CheckName.CERTIFICATE]),
        ({}, {"engaged": "origin-c", "replaceable": True}, [CheckName.FREE]),
        ({}, {"engaged": "origin-a", "replaceable": False}, [CheckName.FREE]),
        ({}, {"engaged": "origin-a", "replaceable": True}, []),
    ],
)
def test_each_check_of_the_new_backup(begin: dict[str, Any], own: dict[str, Any], failing: list[str]) -> None:
    checks = rules.check_as_backup(dataclasses.replace(OWN_B, **own), dataclasses.replace(BEGIN, **begin), NOW)
    assert names(checks) == failing
    assert all(check.detail for check in checks)


@pytest.mark.req("F1")
@pytest.mark.parametrize(
    ("answer", "own", "failing"),
    [
        ({}, {}, []),
        ({"leaf": LEAF_B}, {}, [CheckName.DIRECT]),
        ({"side": side(B, origin="origin-a")}, {}, [CheckName.NOT_ITSELF]),
        ({"side": side(B, version="1.9.9")}, {}, [CheckName.SAME_VERSION]),
        ({"side": side(B, at=AT + 3_100)}, {}, [CheckName.CLOCKS]),
        ({"side": side(B, at=AT - 2_001)}, {}, [CheckName.CLOCKS]),
        ({"side": side(B, at=AT + 3_000)}, {}, []),
        ({}, {"engaged": "origin-c"}, [CheckName.FREE]),
    ],
)
def test_each_check_of_the_new_primary(answer: dict[str, Any], own: dict[str, Any], failing: list[str]) -> None:
    """The answer was a second under way: its clock may lie anywhere in it, and two seconds beside."""
    said = dataclasses.replace(ANSWER, **answer)
    checks = rules.check_as_primary(dataclasses.replace(OWN_A, **own), said, LEAF_B, NOW, NOW + timedelta(seconds=1))
    assert names(checks) == failing


def test_an_address_is_covered_by_an_address_alone() -> None:
    assert rules.covers(("192.0.2.10",), "192.0.2.10")
    assert rules.covers(("2001:db8::1",), "2001:DB8:0::1")
    assert not rules.covers(("192.0.2.11", "*.0.2.10"), "192.0.2.10")


def test_a_wildcard_stands_for_one_label_of_a_name_with_more_than_two() -> None:
    assert rules.covers(("*.example.com",), "Support.Example.com.")
    assert not rules.covers(("*.example.com",), "a.b.example.com")
    assert not rules.covers(("*.com",), "example.com")
    assert not rules.covers(("example.org",), "support.example.com")


def test_the_next_term_is_above_all() -> None:
    assert rules.next_term(3, 7, 5) == 8


def test_of_two_sides_a_failed_check_wins_and_each_is_named_once() -> None:
    good, bad = rules.same_key(True), rules.same_key(False)
    merged = rules.merged([rules.reached(BEGIN.backup, ""), good], [bad, rules.check_key_set(True)])
    assert [(check.name, check.ok) for check in merged] == [
        ("key-set", True),
        ("same-key", False),
        ("backup-reached", True),
    ]


# What follows from what is seen


def held(role: Role, term: int = 5, seen: bool = True, ago: float = 600.0, **more: Any) -> Held:
    began = NOW - timedelta(seconds=ago)
    return Held(role, term, began, began if seen else None, **more)


@pytest.mark.req("F4", "F11")
@pytest.mark.parametrize(
    ("own", "seen", "finding"),
    [
        (held(Role.PRIMARY), Seen(Role.BACKUP, 5), Finding(Verdict.STAY)),
        (held(Role.BACKUP), Seen(Role.PRIMARY, 5), Finding(Verdict.STAY)),
        (held(Role.BACKUP), Seen(Role.PRIMARY, 6), Finding(Verdict.FOLLOW)),
        (held(Role.PRIMARY), Seen(Role.PRIMARY, 6), Finding(Verdict.STEP_DOWN)),
        (held(Role.PRIMARY), Seen(Role.PRIMARY, 4), Finding(Verdict.OUTRANK, (Alarm.OLD_PRIMARY,))),
        (held(Role.PRIMARY), Seen(Role.PRIMARY, 5), Finding(Verdict.STAY, (Alarm.TWO_PRIMARIES,))),
        (held(Role.PRIMARY), Seen(Role.BACKUP, 9), Finding(Verdict.STAY)),
        (
            held(Role.PRIMARY),
            Seen(Role.BACKUP, 5, apart=timedelta(seconds=3)),
            Finding(Verdict.STAY, (Alarm.CLOCKS_APART,)),
        ),
        (held(Role.PRIMARY), Seen(), Finding(Verdict.STAY, (Alarm.SILENT,))),
        (held(Role.PRIMARY, ago=29), Seen(), Finding(Verdict.STAY)),
        (held(Role.PRIMARY, seen=False, ago=29), Seen(), Finding(Verdict.STAY)),
        (held(Role.PRIMARY, seen=False), Seen(), Finding(Verdict.STAY, (Alarm.SILENT,))),
        (held(Role.BACKUP), Seen(), Finding(Verdict.STAY, (Alarm.SILENT,))),
        (held(Role.PRIMARY), Seen(refusal="no-relationship"), Finding(Verdict.STAY, (Alarm.LEFT,))),
        (held(Role.BACKUP, seen=False), Seen(refusal="no-relationship"), Finding(Verdict.UNDO)),
        (held(Role.BACKUP, seen=False, ago=29), Seen(refusal="no-relationship"), Finding(Verdict.STAY)),
        (held(Role.PRIMARY), Seen(refusal="clocks-apart"), Finding(Verdict.STAY, (Alarm.CLOCKS_APART,))),
        (held(Role.PRIMARY), Seen(refusal="peer-not-proven"), Finding(Verdict.STAY, (Alarm.NOT_PROVEN,))),
    ],
    ids=repr,
)
def test_what_follows_from_a_look(own: Held, seen: Seen, finding: Finding) -> None:
    assert rules.judge(own, seen, NOW) == finding


@pytest.mark.req("F11")
@pytest.mark.parametrize(
    ("own", "peer_term", "seconds", "peer_takes_over", "finding"),
    [
        (held(Role.BACKUP, 6), 5, 20, False, Finding(Verdict.TAKE_BACK)),
        (held(Role.BACKUP, 6), 5, 14, False, Finding(Verdict.STAY)),
        (held(Role.BACKUP, 6), 5, 20, True, Finding(Verdict.STAY)),
        (held(Role.BACKUP, 5), 6, 20, False, Finding(Verdict.STAY, (Alarm.NO_PRIMARY,))),
        (held(Role.BACKUP, 5), 5, 20, False, Finding(Verdict.STAY, (Alarm.NO_PRIMARY,))),
        (held(Role.BACKUP, 6, taking_over_at=NOW - timedelta(seconds=9)), 5, 20, False, Finding(Verdict.STAY)),
        (held(Role.BACKUP, 6, taking_over_at=NOW - timedelta(hours=1)), 5, 20, False, Finding(Verdict.TAKE_BACK)),
    ],
)
def test_of_two_backups_the_one_that_stepped_down_takes_back(
    own: Held, peer_term: int, seconds: float, peer_takes_over: bool, finding: Finding
) -> None:
    seen = Seen(Role.BACKUP, peer_term, taking_over=peer_takes_over, without_primary=timedelta(seconds=seconds))
    assert rules.judge(own, seen, NOW) == finding


@pytest.mark.req("F11")
@pytest.mark.parametrize("own_term", range(1, 5))
@pytest.mark.parametrize("peer_term", range(1, 5))
def test_of_two_primaries_with_different_terms_exactly_one_steps_down(own_term: int, peer_term: int) -> None:
    mine = rules.judge(held(Role.PRIMARY, own_term), Seen(Role.PRIMARY, peer_term), NOW)
    theirs = rules.judge(held(Role.PRIMARY, peer_term), Seen(Role.PRIMARY, own_term), NOW)
    down = [finding.verdict for finding in (mine, theirs)].count(Verdict.STEP_DOWN)
    told = [finding.verdict for finding in (mine, theirs)].count(Verdict.OUTRANK)
    alarmed = [finding.alarms for finding in (mine, theirs)].count((Alarm.TWO_PRIMARIES,))
    assert (down, told, alarmed) == ((0, 0, 2) if own_term == peer_term else (1, 1, 0))


@pytest.mark.req("F11")
@pytest.mark.parametrize(
    ("role", "looked_ago", "seen", "waited", "finding"),
    [
        (Role.BACKUP, None, Seen(), 0, Finding(Verdict.STAY)),
        (Role.ALONE, None, Seen(), 0, Finding(Verdict.STAY)),
        (Role.PRIMARY, 3, Seen(), 0, Finding(Verdict.STAY)),
        (Role.PRIMARY, None, Seen(), 0, Finding(Verdict.ASK_AGAIN)),
        (Role.PRIMARY, 3600, Seen(), 29, Finding(Verdict.ASK_AGAIN)),
        (Role.PRIMARY, 3600, Seen(), 30, Finding(Verdict.STAY, (Alarm.SILENT,))),
        (Role.PRIMARY, 3600, Seen(Role.PRIMARY, 6), 1, Finding(Verdict.STEP_DOWN)),
        (Role.PRIMARY, 3600, Seen(Role.BACKUP, 5), 1, Finding(Verdict.STAY)),
        # A clock that starts in the past: when somebody looked last lies ahead, and the peer accepts no token.
        (Role.PRIMARY, -3600, Seen(Role.PRIMARY, 6), 1, Finding(Verdict.STEP_DOWN)),
        (Role.PRIMARY, 3600, Seen(refusal="clocks-apart"), 29, Finding(Verdict.ASK_AGAIN)),
        (Role.PRIMARY, 3600, Seen(refusal="clocks-apart"), 30, Finding(Verdict.STAY, (Alarm.CLOCKS_APART,))),
        (Role.PRIMARY, 3600, Seen(refusal="peer-not-proven"), 1, Finding(Verdict.STAY, (Alarm.NOT_PROVEN,))),
    ],
)
def test_what_a_start_does(role: Role, looked_ago: float | None, seen: Seen, waited: float, finding: Finding) -> None:
    """A new generation of a site that is watched does not ask: only a start after nobody had looked does."""
    looked = None if looked_ago is None else NOW - timedelta(seconds=looked_ago)
    assert rules.judge_start(held(role), looked, seen, timedelta(seconds=waited), NOW) == finding


def test_the_role_table_is_whole() -> None:
    assert ROLES.check() == []


@pytest.mark.req("F1")
def test_what_was_not_looked_at_is_named_with_what_it_asks() -> None:
    ahead = not_looked_at([*rules.check_fields(BEGIN.backup, BEGIN.reverse, ()), rules.check_key_set(False)])
    made = {CheckName.NOT_SHARED_NAME, CheckName.NOT_ITSELF, CheckName.KEY_SET}
    assert [one.name for one in ahead] == [name.value for name in CheckName if name not in made]
    everything = not_looked_at(())
    assert len({one.asks for one in everything}) == len(CheckName), "each asks something of its own"
    assert not_looked_at(rules.Check(name, True, "") for name in CheckName) == ()
