"""Pure: findings on the shared address: whether role, interface and what the machine's interfaces carry agree.

Where no interface was named somebody else brings the address (a router, a load balancer), so there only what makes it
reach the wrong one is a finding.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from staffetta.base.doctor.facts import Damaged, InterfaceSeen, SharedSeen, Unseen
from staffetta.base.doctor.findings import Finding, Level

CHECK: Final = "shared address"
_ROLES: Final = {"alone": "alone", "primary": "the primary", "backup": "the backup"}


@dataclass(frozen=True, slots=True)
class _Carried:
    """The address on an interface, with the prefix that it has there."""

    on: InterfaceSeen
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface

    @property
    def remove(self) -> str:
        """The command that takes it off."""
        return f"`ip address del {self.address} dev {shlex.quote(self.on.name)}`"


def shared(seen: SharedSeen | None, runs: bool) -> Iterator[Finding]:
    """It is where the role says. ``runs``: whether base answers, and so moves it by itself."""
    if seen is None:
        return
    unknown = [*_unknown(seen)]
    yield from unknown
    if isinstance(seen.interfaces, Unseen):
        return
    carried = [*_carried(seen.interfaces, seen.address)]
    findings = [*_interface(seen, seen.interfaces), *_misplaced(seen, carried), *_role(seen, carried, runs)]
    yield from findings
    if not findings and not unknown:
        yield Finding(CHECK, Level.FINE, _fine(seen, seen.interfaces, carried))


def _unknown(seen: SharedSeen) -> Iterator[Finding]:
    """What is needed to judge and could not be seen."""
    if isinstance(seen.interfaces, Unseen):
        yield Finding(CHECK, Level.UNSEEN, seen.interfaces.why)
    for one in (seen.role, seen.enabled):
        if isinstance(one, Unseen):
            yield Finding(CHECK, Level.UNSEEN, one.why, "Run this as root.")
    if isinstance(seen.enabled, Damaged):
        yield Finding(
            CHECK,
            Level.ERROR,
            f"{seen.enabled.how} Base keeps there whether the shared address is enabled, and does not move it.",
            "Remove it, then `staffetta appliance shared-address enable` (or `disable`, as it was).",
        )


def _carried(interfaces: tuple[InterfaceSeen, ...], address: str) -> Iterator[_Carried]:
    for one in interfaces:
        for text in one.addresses:
            found = ipaddress.ip_interface(text)
            if str(found.ip) == address:
                yield _Carried(one, found)


def _serves(seen: SharedSeen) -> bool:
    return seen.enabled is True and seen.role in ("alone", "primary")


def _interface(seen: SharedSeen, interfaces: tuple[InterfaceSeen, ...]) -> Iterator[Finding]:
    """The interface that was named is there, up, and has something at its other end."""
    if seen.interface is None:
        return
    level = Level.ERROR if _serves(seen) else Level.WARNING
    own = next((one for one in interfaces if one.name == seen.interface), None)
    if own is None:
        names = ", ".join(one.name for one in interfaces)
        yield Finding(
            CHECK,
            level,
            f"{seen.address} belongs on {seen.interface}, which this machine does not have (it has {names}).",
            "Give the interface that name again; or lay out a new appliance with the right `--shared-interface`, and "
            "restore a backup to it.",
        )
    elif not own.up:
        todo = f"`ip link set {shlex.quote(own.name)} up`, and have the machine do so at its start."
        yield Finding(CHECK, level, f"{own.name}, on which {seen.address} belongs, is down.", todo)
    elif not own.carrier:
        said = f"{own.name}, on which {seen.address} belongs, has no carrier: nothing is at the other end of its cable."
        yield Finding(CHECK, level, said, "See to the cable, the switch, or the bridge of a virtual machine.")


def _fits(address: str, interface: InterfaceSeen) -> bool:
    wanted = ipaddress.ip_address(address)
    return any(wanted in one.network and one.ip != wanted for one in map(ipaddress.ip_interface, interface.addresses))


def _misplaced(seen: SharedSeen, carried: list[_Carried]) -> Iterator[Finding]:
    """Nobody but base has put it on an interface."""
    if seen.interface is None:
        return
    for one in carried:
        if one.on.name != seen.interface:
            said = f"{one.address} is on {one.on.name}, but base puts it on {seen.interface}."
        elif one.address.network.num_addresses > 1:
            said = f"{one.address} is on {one.on.name}, but base puts it there as /{one.address.max_prefixlen}."
        else:
            continue
        yield Finding(
            CHECK,
            Level.ERROR if seen.role == "backup" or seen.enabled is False else Level.WARNING,
            said,
            f"Take it out of the operating system's own network configuration, then run {one.remove}.",
        )


def _role(seen: SharedSeen, carried: list[_Carried], runs: bool) -> Iterator[Finding]:
    """The primary has it, and nobody else."""
    if isinstance(seen.role, Unseen) or not isinstance(seen.enabled, bool) or seen.role is None:
        return
    if _serves(seen):
        yield from _serving(seen, carried, runs)
        return
    if seen.role == "primary":
        yield Finding(
            CHECK,
            Level.WARNING,
            f"This appliance is the primary, but {seen.address} is not enabled on it: nobody is reached there.",
            "`staffetta appliance shared-address enable`.",
        )
    yield from _not_serving(seen, carried, runs)


def _serving(seen: SharedSeen, carried: list[_Carried], runs: bool) -> Iterator[Finding]:
    role = _ROLES.get(str(seen.role), str(seen.role))
    level = Level.ERROR if seen.role == "primary" else Level.WARNING
    if not carried and seen.interface is not None:
        yield Finding(
            CHECK,
            level,
            f"This appliance is {role}, but {seen.address} is on no interface of this machine.",
            _until_it_follows(seen) if runs else "Start what does not run: base puts it there as soon as it runs.",
        )
    elif not carried and not ipaddress.ip_address(seen.address).is_loopback:
        yield Finding(
            CHECK,
            Level.WARNING,
            f"This appliance is {role}, but {seen.address} is not on this machine, and base puts it on no interface.",
            "See that the router or load balancer brings it to this machine; or lay out a new appliance with "
            "`--shared-interface`, and restore a backup to it.",
        )
    elif seen.held is False:
        said = f"This appliance is {role}, but does not listen at {seen.address}."
        yield Finding(CHECK, level, said, _until_it_follows(seen))


def _until_it_follows(seen: SharedSeen) -> str:
    if seen.role == "alone":
        return f"Normal while another has it, as after a break of the pair; else see who answers at {seen.address}."
    return (
        "Normal for a quarter of a minute after a change of the roles; else see who answers at "
        f"{seen.address}, `staffetta failover status` on both appliances, and base-service.log in the logs folder."
    )


def _not_serving(seen: SharedSeen, carried: list[_Carried], runs: bool) -> Iterator[Finding]:
    why = "it is not enabled on this appliance" if not seen.enabled else "this appliance is the backup"
    if seen.held and not carried:
        said = f"This appliance listens at {seen.address}, but {why}: a load balancer may take it for the primary."
        yield Finding(CHECK, Level.WARNING, said, _until_it_follows(seen))
    for one in carried:
        if seen.interface is None and not one.address.is_loopback and one.on.name != "lo":
            yield Finding(
                CHECK,
                Level.WARNING,
                f"{seen.address} is on {one.on.name}, but {why}.",
                "Have whoever brings it there (a router, a load balancer) bring it to the primary.",
            )
        elif one.on.name == seen.interface and one.address.network.num_addresses == 1:
            said = f"{seen.address} is on {one.on.name}, but {why}: who asks for it may come here."
            by_base = (
                "Normal for some seconds after a change of the roles; else have base take it off: "
                f"`staffetta appliance shared-address disable`{', then `enable`' if seen.enabled else ''}."
            )
            yield Finding(CHECK, Level.ERROR, said, by_base if runs else f"Run {one.remove}.")


def _fine(seen: SharedSeen, interfaces: tuple[InterfaceSeen, ...], carried: list[_Carried]) -> str:
    if seen.role is None:
        return f"{seen.address} is nobody's yet: there is no site."
    here = f"on {', '.join(sorted({one.on.name for one in carried}))}" if carried else "not on this machine"
    if seen.interface is None and not carried:
        here = "brought by others"
    role = _ROLES.get(str(seen.role), str(seen.role))
    listens = "" if seen.held is None else " and listens there" if seen.held else " and does not listen there"
    disabled = "" if seen.enabled else ", and it is not enabled"
    return f"{seen.address} is {here}; this appliance is {role}{listens}{disabled}.{_led(seen, interfaces)}"


def _led(seen: SharedSeen, interfaces: tuple[InterfaceSeen, ...]) -> str:
    for one in interfaces:
        if one.name == seen.interface and one.name != "lo" and not _fits(seen.address, one):
            return f" A router must lead it here: it is in no network of {one.name}."
    return ""
