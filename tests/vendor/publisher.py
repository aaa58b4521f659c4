"""A real publisher in a temporary folder: real keys, signed repository and package files, only small."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from staffetta.packages import Kind, Link, Manifest, PackageInfo, Requirement, Version
from staffetta.packages.manifest import INTERPRETER_LINK
from staffetta.vendor.archive import write_package
from staffetta.vendor.environment import list_entries
from staffetta.vendor.interpreter import Interpreter, find_interpreter
from staffetta.vendor.keys import KeyFolder
from staffetta.vendor.publish import bundle, publish
from staffetta.vendor.repository import Repository

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@cache
def interpreter() -> Interpreter:
    """Return the Python of this machine that releases are built for."""
    return find_interpreter(None)


class Publisher:
    """Keys, a repository and a folder of package files."""

    def __init__(self, folder: Path, now: datetime = NOW) -> None:
        self.folder = folder
        self.keys = KeyFolder(folder / "keys")
        self.keys.create()
        self.repository = Repository.create(folder / "repository", self.keys, now)

    @property
    def root(self) -> bytes:
        return (self.repository.metadata / "1.root.json").read_bytes()

    def package(
        self,
        kind: Kind,
        version: str,
        *,
        requires: tuple[str, ...] = (),
        content: Mapping[str, bytes] | None = None,
        eula: bytes | None = None,
        python_abi: str | None = None,
        name: str | None = None,
        run: str = "#!/bin/sh\nexec true\n",
    ) -> Path:
        """Make a package with a few files, a folder, two links and a program."""
        tree = self.folder / "trees" / os.urandom(6).hex()
        files = {"lib/code.py": f"VERSION = {version!r}\n".encode(), "share/text/a b.txt": b"text\n" * 50}
        files |= content or {}
        if eula is not None:
            files["EULA.txt"] = eula
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        (tree / "bin").mkdir(exist_ok=True)
        (tree / "bin/run").write_text(run)
        (tree / "bin/run").chmod(0o755)
        (tree / INTERPRETER_LINK).symlink_to(interpreter().path)
        (tree / "lib64").symlink_to("lib")
        entries = list_entries(tree)
        manifest = Manifest(
            kind=kind,
            version=Version(version),
            python_abi=python_abi or interpreter().python_abi,
            platform=interpreter().platform,
            interpreter=str(interpreter().path),
            requires=tuple(map(Requirement.parse, requires)),
            eula=None if eula is None else next(e.sha256 for e in entries if e.path == "EULA.txt"),  # type: ignore[union-attr]
            notes=f"Notes of {version}",
            files=entries,
        )
        output = self.folder / (name or f"{kind}-{version}.tar.zst")
        write_package(output, manifest, {e.path: tree / e.path for e in entries if not isinstance(e, Link)}, 1)
        return output

    def publish(self, *files: Path, now: datetime = NOW) -> tuple[PackageInfo, ...]:
        return publish(self.repository, self.keys, files, now)

    def release(self, kind: Kind, version: str, **more: object) -> PackageInfo:
        """Make and publish one package."""
        return self.publish(self.package(kind, version, **more))[0]  # type: ignore[arg-type]

    def bundle(self, *names: str, output: str = "some.bundle") -> Path:
        path = self.folder / output
        bundle(self.repository, names, path)
        return path


def release_with_clients(folder: Path, *versions: str) -> Path:
    """A site's release that brings these versions of the client along, in a real bundle."""
    vendor = folder / "vendor"
    vendor.mkdir()
    publisher = Publisher(vendor)
    infos = [publisher.release(Kind.CLIENT, version) for version in versions]
    share = folder / "release" / "share"
    share.mkdir(parents=True)
    publisher.bundle(*(info.target for info in infos), output="clients").rename(share / "clients.bundle")
    return folder / "release"
