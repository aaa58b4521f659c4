"""A control group of its own for each booted machine: two systemds in one remove the groups of each other's units."""

import contextlib
from pathlib import Path

_SYSTEMD = ("", "name=systemd")
"""What systemd keeps its units in: the unified hierarchy, and the one under its name where there are older ones."""
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'


def make(name: str) -> list[Path]:
    """Make the group in each hierarchy of systemd's, below that of this process."""
    made = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, hierarchy, path = line.split(":", 2)
        if hierarchy in _SYSTEMD and (mounted := _mounted(hierarchy)):
            made.append(mounted / path.strip("/") / name)
            made[-1].mkdir(exist_ok=True)
    return made


def within(groups: list[Path], command: list[str | Path]) -> list[str | Path]:
    """The command that runs ``command`` in these groups, as the same process."""
    return ["sh", "-c", _JOIN, "sh", *groups, "--", *command]


def remove(groups: list[Path]) -> None:
    """Remove the groups and what is below them, in which nobody is any more."""
    for group in groups:
        for folder in sorted((one for one in group.rglob("*") if one.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()


def _mounted(hierarchy: str) -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" if not hierarchy else hierarchy in options.split(","):
            return Path(place)
    return None
