"""Base packages for tests: signed and published for real, their code this source tree, run where it lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import staffetta
from staffetta.packages import Kind, Link, Manifest, Requirement, Version
from staffetta.packages.manifest import INTERPRETER_LINK
from staffetta.vendor.archive import write_package
from staffetta.vendor.environment import list_entries
from vendor.publisher import Publisher, interpreter

SOURCE = Path(staffetta.__file__).parents[1]


def runnable_package(
    publisher: Publisher,
    kind: Kind,
    version: str,
    module: str = "staffetta.base",
    *,
    requires: tuple[str, ...] = (),
    eula: bytes | None = None,
    before: str = "",
) -> Path:
    """A package whose `bin/run` starts `python -m module` of this tree; `before` is shell put in front of it."""
    tree = publisher.folder / "trees" / os.urandom(6).hex()
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    (tree / "lib/version.txt").write_text(version)
    (tree / "bin/run").write_text(
        f'#!/bin/sh\n{before}\nPYTHONPATH={SOURCE} PYTHONDONTWRITEBYTECODE=1 exec {sys.executable} -m {module} "$@"\n'
    )
    (tree / "bin/run").chmod(0o755)
    (tree / INTERPRETER_LINK).symlink_to(interpreter().path)
    if eula is not None:
        (tree / "EULA.txt").write_bytes(eula)
    entries = list_entries(tree)
    manifest = Manifest(
        kind=kind,
        version=Version(version),
        python_abi=interpreter().python_abi,
        platform=interpreter().platform,
        interpreter=str(interpreter().path),
        requires=tuple(map(Requirement.parse, requires)),
        eula=None if eula is None else next(e.sha256 for e in entries if e.path == "EULA.txt"),  # type: ignore[union-attr]
        notes=f"Notes of {version}",
        files=entries,
    )
    output = publisher.folder / f"{kind}-{version}.tar.zst"
    write_package(output, manifest, {e.path: tree / e.path for e in entries if not isinstance(e, Link)}, 1)
    return output
