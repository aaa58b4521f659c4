"""What a package says about itself: kind, version, platform, and every file with its hash, mode or link.

Rules, all checked by ``Manifest.parse``:
- paths are relative, plain (no ``.``, ``..``, empty or control parts), unique, and never lead through a link or file;
- a mode is 0644 or 0755;
- a link leads to something the manifest states, through no other link; only the interpreter link is absolute, and
  it is the one the manifest names.
A tree built by these rules cannot reach outside itself, whatever else a package says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from staffetta.packages.document import Document, canonical_bytes
from staffetta.packages.errors import DocumentInvalid
from staffetta.packages.kinds import Kind, Requirement, Version, parse_kind, parse_version

FORMAT: Final = 1
MANIFEST_NAME: Final = "manifest.json"
EULA_NAME: Final = "EULA.txt"
INTERPRETER_LINK: Final = "bin/python"
MODES: Final = frozenset({0o644, 0o755})
LARGEST_MANIFEST: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class RegularFile:
    """A file with content: SHA-256 (hex), size in bytes, mode (0644 or 0755)."""

    path: str
    sha256: str
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link and where it leads."""

    path: str
    target: str


Entry = RegularFile | Link


@dataclass(frozen=True, slots=True)
class Manifest:
    """A package's ``manifest.json``.

    ``python_abi`` is the interpreter's SOABI, ``platform`` its ``sysconfig.get_platform()``, ``interpreter`` its
    absolute path; ``eula`` the SHA-256 of EULA.txt or None; ``installed_size`` the bytes of all regular files.
    """

    kind: Kind
    version: Version
    python_abi: str
    platform: str
    interpreter: str
    requires: tuple[Requirement, ...]
    eula: str | None
    notes: str
    files: tuple[Entry, ...]

    @property
    def installed_size(self) -> int:
        """Bytes of all regular files."""
        return sum(entry.size for entry in self.files if isinstance(entry, RegularFile))

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Read and check a manifest; raises ``DocumentInvalid`` that names the rule it breaks."""
        document = Document.parse("The package's manifest", data)
        if document.number("format") != FORMAT:
            raise DocumentInvalid("The package has a format that this version does not know; update base first.")
        manifest = cls(
            kind=parse_kind(document.text("kind")),
            version=parse_version(document.text("version", 64)),
            python_abi=document.text("python_abi", 128),
            platform=document.text("platform", 128),
            interpreter=document.text("interpreter", 1024),
            requires=tuple(Requirement.parse(text) for text in document.texts("requires")),
            eula=document.sha256("eula") if document.has("eula") else None,
            notes=document.text("notes"),
            files=tuple(_entry(entry) for entry in document.documents("files")),
        )
        if document.number("installed_size") != manifest.installed_size:
            raise DocumentInvalid("The package's manifest states an installed size that is not the sum of its files.")
        _check(manifest)
        return manifest

    def to_bytes(self) -> bytes:
        """Return the one spelling of this manifest; raises ``DocumentInvalid`` for one that ``parse`` would refuse."""
        _check(self)
        fields: dict[str, Any] = {
            "format": FORMAT,
            "kind": str(self.kind),
            "version": str(self.version),
            "python_abi": self.python_abi,
            "platform": self.platform,
            "interpreter": self.interpreter,
            "requires": [str(requirement) for requirement in self.requires],
            "eula": self.eula,
            "notes": self.notes,
            "installed_size": self.installed_size,
            "files": [_fields(entry) for entry in self.files],
        }
        return canonical_bytes(fields) + b"\n"


def _entry(document: Document) -> Entry:
    path = document.text("path", 4096)
    if document.has("link"):
        return Link(path, document.text("link", 4096))
    return RegularFile(path, document.sha256("sha256"), document.number("size"), document.number("mode"))


def _fields(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Link):
        return {"path": entry.path, "link": entry.target}
    return {"path": entry.path, "sha256": entry.sha256, "size": entry.size, "mode": entry.mode}


def _check(manifest: Manifest) -> None:
    if not manifest.interpreter.startswith("/") or ".." in manifest.interpreter.split("/"):
        raise DocumentInvalid(f"The package names the interpreter {manifest.interpreter!r}, which is no absolute path.")
    _check_tree(manifest.files, manifest.interpreter)
    eula = [e.sha256 for e in manifest.files if isinstance(e, RegularFile) and e.path == EULA_NAME]
    if eula != ([manifest.eula] if manifest.eula else []):
        raise DocumentInvalid("The package's agreement (EULA.txt) is not the one its manifest states.")


def _check_tree(files: Iterable[Entry], interpreter: str) -> None:
    entries: dict[str, Entry] = {}
    folders: set[str] = set()
    for entry in files:
        parts = entry.path.split("/")
        if not all(_plain(part) for part in parts) or entry.path == MANIFEST_NAME:
            raise DocumentInvalid(f"The package holds a file at {entry.path!r}, which leads out of it or is not plain.")
        if entry.path in entries:
            raise DocumentInvalid(f"The package holds {entry.path!r} twice.")
        if isinstance(entry, RegularFile) and entry.mode not in MODES:
            raise DocumentInvalid(f"The package gives {entry.path!r} the mode {entry.mode:o}, which is not 644 or 755.")
        entries[entry.path] = entry
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    if clash := folders & entries.keys():
        raise DocumentInvalid(f"The package holds files below {min(clash)!r}, which is itself a file or a link.")
    for entry in entries.values():
        if isinstance(entry, Link):
            _check_link(entry, entries, folders, interpreter)


def _check_link(link: Link, entries: dict[str, Entry], folders: set[str], interpreter: str) -> None:
    passed: set[str] = set()
    step: Entry | None = link
    while isinstance(step, Link) and step.path not in passed:
        passed.add(step.path)
        if step.path == INTERPRETER_LINK:
            if step.target != interpreter:
                raise DocumentInvalid(
                    f"The package links {step.path} to {step.target!r}, not to the interpreter it names."
                )
            return
        place = _place(step, folders)
        if place in folders:
            return
        step = entries.get(place)
    if not isinstance(step, RegularFile):
        raise DocumentInvalid(
            f"The package links {link.path!r} to {link.target!r}, which leads out of it, nowhere or in a circle."
        )


def _place(link: Link, folders: set[str]) -> str:
    """Return the path a relative link leads to; "" when it leads out or through something that is no folder."""
    place = link.path.split("/")[:-1]
    for part in link.target.split("/"):
        # Every part before the last must be a real folder, so that `..` means what it says.
        if place and "/".join(place) not in folders:
            return ""
        if part == ".." and place:
            place.pop()
        elif _plain(part):
            place.append(part)
        else:
            return ""
    return "/".join(place)


def _plain(part: str) -> bool:
    return part not in ("", ".", "..") and len(part.encode(errors="replace")) <= 255 and part.isprintable()
