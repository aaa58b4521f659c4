"""Laying out a new appliance: folders with their owners, keeper's configuration, and the first base from a bundle.

Everything an appliance needs to start is there when this returns; after a failure, nothing of it is.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from staffetta.base.errors import SetupRefused
from staffetta.base.layout import User, folders
from staffetta.base.trust import TimeFloor
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.kernel.clock import utc_now
from staffetta.kernel.files import sync_directory, write_atomically
from staffetta.kernel.hosts import canonical_host
from staffetta.kernel.ids import new_id
from staffetta.packages import Installed, Kind, PackageInfo, Version
from staffetta.packages.selection import require_installable
from staffetta.releases import ReleaseTree, open_bundle

LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a unix socket's path (unix(7): 108 with the end mark)."""

_LONGEST_BELOW: Final = f"/run/base-{'x' * 26}/private.sock"
_LONGEST_NAME: Final = 64
_INTERFACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_TASK_SECONDS: Final = 300

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NewAppliance:
    """What a new appliance is to be. Users are None only when not root sets it up: then every program runs as
    who starts keeper. A shared address follows the primary of a pair; with an interface, base puts it there."""

    folder: Path
    name: str
    hostname: str
    address: str
    site_port: int
    appliance_port: int
    update_server: str
    bundle: Path
    root: Path
    base_user: User | None = None
    site_user: User | None = None
    shared_address: str | None = None
    shared_interface: str | None = None


def initialise(new: NewAppliance, report: Report) -> AppliancePaths:
    """Lay out the appliance; `report` is told each step. Raises SetupRefused, or what verification refuses."""
    paths = AppliancePaths(new.folder.absolute())
    new = _spelled(new)
    _check(new, paths)
    root = _read(new.root, "root of trust")
    with _all_or_nothing(paths.root):
        _make_folders(paths, new)
        write_atomically(paths.trust_root, root, 0o644)
        version = _install_base(paths, new, root, report)
        write_atomically(paths.description, _description(new).to_bytes(), 0o644)
        write_atomically(paths.keeper / "config.json", _keeper_config(paths, new), 0o600)
        report("Making base's database and the first account.")
        _migrate(paths, new, version)
        sync_directory(paths.root)
    return paths


def _spelled(new: NewAppliance) -> NewAppliance:
    """What was typed, with IP addresses in their canonical form, in which they are written down."""
    shared = None if new.shared_address is None else canonical_host(new.shared_address)
    return replace(
        new, hostname=canonical_host(new.hostname), address=canonical_host(new.address), shared_address=shared
    )


def _check(new: NewAppliance, paths: AppliancePaths) -> None:
    if not new.name or len(new.name) > _LONGEST_NAME or not new.name.isprintable():
        raise SetupRefused(f"The appliance's name must have 1 to {_LONGEST_NAME} printable characters.")
    length = len(os.fsencode(f"{paths.root}{_LONGEST_BELOW}"))
    if length > LONGEST_SOCKET_PATH:
        raise SetupRefused(
            f"The path {paths.root} is {length - LONGEST_SOCKET_PATH} characters too long for the sockets below it. "
            "Choose a shorter one."
        )
    if paths.root.exists() and (not paths.root.is_dir() or any(paths.root.iterdir())):
        raise SetupRefused(f"{paths.root} exists and is not an empty folder. Name a new one.")
    try:
        ipaddress.ip_address(new.address)
    except ValueError:
        raise SetupRefused(f"{new.address!r} is not an IP address.") from None
    _check_shared(new)
    for port in (new.site_port, new.appliance_port):
        if not 0 < port < 65536:
            raise SetupRefused(f"{port} is not a port; ports are 1 to 65535.")
    if new.site_port == new.appliance_port:
        raise SetupRefused("The site and /appliance need a port each.")
    if urlsplit(new.update_server).scheme not in ("http", "https") or not urlsplit(new.update_server).hostname:
        raise SetupRefused(f"{new.update_server!r} is not the address of an update server (https://…).")
    if (new.base_user is None) != (new.site_user is None):
        raise SetupRefused("Name a user for base and one for the site, or none for both.")
    if new.base_user is not None and os.geteuid() != 0:
        raise SetupRefused("Only root can set up an appliance whose programs run under users of their own.")
    if os.geteuid() == 0 and any(user is None or 0 in (user.uid, user.gid) for user in (new.base_user, new.site_user)):
        raise SetupRefused(
            "As root, neither base nor the site may run as root. Give two users other than 0, for example "
            "`--base-user 20001 --site-user 20002` (numbers; no account need exist)."
        )
    if new.base_user is not None and new.site_user is not None and new.base_user.uid == new.site_user.uid:
        raise SetupRefused("Base and the site must not run as the same user: the site must not reach base's data.")


def _check_shared(new: NewAppliance) -> None:
    if new.shared_address is None:
        if new.shared_interface is not None:
            raise SetupRefused("An interface for the shared address was named, but no shared address.")
        return
    try:
        shared = ipaddress.ip_address(new.shared_address)
    except ValueError:
        raise SetupRefused(f"{new.shared_address!r} is not an IP address.") from None
    own = ipaddress.ip_address(new.address)
    if shared == own or shared.is_unspecified:
        raise SetupRefused("The shared address must be one of its own, besides the address of this appliance.")
    if own.is_unspecified:
        raise SetupRefused(
            f"With a shared address the appliance needs an address of its own; {new.address} stands for all of them."
        )
    if new.shared_interface is not None and not _INTERFACE.fullmatch(new.shared_interface):
        raise SetupRefused(f"{new.shared_interface!r} is not the name of a network interface.")


def _make_folders(paths: AppliancePaths, new: NewAppliance) -> None:
    for place in folders(paths, new.base_user, new.site_user):
        root = place.path == paths.root
        place.path.mkdir(parents=root, exist_ok=root)
        _give(place.path, place.owner)
        place.path.chmod(place.mode)


def _install_base(paths: AppliancePaths, new: NewAppliance, root: bytes, report: Report) -> Version:
    """The newest base of the bundle that needs nothing else: verified, staged, checked, made current."""
    report(f"Verifying {new.bundle.name} against the root of trust.")
    if not new.bundle.is_file():
        raise SetupRefused(f"{new.bundle} is not a file. Give a bundle that holds a base package.")
    repository = open_bundle(new.bundle, paths.base / "trust", root)
    info = _first_base(repository.refresh(utc_now()))
    TimeFloor(paths.base / "trust" / "time.json").raise_to(info.published)
    package = paths.base / "packages" / f"base-{info.version}.tar.zst"
    tree = ReleaseTree(paths.releases("base"))
    try:
        repository.download(info, package)
        report(f"Unpacking base {info.version}.")
        tree.stage(package, info)
    finally:
        package.unlink(missing_ok=True)
    tree.check(info.version)
    tree.flip(info.version)
    _give_all(paths.releases("base"), new.base_user)
    _give_all(paths.base, new.base_user)
    return info.version


def _first_base(infos: tuple[PackageInfo, ...]) -> PackageInfo:
    bases = sorted((info for info in infos if info.kind is Kind.BASE), key=lambda info: info.version)
    free = [info for info in bases if not info.requires]
    if free:
        return free[-1]
    for info in bases:
        require_installable(Installed(base=Version("0")), info)
    raise SetupRefused("The bundle holds no base package. Make one with `staffetta vendor bundle`.")


def _description(new: NewAppliance) -> ApplianceDescription:
    return ApplianceDescription(
        name=new.name,
        hostname=new.hostname,
        appliance_url=_https(new.address, new.appliance_port),
        site_url=_https(new.hostname, new.site_port),
        addresses=tuple(
            f"{_bracketed(address)}:{new.site_port}" for address in (new.shared_address, new.address) if address
        ),
        update_server=new.update_server,
        shared_address=new.shared_address,
        shared_interface=new.shared_interface,
    )


def _https(host: str, port: int) -> str:
    """The address as a browser sends it back: the standard port is left out (RFC 6454, section 6.2)."""
    return f"https://{_bracketed(host)}" if port == 443 else f"https://{_bracketed(host)}:{port}"


def _keeper_config(paths: AppliancePaths, new: NewAppliance) -> bytes:
    base, site = new.base_user, new.site_user
    fields = {
        "appliance": new.name,
        "programs": {
            "base": {
                "uid": None if base is None else base.uid,
                "gid": None if base is None else base.gid,
                "groups": [] if site is None else [site.gid],
                "processes": ["service", "web"],
                "tasks": ["migrate", "snapshot"],
            },
            "site": {
                "uid": None if site is None else site.uid,
                "gid": None if site is None else site.gid,
                "groups": [],
                "processes": ["web", "gateway", "worker"],
                "tasks": ["migrate", "snapshot"],
            },
        },
        "verb_holder": ["base", "service"],
        "proving_seconds": 60,
        "sockets": [
            {
                "name": "control",
                "program": "base",
                "process": "service",
                "path": str(paths.control_socket),
                "mode": 0o660,
                "group": None if base is None else base.gid,
            },
            {
                "name": "site-door",
                "program": "base",
                "process": "service",
                "path": str(paths.site_door_socket),
                "mode": 0o660,
                "group": None if site is None else site.gid,
            },
            {
                "name": "appliance",
                "program": "base",
                "process": "service",
                "address": new.address,
                "port": new.appliance_port,
            },
            {
                "name": "site",
                "program": "site",
                "process": "gateway",
                "address": new.address,
                "port": new.site_port,
            },
        ],
    }
    return json.dumps(fields, indent=2).encode() + b"\n"


def _migrate(paths: AppliancePaths, new: NewAppliance, version: Version) -> None:
    """Run the task the way keeper will: the release's own code, as base's user, with an environment of its own."""
    release = paths.releases("base") / str(version)
    generation = new_id("base")
    run = paths.run(generation)
    run.mkdir(mode=0o770)
    _give(run, new.base_user)
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    environment |= {
        "HOME": str(paths.base),
        "STAFFETTA_APPLIANCE": str(paths.root),
        "STAFFETTA_PROGRAM": "base",
        "STAFFETTA_PROCESS": "migrate",
        "STAFFETTA_GENERATION": generation,
        "STAFFETTA_VERSION": str(version),
        "STAFFETTA_RELEASE": str(release),
        "STAFFETTA_RUN": str(run),
    }
    user = new.base_user
    try:
        done = subprocess.run(
            [release / "bin" / "run", "migrate"],
            cwd="/",
            env=environment,
            capture_output=True,
            timeout=_TASK_SECONDS,
            check=False,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if new.site_user is None else [new.site_user.gid],
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupRefused(f"Base {version} could not be started to make its database: {error}.") from error
    finally:
        shutil.rmtree(run)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-600:]
        raise SetupRefused(f"Base {version} could not make its database: {said}")


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """Leave the folder as it was found, missing or empty, if anything goes wrong."""
    existed = folder.exists()
    try:
        yield
    except BaseException:
        for path in list(folder.iterdir()) if folder.exists() else []:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not existed and folder.exists():
            folder.rmdir()
        raise


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupRefused(f"The {what} {path} cannot be read: {error.strerror}.") from error


def _give(path: Path, owner: User | None) -> None:
    if owner is not None:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def _give_all(folder: Path, owner: User | None) -> None:
    if owner is None:
        return
    for place, inner, files in os.walk(folder):
        for name in (*inner, *files):
            _give(Path(place) / name, owner)
    _give(folder, owner)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
