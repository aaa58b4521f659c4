"""The merge after a break, as a property over any three versions of a configuration."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from staffetta.site.failover.sync.merge import Body, Key, merge

KEYS = [("t", name) for name in "abc"]
BODIES = st.fixed_dictionaries({"name": st.integers(0, 3), "x": st.integers(0, 1)}, optional={"new": st.integers(0, 1)})
SIDES = st.dictionaries(st.sampled_from(KEYS), BODIES)


@given(SIDES, SIDES, SIDES)
def test_one_sided_changes_survive_and_two_sided_ones_are_named(
    common: dict[Key, Body], primary: dict[Key, Body], backup: dict[Key, Body]
) -> None:
    merged = merge(common, primary, backup, {})
    after = {**{key: body for key, body in primary.items() if key not in merged.remove}, **merged.write}
    named = {one.key for one in merged.conflicts}
    for key in KEYS:
        ours, theirs, before = primary.get(key), backup.get(key), common.get(key)
        if not differs(before, theirs):
            assert after.get(key) == ours, "the backup changed nothing: the primary's stays"
        elif not differs(before, ours) and key not in named:
            assert not differs(after.get(key), theirs), "only the backup changed it: its version is taken"
        elif differs(ours, theirs):
            assert key in named, "both changed it differently: it is a conflict"
            assert after.get(key) == ours, "and the primary's is kept"


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
