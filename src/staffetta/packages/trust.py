"""Whom to trust: follows a chain of root keys, and judges the packages meant for clients.

Clients may live behind an appliance that has no way to the update server, so the short-lived roles (timestamp,
snapshot, targets) cannot be judged by their age there. What a client verifies instead:
- every root in the chain is signed by the one before it and by itself (TUF 5.3), and the last is not expired;
- targets.json is signed by that root's targets key (its age is not judged), and delegates to ``clients``;
- clients.json is signed by the delegated keys, names only targets it may name, and is not expired (it lives years);
- none of the three is older than what the client has seen before (``TrustFloor``).
Freshness comes from the authenticated site, which says which version a client should be.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from securesystemslib.exceptions import Error as SigningError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets  # type: ignore[attr-defined]  # the documented place
from tuf.api.serialization import DeserializationError

from staffetta.packages.errors import DocumentInvalid, Expired, NotTrusted, OlderMetadata
from staffetta.packages.info import PackageInfo, is_package, parse_info
from staffetta.packages.kinds import Kind

CLIENTS_ROLE: Final = "clients"
ROOT_FIELD: Final = "staffetta"
LONGEST_CHAIN: Final = 256


@dataclass(frozen=True, slots=True)
class TrustFloor:
    """The metadata versions a client has seen; nothing below them is accepted again."""

    root: int = 0
    targets: int = 0
    clients: int = 0


@dataclass(frozen=True, slots=True)
class RootTrust:
    """A verified root, and the raw Ed25519 keys that sign the update server's statements."""

    data: bytes
    version: int
    expires: datetime
    statement_keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """What came out of verifying a bundle for clients: the newest root, the new floor, and the packages."""

    root: RootTrust
    floor: TrustFloor
    infos: tuple[PackageInfo, ...]


def follow_roots(trusted: bytes, chain: Iterable[bytes]) -> RootTrust:
    """Return the last root of the chain, each verified by the one before.

    ``chain`` holds the roots in rising version; those up to the trusted one are passed over, so a whole history
    can be given. Raises ``NotTrusted`` for a broken chain.
    """
    current = _load_root(trusted)
    _verify_root(current, current)
    data = trusted
    for number, candidate in enumerate(chain):
        if number > LONGEST_CHAIN:
            raise NotTrusted(f"The chain of roots is longer than {LONGEST_CHAIN}.")
        following = _load_root(candidate)
        if following.signed.version <= current.signed.version:
            continue
        if following.signed.version != current.signed.version + 1:
            raise NotTrusted(f"Version {current.signed.version + 1} is missing in the chain of roots.")
        _verify_root(current, following)
        _verify_root(following, following)
        current, data = following, candidate
    return RootTrust(data, current.signed.version, current.signed.expires, statement_keys(current.signed))


def verify_clients(
    trusted: bytes,
    roots: Iterable[bytes],
    targets: bytes,
    clients: bytes,
    *,
    now: datetime,
    floor: TrustFloor,
) -> ClientTrust:
    """Return the client packages the vendor signed, or raise ``NotTrusted``, ``Expired`` or ``OlderMetadata``.

    ``trusted`` is the root a client already has, ``roots`` the history that came with the bundle, ``now`` the
    trusted time.
    """
    root = follow_roots(trusted, roots)
    root_signed = _load_root(root.data).signed
    if root.expires <= now:
        raise Expired(f"The vendor's root (version {root.version}) expired on {root.expires:%Y-%m-%d}.")
    top = _load_targets("targets.json", targets)
    _verify(root_signed, Targets.type, top, "targets.json")
    delegated = _load_targets("clients.json", clients)
    roles = (top.signed.delegations.roles if top.signed.delegations else None) or {}
    if CLIENTS_ROLE not in roles:
        raise NotTrusted("The vendor's targets.json entrusts nobody with client packages.")
    _verify(top.signed, CLIENTS_ROLE, delegated, "clients.json")
    if delegated.signed.expires <= now:
        raise Expired(
            f"The list of client packages expired on {delegated.signed.expires:%Y-%m-%d}. "
            "Update the site, or check this computer's clock."
        )
    seen = TrustFloor(root.version, top.signed.version, delegated.signed.version)
    for name, version, lowest in (
        ("root", seen.root, floor.root),
        ("targets", seen.targets, floor.targets),
        ("clients", seen.clients, floor.clients),
    ):
        if version < lowest:
            raise OlderMetadata(
                f"The bundle's {name} metadata is version {version}, but version {lowest} was seen before: "
                "an older list of packages is not accepted."
            )
    infos = tuple(
        info
        for info in package_infos(delegated.signed)
        if info.kind is Kind.CLIENT and roles[CLIENTS_ROLE].is_delegated_path(info.target)
    )
    return ClientTrust(root, seen, infos)


def package_infos(targets: Targets) -> tuple[PackageInfo, ...]:
    """Return the packages that one verified targets role describes, in the order of their names.

    A kind that is not known here is passed over: a newer vendor may publish things that are for newer bases only.
    """
    infos = []
    for name, target in sorted(targets.targets.items()):
        kind = target.custom.get("kind") if isinstance(target.custom, dict) else None
        if not is_package(name) or kind not in set(Kind):
            continue
        sha256 = target.hashes.get("sha256")
        if sha256 is None:
            raise DocumentInvalid(f"The package {name} is signed without a SHA-256.")
        infos.append(parse_info(name, target.length, sha256, target.custom))
    return tuple(infos)


def statement_keys(root: Root) -> tuple[bytes, ...]:
    """Return the raw Ed25519 public keys that the root names for the update server's statements."""
    return parse_root_field(root.unrecognized_fields.get(ROOT_FIELD))


def root_field(keys: Iterable[bytes]) -> dict[str, Any]:
    """Return the value of the root's field ``staffetta``, which names the statement keys."""
    return {"statement_keys": [base64.urlsafe_b64encode(key).decode() for key in keys]}


def parse_root_field(value: object) -> tuple[bytes, ...]:
    """Read the root's field ``staffetta``; a root without one names no statement keys."""
    if value is None:
        return ()
    try:
        if not isinstance(value, dict):
            raise TypeError
        keys = tuple(base64.urlsafe_b64decode(text) for text in value["statement_keys"])
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise DocumentInvalid("The vendor's root names its statement keys in a form that is not known.") from None
    if any(len(key) != 32 for key in keys):
        raise DocumentInvalid("The vendor's root names a statement key that is not an Ed25519 key.")
    return keys


def _load_root(data: bytes) -> Metadata[Root]:
    return _load(Root, "root.json", data)


def _load_targets(name: str, data: bytes) -> Metadata[Targets]:
    return _load(Targets, name, data)


def _load(role: type[Any], name: str, data: bytes) -> Metadata[Any]:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except (DeserializationError, RepositoryError, ValueError, RecursionError):
        raise DocumentInvalid(f"The vendor's {name} cannot be read; it is damaged or is something else.") from None
    if not isinstance(metadata.signed, role):
        raise DocumentInvalid(f"The vendor's {name} is something else than its name says.")
    return metadata


def _verify_root(delegator: Metadata[Root], candidate: Metadata[Root]) -> None:
    _verify(delegator.signed, Root.type, candidate, f"root.json (version {candidate.signed.version})")


def _verify(delegator: Root | Targets, role: str, metadata: Metadata[Any], name: str) -> None:
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, SigningError, ValueError):
        raise NotTrusted(f"The vendor's {name} is not signed by the keys that are trusted here.") from None
