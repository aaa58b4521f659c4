"""What the vendor signed about a package: the target's size and hash, and its ``custom`` field."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from staffetta.kernel.clock import format_time
from staffetta.packages.document import Document
from staffetta.packages.errors import DocumentInvalid
from staffetta.packages.kinds import Kind, Requirement, Version, parse_kind, parse_version
from staffetta.packages.manifest import Manifest

SUFFIX: Final = ".tar.zst"
_FOLDERS: Final = {Kind.BASE: "base", Kind.SITE: "site", Kind.LICENCE: "licences", Kind.CLIENT: "clients"}


@dataclass(frozen=True, slots=True)
class PackageInfo:
    """A package as signed metadata describes it; sizes in bytes, ``sha256`` of the package file in hex."""

    target: str
    kind: Kind
    version: Version
    size: int
    sha256: str
    requires: tuple[Requirement, ...]
    eula_sha256: str | None
    notes: str
    installed_size: int
    python_abi: str
    platform: str
    interpreter: str
    published: datetime

    def describes(self, manifest: Manifest) -> bool:
        """Whether the manifest inside the package says the same as the signed description."""
        return (
            manifest.kind is self.kind
            and manifest.version == self.version
            and set(manifest.requires) == set(self.requires)
            and manifest.eula == self.eula_sha256
            and manifest.installed_size == self.installed_size
            and manifest.python_abi == self.python_abi
            and manifest.platform == self.platform
            and manifest.interpreter == self.interpreter
        )


def target_name(kind: Kind, version: Version) -> str:
    """Return the name of a package in the repository: ``site/site-1.4.0.tar.zst``."""
    return f"{_FOLDERS[kind]}/{kind}-{version}{SUFFIX}"


def eula_target(sha256: str) -> str:
    """Return the name under which an agreement's text is published, for reading before any download."""
    return f"agreements/{sha256}.txt"


def custom_fields(manifest: Manifest, published: datetime) -> dict[str, Any]:
    """Return what the vendor signs beside a package's size and hash, as JSON values."""
    return {
        "kind": str(manifest.kind),
        "version": str(manifest.version),
        "requires": [str(requirement) for requirement in manifest.requires],
        "eula_sha256": manifest.eula,
        "notes": manifest.notes,
        "installed_size": manifest.installed_size,
        "python_abi": manifest.python_abi,
        "platform": manifest.platform,
        "interpreter": manifest.interpreter,
        "published": format_time(published),
    }


def parse_info(target: str, size: int, sha256: str, custom: object) -> PackageInfo:
    """Read the signed description of one package; raises ``DocumentInvalid`` naming what is wrong."""
    document = Document(f"The description of {target}", custom)
    info = PackageInfo(
        target=target,
        kind=parse_kind(document.text("kind")),
        version=parse_version(document.text("version", 64)),
        size=size,
        sha256=sha256,
        requires=tuple(Requirement.parse(text) for text in document.texts("requires")),
        eula_sha256=document.sha256("eula_sha256") if document.has("eula_sha256") else None,
        notes=document.text("notes"),
        installed_size=document.number("installed_size"),
        python_abi=document.text("python_abi", 128),
        platform=document.text("platform", 128),
        interpreter=document.text("interpreter", 1024),
        published=document.time("published"),
    )
    if target != target_name(info.kind, info.version):
        raise DocumentInvalid(f"The package {target} is described as {target_name(info.kind, info.version)}.")
    return info


def is_package(target: str) -> bool:
    """Whether a target's name is that of a package; the repository holds agreements beside them."""
    return target.endswith(SUFFIX)
