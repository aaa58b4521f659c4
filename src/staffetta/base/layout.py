"""The folders of an appliance: who owns each and who may do what there; `setup` makes them, `doctor` compares them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from staffetta.control.paths import AppliancePaths


@dataclass(frozen=True, slots=True)
class User:
    """A numeric user and group that a program runs under; no account need exist."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """One folder; ``owner`` is None where it belongs to whoever starts keeper, root as a rule."""

    path: Path
    owner: User | None
    mode: int


def folders(paths: AppliancePaths, base: User | None, site: User | None) -> tuple[Place, ...]:
    """Every folder of an appliance whose programs run under these users, each after the one it lies in."""
    shared = None if base is None or site is None else User(base.uid, site.gid)
    return tuple(
        Place(path, owner, mode)
        for path, owner, mode in (
            (paths.root, None, 0o755),
            (paths.keeper, None, 0o700),
            (paths.root / "releases", None, 0o755),
            (paths.releases("base"), base, 0o755),
            (paths.releases("site"), base, 0o755),
            (paths.base, base, 0o700),
            (paths.base / "journal", base, 0o700),
            (paths.base / "trust", base, 0o700),
            (paths.base / "packages", base, 0o700),
            (paths.base / "packages" / "uploads", base, 0o700),
            (paths.certificates, shared, 0o2750),  # set-group-id: what base writes there, the site's group may read
            (paths.site, site, 0o700),
            (paths.root / "run", None, 0o755),
            (paths.logs, None, 0o755),
        )
    )
