"""Builds a package out of a source tree: dependencies by the lock, our wheel, the ways to start it, a manifest."""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.packages import Kind, Manifest, Requirement, Version
from staffetta.packages.manifest import EULA_NAME, Entry
from staffetta.vendor.archive import write_package
from staffetta.vendor.environment import Listed, dependencies, list_entries
from staffetta.vendor.errors import BuildFailed
from staffetta.vendor.interpreter import Interpreter, find_interpreter
from staffetta.vendor.own_part import COMMAND, copy_source, put_own_part, start_of

CLIENT_BUNDLE: Final = "share/clients.bundle"
_MODULES: Final = {Kind.BASE: "staffetta.base", Kind.SITE: "staffetta.site", Kind.CLIENT: "staffetta.clients"}


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """What to build. ``overlay``: a folder laid over a copy of the source; ``cache``: kept between builds."""

    kind: Kind
    version: Version
    source: Path
    output: Path
    overlay: Path | None = None
    requires: tuple[Requirement, ...] = ()
    eula: Path | None = None
    notes: str = ""
    python: Path | None = None
    cache: Path | None = None
    level: int = 3
    client_bundle: Path | None = None


def build(order: BuildOrder) -> Manifest:
    """Build the package file ``order.output``; raises ``BuildFailed``, and leaves nothing half written."""
    if order.kind not in _MODULES:
        raise BuildFailed(f"A {order.kind} package is not built from a source tree.")
    if (order.client_bundle is not None) and order.kind is not Kind.SITE:
        raise BuildFailed("Only a site carries client packages; leave --client-bundle out.")
    interpreter = find_interpreter(order.python)
    with tempfile.TemporaryDirectory(prefix="staffetta-build-") as scratch:
        work = Path(scratch)
        source = copy_source(order.source, work / "source", order.overlay)
        environment = dependencies(source / "locks" / f"{order.kind}.txt", interpreter, order.cache or work / "cache")
        own = _own(order, source, interpreter, work)
        manifest, places = _put_together(order, interpreter, environment, own)
        write_package(order.output, manifest, places, order.level)
    return manifest


def _own(order: BuildOrder, source: Path, interpreter: Interpreter, work: Path) -> Listed:
    """Make the part of a release that is ours: the wheel's content, ``bin/``, agreement, client packages."""
    root = work / "own"
    starts = {"run": start_of(_MODULES[order.kind]), "staffetta": COMMAND}
    put_own_part(source, interpreter, root, work / "wheels", starts)
    for given, place in ((order.eula, root / EULA_NAME), (order.client_bundle, root / CLIENT_BUNDLE)):
        if given is not None:
            if not given.is_file():
                raise BuildFailed(f"There is no file {given}.")
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(given, place)
    return Listed(root, list_entries(root))


def _put_together(
    order: BuildOrder, interpreter: Interpreter, environment: Listed, own: Listed
) -> tuple[Manifest, dict[str, Path]]:
    places: dict[str, Path] = {}
    entries: list[Entry] = []
    for part in (environment, own):
        for entry in part.entries:
            if entry.path in places:
                raise BuildFailed(f"{entry.path} is in a dependency and in the source tree; one must go.")
            places[entry.path] = part.root / entry.path
            entries.append(entry)
    eula = None if order.eula is None else hashlib.sha256((own.root / EULA_NAME).read_bytes()).hexdigest()
    manifest = Manifest(
        kind=order.kind,
        version=order.version,
        python_abi=interpreter.python_abi,
        platform=interpreter.platform,
        interpreter=str(interpreter.path),
        requires=order.requires,
        eula=eula,
        notes=order.notes,
        files=tuple(sorted(entries, key=lambda entry: entry.path)),
    )
    return manifest, places
