"""Looks at the shared address: what the machine's interfaces carry, whether it is enabled, what role the site has."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from staffetta.base.doctor.apart import Apart
from staffetta.base.doctor.databases import site_role
from staffetta.base.doctor.facts import BaseSeen, Damaged, InterfaceSeen, RoleSeen, SharedSeen, Unseen
from staffetta.base.doctor.looking import Owners, not_to_be_read
from staffetta.base.errors import SharedAddressDamaged
from staffetta.base.pairing.shared import MEMORY_NAME, MemoryFile, place_of
from staffetta.control.pairing import SharedState
from staffetta.control.paths import ApplianceDescription, AppliancePaths

COMMAND_SECONDS: Final = 5.0
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class _Kept:
    """Whether it is enabled; None where the file is damaged, which ``damage`` tells."""

    enabled: bool | None
    damage: str = ""


def shared_address(
    paths: AppliancePaths, description: ApplianceDescription, base: BaseSeen | Unseen, whose: Owners, apart: Apart
) -> SharedSeen | None:
    """The shared address as it is on this machine; None where the appliance was made without one.

    Base is believed first; what it does not tell is read from the disk."""
    place = place_of(description)
    if place is None:
        return None
    told = base.shared if isinstance(base, BaseSeen) else None
    role: str | Unseen | None = base.status.role if isinstance(base, BaseSeen) else None
    if role is None:
        seen = apart.look("The role of the site", whose.site, RoleSeen, partial(site_role, paths))
        role = seen if isinstance(seen, Unseen) else seen.role
    if told is None:
        kept = apart.look("What base keeps of the shared address", whose.base, _Kept, partial(_kept, paths))
    else:
        kept = _Kept(told.enabled)
    return SharedSeen(
        address=place.address,
        interface=place.interface,
        enabled=kept if isinstance(kept, Unseen) else Damaged(kept.damage) if kept.enabled is None else kept.enabled,
        role=role,
        held=None if told is None else told.state is SharedState.HELD,
        interfaces=interfaces(),
    )


def _kept(paths: AppliancePaths) -> _Kept | Unseen:
    path = paths.base / MEMORY_NAME
    if not os.access(paths.base, os.R_OK | os.X_OK):
        return Unseen("Whether the shared address is enabled cannot be seen by this user.")
    try:
        if odd := not_to_be_read(paths, path):
            return _Kept(None, odd)
        return _Kept(MemoryFile(path).read().enabled)
    except SharedAddressDamaged:
        return _Kept(None, f"{path} is damaged.")
    except OSError as error:
        return Unseen(f"{path} cannot be read: {error.strerror}.")


def interfaces() -> tuple[InterfaceSeen, ...] | Unseen:
    """The interfaces of this machine with their addresses, as `ip` tells them."""
    command = ["ip", "-json", "address", "show"]
    try:
        said = subprocess.run(
            command, env={"PATH": _PATH}, capture_output=True, check=True, timeout=COMMAND_SECONDS
        ).stdout
        found: list[dict[str, Any]] = json.loads(said)
        return tuple(
            InterfaceSeen(
                name=str(one["ifname"]),
                up="UP" in one["flags"],
                carrier="NO-CARRIER" not in one["flags"],
                addresses=tuple(f"{each['local']}/{each['prefixlen']}" for each in one["addr_info"] if "local" in each),
            )
            for one in found
        )
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return Unseen(f"The addresses of this machine could not be seen: `{' '.join(command)}` does not tell them.")
