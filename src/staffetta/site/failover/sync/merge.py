"""Pure: three versions of configuration to one, after a relationship was broken and established again (F5).

- Changed on one side only: that side wins. Changed on both, differently: the primary's wins, and the other's is kept
  and shown as a conflict.
- A removal is a change. What is on the backup alone and never was common was added there.
- A field that the common version lacks was added by a newer release: it counts as changed only where the two sides
  differ in it, and then the side that changed something else wins with it.
- Where a value may stand once only (a user name), the primary's document keeps it and the other is a conflict.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A document that both sides changed: ``kept`` is the primary's, ``lost`` the backup's; None means removed."""

    key: Key
    kept: Body | None
    lost: Body | None


@dataclass(frozen=True, slots=True)
class Merged:
    """What the primary has to write and to remove, and what could not be joined."""

    write: Mapping[Key, Body] = field(default_factory=dict)
    remove: frozenset[Key] = frozenset()
    conflicts: tuple[Conflict, ...] = ()


def merge(
    common: Mapping[Key, Body],
    primary: Mapping[Key, Body],
    backup: Mapping[Key, Body],
    unique: Mapping[str, Iterable[str]],
    edited: Container[Key] | None = None,
) -> Merged:
    """Join the two sides. ``unique`` names the fields of each type whose value may stand once only.

    ``edited`` is what the backup itself says to have changed, if it can say so: one that was set back to an older copy
    of itself differs from what was common, and has changed nothing.
    """
    write: dict[Key, Body] = {}
    remove: set[Key] = set()
    conflicts: list[Conflict] = []
    for key in sorted({*common, *primary, *backup}):
        before, ours, theirs = common.get(key), primary.get(key), backup.get(key)
        if _same(ours, theirs) or not changed(before, theirs) or (edited is not None and key not in edited):
            continue
        if changed(before, ours):
            conflicts.append(Conflict(key, ours, theirs))
        elif theirs is None:
            remove.add(key)
        else:
            write[key] = {**(ours or {}), **theirs}
    after = {**{key: body for key, body in primary.items() if key not in remove}, **write}
    for key in _twice(after, write, unique):
        conflicts.append(Conflict(key, primary.get(key), write.pop(key)))
    return Merged(write, frozenset(remove), tuple(conflicts))


def _same(one: Body | None, other: Body | None) -> bool:
    """Equal in every field that both know."""
    if one is None or other is None:
        return one is other
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def changed(before: Body | None, now: Body | None) -> bool:
    """Whether a document was changed, made or removed: different in a field that both versions have."""
    if before is None or now is None:
        return before is not now
    return any(now[name] != before[name] for name in before.keys() & now.keys())


def _twice(after: Mapping[Key, Body], written: Mapping[Key, Body], unique: Mapping[str, Iterable[str]]) -> list[Key]:
    """The documents from the backup whose unique value another document has."""
    owners: dict[tuple[str, str, str], Key] = {}
    lost: list[Key] = []
    # The primary's own come first, so that they keep what is theirs.
    for key in sorted(after, key=lambda one: (one in written, one)):
        values = [(key[0], name, repr(after[key].get(name))) for name in unique.get(key[0], ())]
        if key in written and any(owners.get(value, key) != key for value in values):
            lost.append(key)
            continue
        for value in values:
            owners.setdefault(value, key)
    return lost
