"""Which Python a release is built for: one that any user of an appliance can run, at an absolute path."""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.kernel.errors import Refused
from staffetta.releases.preflight import interpreter_facts
from staffetta.vendor.errors import BuildFailed

OLDEST: Final = (3, 11)
_PLACES: Final = ("/usr/bin", "/usr/local/bin", "/bin")
_NAME: Final = re.compile(r"python3\.(\d+)")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: its path as releases will link it, its version, SOABI and platform."""

    path: Path
    version: tuple[int, int]
    python_abi: str
    platform: str

    @property
    def site_packages(self) -> str:
        """Where its packages are in an environment, relative to it."""
        return f"lib/python{self.version[0]}.{self.version[1]}/site-packages"


def find_interpreter(path: Path | None) -> Interpreter:
    """Return the interpreter at ``path``, or the first of version 3.11 or newer that other users can run too.

    When root builds, an interpreter inside a private home would not start under the appliance's own users.
    """
    if path is not None:
        found = _look_at(path.absolute())
        if found.version < OLDEST:
            raise BuildFailed(f"{path} is Python {found.version[0]}.{found.version[1]}; 3.11 or newer is needed.")
        return found
    for candidate in _candidates():
        if not reachable_by_others(candidate):
            continue
        try:
            found = _look_at(candidate)
        except BuildFailed:
            continue
        if found.version >= OLDEST:
            return found
    raise BuildFailed("No Python 3.11 or newer was found that every user can run; name one with --python.")


def reachable_by_others(path: Path) -> bool:
    """Whether users other than the owner may run the program at this path, links followed."""
    if os.geteuid() != 0:
        return os.access(path, os.X_OK)
    real = path.resolve()
    try:
        folders_open = all(folder.stat().st_mode & stat.S_IXOTH for folder in (*path.parents, *real.parents))
        mode = real.stat().st_mode
    except OSError:
        return False
    return folders_open and mode & (stat.S_IXOTH | stat.S_IROTH) == stat.S_IXOTH | stat.S_IROTH


def _candidates() -> Iterator[Path]:
    for place in map(Path, _PLACES):
        numbered = [
            (int(match[1]), path)
            for path in (place.iterdir() if place.is_dir() else ())
            if (match := _NAME.fullmatch(path.name)) and int(match[1]) >= OLDEST[1]
        ]
        yield from (path for _, path in sorted(numbered))
    if (on_path := shutil.which("python3")) is not None:
        yield Path(on_path)


def _look_at(path: Path) -> Interpreter:
    try:
        python_abi, platform, version = interpreter_facts(path)
    except Refused as error:
        raise BuildFailed(error.message) from None
    return Interpreter(path, version, python_abi, platform)
