"""Our own part of what is built: a copy of the source tree, our wheel's content compiled, and the ways to start it."""

import shutil
import zipfile
from pathlib import Path
from typing import Final

from staffetta.vendor.environment import byte_compile, run, uv_command
from staffetta.vendor.errors import BuildFailed
from staffetta.vendor.interpreter import Interpreter

_LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".cache", "node_modules", "__pycache__", ".*_cache", ".hypothesis"
)
# The real path: a process that was started through `current` stays with its own release when that link moves on.
_START: Final = '#!/bin/sh\nself=$(readlink -f -- "$0") || exit\n'
_MODULE: Final = _START + 'exec "${self%/*}/python" -B -P -m MODULE "$@"\n'
COMMAND: Final = _START + (
    'exec "${self%/*}/python" -B -P -c \'import sys; sys.argv[0] = "staffetta"; '
    'from staffetta.cli.main import main; main()\' "$@"\n'
)
"""The start of the `staffetta` command."""


def start_of(module: str) -> str:
    """The start of a program that is a module, in an environment of its own."""
    return _MODULE.replace("MODULE", module)


def copy_source(source: Path, copy: Path, overlay: Path | None = None) -> Path:
    """Copy a source tree, without what is no source, and lay ``overlay`` over it. Raises ``BuildFailed``."""
    if not (source / "pyproject.toml").is_file():
        raise BuildFailed(f"{source} is no source tree: it has no pyproject.toml.")
    shutil.copytree(source, copy, ignore=_LEFT_OUT, symlinks=True)
    if overlay is not None:
        shutil.copytree(overlay, copy, dirs_exist_ok=True, ignore=_LEFT_OUT)
    return copy


def put_own_part(source: Path, interpreter: Interpreter, root: Path, wheels: Path, starts: dict[str, str]) -> None:
    """Build our wheel out of ``source``, unpack and compile it in ``root``, and write ``bin/`` with the starts given.

    Raises ``BuildFailed`` with what the build said.
    """
    python = str(interpreter.path)
    run(uv_command("build", "--wheel", "--python", python, "--out-dir", wheels, source), "build our wheel")
    wheel = next(wheels.glob("staffetta-*.whl"), None)
    if wheel is None:
        raise BuildFailed(f"Building {source} gave no wheel named staffetta.")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / interpreter.site_packages)
    byte_compile(interpreter, root / "lib", root)
    (root / "bin").mkdir(exist_ok=True)
    for name, text in starts.items():
        path = root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
