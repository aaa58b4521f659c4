"""The merge after a break, as a property over any three versions of a configuration."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from staffetta.site.failover.sync.merge import Body, Key, merge

KEYS = [("t", name) for name in "abc"]
BODIES = st.fixed_dictionaries({"name": st.integers(0, 3), "x": st.integers(0, 1)}, optional={"new": st.integers(0, 1)})
SIDES = st.dictionaries(st.sampled_from(KEYS), BODIES)


@example({KEYS[0]: {"x": 0}}, {KEYS[0]: {"x": 0, "new": 1}}, {KEYS[0]: {"x": 1}})
@given(SIDES, SIDES, SIDES)
def test_one_sided_changes_survive_and_two_sided_ones_are_named(
    common: dict[Key, Body], primary: dict[Key, Body], backup: dict[Key, Body]
) -> None:
    merged = merge(common, primary, backup, {})
    after = {**{key: body for key, body in primary.items() if key not in merged.remove}, **merged.write}
    named = {one.key for one in merged.conflicts}
    for key in KEYS:
        ours, theirs, before = primary.get(key), backup.get(key), common.get(key)
        both = differs(before, theirs) and differs(before, ours) and differs(ours, theirs)
        assert (key in named) == both, "a conflict is what both changed differently, and nothing else"
        if not differs(before, theirs):
            assert after.get(key) == ours, "the backup changed nothing: the primary's stays"
        elif not differs(before, ours):
            assert not differs(after.get(key), theirs), "only the backup changed it: its version is taken"
            kept = after.get(key, {}).keys()
            assert theirs is None or kept == {*theirs, *(ours or {})}, "and what only the primary's release knows"
        elif both:
            assert after.get(key) == ours, "both changed it: the primary's is kept"


@given(SIDES, SIDES, SIDES, st.sets(st.sampled_from(KEYS)))
def test_what_the_backup_says_to_have_left_alone_stays(
    common: dict[Key, Body], primary: dict[Key, Body], backup: dict[Key, Body], edited: set[Key]
) -> None:
    told, plain = merge(common, primary, backup, {}, edited), merge(common, primary, backup, {})
    assert told.write == {key: body for key, body in plain.write.items() if key in edited}
    assert told.remove == plain.remove & edited
    assert told.conflicts == tuple(one for one in plain.conflicts if one.key in edited)


@given(SIDES, SIDES, SIDES)
def test_a_value_that_may_stand_once_stands_once(
    common: dict[Key, Body], primary: dict[Key, Body], backup: dict[Key, Body]
) -> None:
    ours = {key: {**body, "name": key[1]} for key, body in primary.items()}
    merged = merge(common, ours, backup, {"t": ["name"]})
    after = {**{key: body for key, body in ours.items() if key not in merged.remove}, **merged.write}
    names = [body["name"] for body in after.values()]
    assert len(names) == len(set(names))


@given(SIDES, SIDES)
def test_merging_again_changes_nothing(common: dict[Key, Body], primary: dict[Key, Body]) -> None:
    merged = merge(primary, primary, primary, {})
    assert (merged.write, merged.remove, merged.conflicts) == ({}, frozenset(), ())
    same = merge(common, primary, primary, {})
    assert (same.write, same.remove, same.conflicts) == ({}, frozenset(), ())


def differs(one: Any, other: Any) -> bool:
    """As people see it: another value in a field that both know."""
    if one is None or other is None:
        return one is not other
    return any(one[name] != other[name] for name in one.keys() & other.keys())
