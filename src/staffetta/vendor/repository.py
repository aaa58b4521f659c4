"""The publisher's TUF repository in a folder: made, added to, renewed; every change in an order a reader survives.

    metadata/<n>.root.json  every root there ever was
    metadata/<n>.targets.json <n>.clients.json <n>.snapshot.json   consistent snapshots: never written again
    metadata/timestamp.json   the one file that is replaced; written last, it makes a change visible at once
    targets/<folder>/<sha256>.<name>

A file is on the disk before one that names it. Changes take the lock ``.lock``, so publishing beside a server that
renews its timestamp is safe.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from tuf.api.metadata import (  # type: ignore[attr-defined]
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from staffetta.kernel.files import sha256_of, sync_directory, write_atomically
from staffetta.packages import Kind, Manifest, PackageInfo, custom_fields, eula_target, parse_info, target_name
from staffetta.packages.bundle import hashed_name
from staffetta.packages.trust import CLIENTS_ROLE, ROOT_FIELD, package_infos, root_field
from staffetta.vendor.errors import AlreadyPublished, RepositoryMissing
from staffetta.vendor.keys import ROOT_KEYS, KeyFolder, KeyName

ROOT_LIFE: Final = timedelta(days=3650)
CLIENTS_LIFE: Final = timedelta(days=1825)
TARGETS_LIFE: Final = timedelta(days=365)
SNAPSHOT_LIFE: Final = timedelta(days=60)
TIMESTAMP_LIFE: Final = timedelta(days=14)
CLIENT_PATHS: Final = "clients/*"

S = TypeVar("S", bound=Signed)


@dataclass(frozen=True, slots=True)
class Publication:
    """A package to publish: its file, its manifest, and the text of its agreement if it has one."""

    file: Path
    manifest: Manifest
    eula: bytes | None


class Repository:
    """The repository in one folder. Methods that sign need the private keys named in their words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"

    @classmethod
    def create(cls, folder: Path, keys: KeyFolder, now: datetime) -> "Repository":
        """Make an empty repository with all roles signed. Needs every key."""
        repository = cls(folder)
        if repository.metadata.exists():
            raise AlreadyPublished(f"There is a repository in {folder} already.")
        repository.metadata.mkdir(parents=True)
        repository.targets.mkdir(exist_ok=True)
        with repository._locked():
            root = Root(1, expires=now + ROOT_LIFE, consistent_snapshot=True)
            for role, names in (
                (Root.type, ROOT_KEYS),
                (Targets.type, (KeyName.TARGETS,)),
                (Snapshot.type, (KeyName.SNAPSHOT,)),
                (Timestamp.type, (KeyName.TIMESTAMP,)),
            ):
                for name in names:
                    root.add_key(keys.signer(name).public_key, role)
            statement_key = keys.private(KeyName.STATEMENT).public_key().public_bytes_raw()
            root.unrecognized_fields[ROOT_FIELD] = root_field([statement_key])
            clients_key = keys.signer(KeyName.CLIENTS).public_key
            delegated = DelegatedRole(CLIENTS_ROLE, [clients_key.keyid], 1, terminating=True, paths=[CLIENT_PATHS])
            delegations = Delegations({clients_key.keyid: clients_key}, {CLIENTS_ROLE: delegated})
            repository._write("1.root.json", root, keys, *ROOT_KEYS)
            targets = Targets(1, expires=now + TARGETS_LIFE, delegations=delegations)
            repository._write("1.targets.json", targets, keys, KeyName.TARGETS)
            clients = Targets(1, expires=now + CLIENTS_LIFE)
            repository._write("1.clients.json", clients, keys, KeyName.CLIENTS)
            snapshot = Snapshot(1, expires=now + SNAPSHOT_LIFE, meta={})
            repository._add_to(snapshot, {"targets": 1, "clients": 1})
            repository._write("1.snapshot.json", snapshot, keys, KeyName.SNAPSHOT)
            repository._write_timestamp(1, snapshot, keys, now)
        return repository

    @classmethod
    def open(cls, folder: Path) -> "Repository":
        """Open a repository that is there; raises ``RepositoryMissing``."""
        repository = cls(folder)
        if not (repository.metadata / "timestamp.json").is_file():
            raise RepositoryMissing(f"There is no repository in {folder}; make one with `staffetta vendor init`.")
        return repository

    def publish(self, publications: Sequence[Publication], keys: KeyFolder, now: datetime) -> tuple[PackageInfo, ...]:
        """Sign packages and make them visible, all at once. Needs targets, clients, snapshot and timestamp.

        The same file again changes nothing; another file under the same name raises ``AlreadyPublished``.
        """
        with self._locked():
            roles = {"targets": self._current("targets"), "clients": self._current("clients")}
            changed: dict[str, int] = {}
            infos = []
            added_to = set()
            for publication in publications:
                role = "clients" if publication.manifest.kind is Kind.CLIENT else "targets"
                info, added = self._add_package(roles[role], publication, now)
                infos.append(info)
                if added:
                    added_to.add(role)
            for role, life, key in (
                ("targets", TARGETS_LIFE, KeyName.TARGETS),
                ("clients", CLIENTS_LIFE, KeyName.CLIENTS),
            ):
                if role in added_to:
                    signed = roles[role]
                    signed.version += 1
                    signed.expires = now + life
                    self._write(f"{signed.version}.{role}.json", signed, keys, key)
                    changed[role] = signed.version
            if changed:
                self._renew_snapshot(keys, now, changed)
        return tuple(infos)

    def renew(self, keys: KeyFolder, now: datetime) -> bool:
        """Sign the timestamp (and the snapshot) anew once half their life is over; whether anything was signed.

        Needs snapshot and timestamp only, the two keys a server has.
        """
        with self._locked():
            snapshot, timestamp = self._snapshot(), self._timestamp()
            if snapshot.expires - now < SNAPSHOT_LIFE / 2:
                self._renew_snapshot(keys, now, {})
                return True
            if timestamp.expires - now < TIMESTAMP_LIFE / 2:
                self._write_timestamp(timestamp.version + 1, snapshot, keys, now)
                return True
        return False

    def infos(self) -> tuple[PackageInfo, ...]:
        """Return every published package, those for clients too."""
        return (*package_infos(self._current("targets")), *package_infos(self._current("clients")))

    def root(self) -> bytes:
        """Return the newest root, which is what a new appliance is given."""
        return max(self.metadata.glob("*.root.json"), key=_version_of).read_bytes()

    def metadata_files(self) -> tuple[Path, ...]:
        """Return the metadata files that make the present state, every root among them."""
        roots = sorted(self.metadata.glob("*.root.json"), key=_version_of)
        snapshot = f"{self._timestamp().snapshot_meta.version}.snapshot.json"
        roles = [f"{self._visible(role)}.{role}.json" for role in ("targets", "clients")]
        return (*roots, *(self.metadata / name for name in ("timestamp.json", snapshot, *roles)))

    def target_file(self, target: str, sha256: str) -> Path:
        """Return the file of a target in the repository."""
        return self.targets / hashed_name(target, sha256)

    def _add_package(self, role: Targets, publication: Publication, now: datetime) -> tuple[PackageInfo, bool]:
        manifest = publication.manifest
        name = target_name(manifest.kind, manifest.version)
        sha256, size = sha256_of(publication.file), publication.file.stat().st_size
        present = role.targets.get(name)
        if present is not None:
            if present.hashes.get("sha256") != sha256:
                raise AlreadyPublished(f"{name} is published already, as another file; give it a new version.")
            return parse_info(name, size, sha256, present.custom), False
        custom = custom_fields(manifest, now)
        self._store(name, sha256, publication.file.open("rb"))
        role.targets[name] = TargetFile(size, {"sha256": sha256}, name, {"custom": custom})
        if publication.eula is not None:
            eula_sha256 = hashlib.sha256(publication.eula).hexdigest()
            eula_name = eula_target(eula_sha256)
            if eula_name not in role.targets:
                path = self.target_file(eula_name, eula_sha256)
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, publication.eula, 0o644)
                role.targets[eula_name] = TargetFile(len(publication.eula), {"sha256": eula_sha256}, eula_name)
        return parse_info(name, size, sha256, custom), True

    def _store(self, name: str, sha256: str, source: BinaryIO) -> None:
        path = self.target_file(name, sha256)
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with source, part.open("wb") as file:
            while piece := source.read(1 << 20):
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        part.replace(path)
        sync_directory(path.parent)
        sync_directory(self.targets)

    def _renew_snapshot(self, keys: KeyFolder, now: datetime, changed: dict[str, int]) -> None:
        snapshot, timestamp = self._snapshot(), self._timestamp()
        snapshot.version += 1
        snapshot.expires = now + SNAPSHOT_LIFE
        self._add_to(snapshot, changed)
        self._write(f"{snapshot.version}.snapshot.json", snapshot, keys, KeyName.SNAPSHOT)
        self._write_timestamp(timestamp.version + 1, snapshot, keys, now)

    def _add_to(self, snapshot: Snapshot, versions: dict[str, int]) -> None:
        for role, version in versions.items():
            data = (self.metadata / f"{version}.{role}.json").read_bytes()
            snapshot.meta[f"{role}.json"] = MetaFile.from_data(version, data, ["sha256"])

    def _write_timestamp(self, version: int, snapshot: Snapshot, keys: KeyFolder, now: datetime) -> None:
        path = self.metadata / f"{snapshot.version}.snapshot.json"
        meta = MetaFile.from_data(snapshot.version, path.read_bytes(), ["sha256"])
        timestamp = Timestamp(version, expires=now + TIMESTAMP_LIFE, snapshot_meta=meta)
        self._write("timestamp.json", timestamp, keys, KeyName.TIMESTAMP)

    def _write(self, name: str, signed: Signed, keys: KeyFolder, *signers: KeyName) -> None:
        metadata: Metadata[Any] = Metadata(signed)
        for signer in signers:
            metadata.sign(keys.signer(signer), append=True)
        write_atomically(self.metadata / name, metadata.to_bytes(), 0o644)

    def _current(self, role: str) -> Targets:
        return _read(self.metadata / f"{self._visible(role)}.{role}.json", Targets)

    def _timestamp(self) -> Timestamp:
        return _read(self.metadata / "timestamp.json", Timestamp)

    def _snapshot(self) -> Snapshot:
        version = self._timestamp().snapshot_meta.version
        return _read(self.metadata / f"{version}.snapshot.json", Snapshot)

    def _visible(self, role: str) -> int:
        """Return the version of a role that the timestamp leads to; a newer file was never finished."""
        return self._snapshot().meta[f"{role}.json"].version

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _read(path: Path, role: type[S]) -> S:
    metadata: Metadata[Any] = Metadata.from_file(str(path))
    signed = metadata.signed
    assert isinstance(signed, role), f"{path} is no {role.type} metadata"
    return signed


def _version_of(path: Path) -> int:
    return int(path.name.partition(".")[0])
