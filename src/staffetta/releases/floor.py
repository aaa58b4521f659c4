"""The metadata versions that were seen, kept on the disk apart from the metadata: what replay after a loss meets.

The TUF library compares new metadata with the files it stored. Without those (a power cut, a restored folder) it
would accept an older set again; this file is what still says no (U14). A role whose keys the root has changed
starts afresh, so that a stolen online key that raised the versions cannot lock an appliance out (TUF 5.3.11).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from staffetta.kernel.files import write_atomically
from staffetta.packages.document import Document, canonical_bytes
from staffetta.packages.errors import OlderMetadata

FLOOR_NAME: Final = "floor.json"


@dataclass(frozen=True, slots=True)
class Seen:
    """The version of a role's metadata, and the ids of the keys that may sign the role."""

    version: int
    keys: frozenset[str]


class VersionFloor:
    """The durable floor in one folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FLOOR_NAME

    def read(self) -> dict[str, Seen]:
        """Return what was seen per role; nothing on a new appliance."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        document = Document.parse(f"The file {self._path}", data)
        return {
            role: Seen(entry.number("version"), frozenset(entry.texts("keys")))
            for role, entry in document.items("roles")
        }

    def judge(self, found: Mapping[str, Seen], roles: Iterable[str]) -> None:
        """Raise ``OlderMetadata`` if one of the roles is older than what was seen under the same keys."""
        floor = self.read()
        for role in roles:
            lowest = floor.get(role)
            if lowest is None or (role != "root" and lowest.keys != found[role].keys):
                continue
            if found[role].version < lowest.version:
                raise OlderMetadata(
                    f"The signed {role} metadata is version {found[role].version}, but version {lowest.version} was "
                    "seen before. An older list of packages is not accepted; if this is a bundle, make a new one."
                )

    def raise_to(self, found: Mapping[str, Seen], roles: Iterable[str]) -> None:
        """Remember what was accepted, durably, before anybody acts on it."""
        floor = self.read()
        raised = {**floor, **{role: found[role] for role in roles}}
        if raised == floor:
            return
        fields = {role: {"version": seen.version, "keys": sorted(seen.keys)} for role, seen in raised.items()}
        write_atomically(self._path, canonical_bytes({"roles": fields}))
