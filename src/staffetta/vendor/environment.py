"""The dependencies of a release: a relocatable environment made by uv from a lock, built once and kept in a cache.

Kept per lock, interpreter and way of building; made beside under a lock file and renamed, so that several builds can
share a cache. What is in it is listed with its hashes once; a build reads that list instead of 6,000 files.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import uv

from staffetta.kernel.files import sha256_of, write_atomically
from staffetta.kernel.ids import new_id
from staffetta.packages import Link, RegularFile
from staffetta.packages.manifest import INTERPRETER_LINK, Entry
from staffetta.vendor.errors import BuildFailed
from staffetta.vendor.interpreter import Interpreter

_WAY: Final = "1"  # raised when the way of building changes, so that old caches are not used
_LISTING: Final = "files.json"
_TREE: Final = "tree"
_COMPILE: Final = (
    "import compileall, py_compile, sys;"
    "sys.exit(not compileall.compile_dir(sys.argv[1], quiet=1, stripdir=sys.argv[2], maxlevels=50, workers=1,"
    " invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH))"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A folder and the entries of a release that it holds."""

    root: Path
    entries: tuple[Entry, ...]


def dependencies(lock: Path, interpreter: Interpreter, cache: Path) -> Listed:
    """Return the environment that the lock describes, from the cache or built into it.

    Raises ``BuildFailed`` with what uv said, for instance that a hash does not match.
    """
    try:
        text = lock.read_bytes()
    except FileNotFoundError:
        raise BuildFailed(f"There is no lock {lock}; the source tree must hold locks/<kind>.txt.") from None
    facts = [_WAY, version("uv"), str(interpreter.path), interpreter.python_abi, interpreter.platform]
    key = hashlib.sha256(json.dumps(facts).encode() + b"\0" + text).hexdigest()[:32]
    folder = cache / "environments" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / f"{key}.lock"):
        if not folder.is_dir():
            building = folder.parent / f".building-{new_id()}"
            building.mkdir()
            try:
                _build(lock, interpreter, building / _TREE)
                entries = list_entries(building / _TREE)
                write_atomically(building / _LISTING, json.dumps([_packed(entry) for entry in entries]).encode(), 0o644)
                building.rename(folder)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
    listing = json.loads((folder / _LISTING).read_bytes())
    return Listed(folder / _TREE, tuple(_unpacked(fields) for fields in listing))


def byte_compile(interpreter: Interpreter, folder: Path, root: Path) -> None:
    """Compile every module below ``folder``, with paths relative to ``root`` and no look at the source at run time.

    One worker, in the order of names: the same source gives the same bytes, which keeps deltas small.
    """
    run([interpreter.path, "-I", "-S", "-c", _COMPILE, folder, root], "compile the modules")


def list_entries(root: Path) -> tuple[Entry, ...]:
    """Return every file and link below a folder in the order of paths, with modes made plain: 0755 or 0644."""
    entries: list[Entry] = []
    for place, folders, names in os.walk(root):
        for name in (*names, *(name for name in folders if (Path(place) / name).is_symlink())):
            path = Path(place) / name
            relative = path.relative_to(root).as_posix()
            if path.is_symlink():
                entries.append(Link(relative, str(path.readlink())))
            else:
                state = path.stat()
                mode = 0o755 if state.st_mode & 0o100 else 0o644
                entries.append(RegularFile(relative, sha256_of(path), state.st_size, mode))
    return tuple(sorted(entries, key=lambda entry: entry.path))


def run(command: Sequence[str | Path], purpose: str, cwd: Path | None = None) -> None:
    """Run a program of the build; raises ``BuildFailed`` with the end of what it said."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=cwd)
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip()[-2000:]
        raise BuildFailed(f"Could not {purpose}: {said}")


def uv_command(*arguments: str | Path) -> list[str | Path]:
    """Return a call of the uv that is a dependency of ours; it never fetches a Python."""
    return [uv.find_uv_bin(), "--quiet", "--no-python-downloads", *arguments]


def _build(lock: Path, interpreter: Interpreter, tree: Path) -> None:
    run(uv_command("venv", "--relocatable", "--no-project", "--python", interpreter.path, tree), "make an environment")
    run(
        uv_command(
            "pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy",
            "--python", tree / "bin" / "python", "--requirements", lock,
        ),
        "install the dependencies",
    )  # fmt: skip
    for path in tree.iterdir():
        if path.name not in ("bin", "lib", "lib64", "pyvenv.cfg"):
            path.unlink()
    for path in (tree / "bin").iterdir():
        # Commands of dependencies and activation scripts are no part of a release.
        if not path.name.startswith("python"):
            path.unlink()
    python = tree / INTERPRETER_LINK
    python.unlink()
    python.symlink_to(interpreter.path)
    byte_compile(interpreter, tree / "lib", tree)


def _packed(entry: Entry) -> list[str | int]:
    if isinstance(entry, Link):
        return [entry.path, entry.target]
    return [entry.path, entry.sha256, entry.size, entry.mode]


def _unpacked(fields: list[str | int]) -> Entry:
    if len(fields) == 2:
        return Link(str(fields[0]), str(fields[1]))
    return RegularFile(str(fields[0]), str(fields[1]), int(fields[2]), int(fields[3]))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
