"""What a package is: manifest, versions, prerequisites, whom to trust, what an offline bundle holds. No I/O.

``packages.trust`` needs the TUF library and is imported by its own name; the rest needs only ``packaging``.
"""

from staffetta.packages.info import PackageInfo, custom_fields, eula_target, parse_info, target_name
from staffetta.packages.kinds import Kind, Requirement, Version, parse_kind, parse_version
from staffetta.packages.manifest import Link, Manifest, RegularFile
from staffetta.packages.selection import Installed, InstalledLicence, Offer

__all__ = [
    "Installed",
    "InstalledLicence",
    "Kind",
    "Link",
    "Manifest",
    "Offer",
    "PackageInfo",
    "RegularFile",
    "Requirement",
    "Version",
    "custom_fields",
    "eula_target",
    "parse_info",
    "parse_kind",
    "parse_version",
    "target_name",
]
